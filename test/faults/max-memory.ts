/** `[server] max_memory`, for scenarios that want a bound on memory. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Setup } from "./setup.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const MEBIBYTE = 2 ** 20;
/** The process may take so much of its bound. */
const TOLERANCE = 1.1;

/** `setup` with a bound of so many MiB, and the maximum resident memory (bytes) that it promises. */
export function withMaxMemory(
  setup: Setup,
  mebibytes: number,
): { readonly setup: Setup; readonly maxResident: number } {
  const server = [setup.server ?? "", settingOf(mebibytes)].join("\n");
  return { setup: { ...setup, server }, maxResident: mebibytes * MEBIBYTE * TOLERANCE };
}

/** Whether the Platypus of this folder has the setting. */
export function isMaxMemoryKnown(): boolean {
  const folder = mkdtempSync(path.join(tmpdir(), "platypus-setting-"));
  try {
    const file = path.join(folder, "platypus.toml");
    writeFileSync(file, `[server]\nadmin = "off"\n${settingOf(256)}\n`);
    return spawnSync(process.execPath, [MAIN, "check", file], { stdio: "ignore" }).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function settingOf(mebibytes: number): string {
  return `max_memory = "${mebibytes}MiB"`;
}
