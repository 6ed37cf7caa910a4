import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { McrouterConfig } from "../../../src/config/config.ts";
import { dumpConfig, readDump } from "../../../src/mcrouter/report/config-dump.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

let root: string;
const clock = new ManualClock();

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "platypus-dump-"));
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

/** A configuration of one file. */
function configOf(text: string): McrouterConfig {
  return { sources: { texts: new Map([["/etc/m r.json", text]]) } } as unknown as McrouterConfig;
}

it("a configuration dump is stored by its path, and returned while it is young enough", async () => {
  const place = { root, serviceName: "mcrouter", routerName: "5000" };
  await dumpConfig(place, configOf("old"));
  await dumpConfig(place, configOf("new"));
  const file = path.join(root, "mcrouter", "5000", "file-%2Fetc%2Fm%20r.json");
  expect(await readdir(path.dirname(file))).toEqual([path.basename(file)]);
  await utimes(file, clock.unixSeconds(), clock.unixSeconds());
  expect(await readDump(place, 60, clock)("/etc/m r.json")).toBe("new");
  clock.advance(61_000);
  await expect(readDump(place, 60, clock)("/etc/m r.json")).rejects.toThrow(/61 s old/);
  await expect(readDump(place, 60, clock)("/etc/other.json")).rejects.toThrow(/ENOENT/);
});
