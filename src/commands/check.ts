/**
 * `platypus check FILE`: every problem of a configuration, and nothing else.
 */
import { parseArgs } from "node:util";
import { warningsOf } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { UsageError } from "../errors.ts";
import { templateHooks } from "../template-hooks.ts";

/** Throws a ConfigError with all problems; prints one line when there are none. */
export async function check(args: readonly string[]): Promise<void> {
  const files = parsePositionals(args);
  if (files.length !== 1) throw new UsageError("check takes one file: platypus check FILE");
  const config = await loadConfig({ path: files[0]!, env: process.env, hooks: templateHooks });
  const pools =
    config.pools.length === 0
      ? "no pool: the embedded store serves"
      : `${config.pools.length} pool${config.pools.length === 1 ? "" : "s"}`;
  for (const warning of warningsOf(config)) process.stdout.write(`${files[0]}: warning: ${warning}\n`);
  process.stdout.write(
    `${files[0]}: no problems (${pools}, ${config.rules.length} rules, ${config.sources.length} sources)\n`,
  );
}

function parsePositionals(args: readonly string[]): string[] {
  try {
    return parseArgs({ args: [...args], options: { config: { type: "string" } }, allowPositionals: true }).positionals;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
