/** The bound on the memory of the whole process, under everything that would fill it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Scenario } from "../scenario.ts";
import { STANDARD } from "../setup.ts";
import { floods } from "./floods.ts";
import { everythingLarge } from "./large-answers.ts";

const MAIN = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));
const MAX_MEMORY = 256 * 1024 * 1024;
const SETTING = 'max_memory = "256MiB"';

/** Whether this Platypus knows the setting. */
function isKnown(): boolean {
  const folder = mkdtempSync(path.join(tmpdir(), "platypus-setting-"));
  const file = path.join(folder, "platypus.toml");
  writeFileSync(file, `[server]\nadmin = "off"\n${SETTING}\n`);
  try {
    execFileSync(process.execPath, [MAIN, "check", file], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const memory: readonly Scenario[] = [
  {
    name: "memory",
    title: "max_memory = 256 MiB: all large answers and floods at once",
    setup: { ...STANDARD, server: SETTING },
    // What is over the bound is shed.
    allows: ["missed fills", "refusals"],
    touches: null,
    maxResident: MAX_MEMORY * 1.1,
    skipped: () => (isKnown() ? null : "there is no max_memory yet"),
    run: async (stage) => {
      await Promise.all([everythingLarge(stage), ...floods.map((flood) => flood.run(stage))]);
    },
  },
];
