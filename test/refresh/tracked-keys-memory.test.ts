import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const PROGRAM = fileURLToPath(new URL("../../bench/micro/tracked-keys.ts", import.meta.url));

it("a million tracked keys of 30 bytes take at most 160 bytes each in addition to their names, and 200 MB in all", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", PROGRAM, "1000000"]);
  const { bytesPerKey, rssBytes } = JSON.parse(stdout);
  expect(bytesPerKey).toBeLessThanOrEqual(160);
  expect(rssBytes).toBeLessThanOrEqual(200e6);
}, 60_000);
