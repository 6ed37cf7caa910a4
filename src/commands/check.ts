/**
 * `platypus check FILE`: every problem of a configuration, and nothing else.
 */
import { parseArgs } from "node:util";
import { warningsOf } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { treeWarnings } from "../config/mcrouter/config.ts";
import { UsageError } from "../errors.ts";
import { templateHooks } from "../template-hooks.ts";

/** Throws a ConfigError with all problems; prints one line when there are none. */
export async function check(args: readonly string[]): Promise<void> {
  const { files, rules } = readOptions(args);
  if (files.length !== 1) throw new UsageError("check takes one file: platypus check FILE [--rules FILE]");
  const config = await loadConfig({ path: files[0]!, rules, env: process.env, hooks: templateHooks });
  const { length } = config.pools;
  const isEmbedded = length === 0 && config.tree === null;
  const pools = isEmbedded ? "no pool: the embedded store serves" : `${length} pool${length === 1 ? "" : "s"}`;
  for (const warning of [...warningsOf(config), ...treeWarnings(config)])
    process.stdout.write(`${files[0]}: warning: ${warning}\n`);
  process.stdout.write(
    `${files[0]}: no problems (${pools}, ${config.rules.length} rules, ${config.sources.length} sources)\n`,
  );
}

function readOptions(args: readonly string[]): { files: string[]; rules: string | null } {
  try {
    const options = { rules: { type: "string" } } as const;
    const { positionals, values } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { files: positionals, rules: values.rules ?? null };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
