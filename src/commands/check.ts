/**
 * `platypus check FILE`: every problem of a configuration, and nothing else.
 */
import { styleText } from "node:util";
import { warningsOf } from "../config/config.ts";
import { UsageError } from "../errors.ts";
import { loadWing } from "../observe/mcrouter-wing.ts";
import { loadConfig } from "../server/load-config.ts";
import { openFilesLimit } from "../server/open-files.ts";
import { parseOptions } from "./options.ts";
import { preflight } from "./preflight.ts";

export const CHECK_HELP = `platypus check FILE [--rules FILE]: say everything that is wrong with a configuration, and run nothing

  platypus check platypus.toml
  platypus check nutcracker.yml                   twemproxy's; what has no effect here is a warning
  platypus check mcrouter.json --rules rules.toml
  platypus check platypus.toml && systemctl reload platypus

  --rules FILE         TOML with rules and sources that are added to a mcrouter configuration

Each problem is a line of FILE:LINE: what is wrong, and what would be right.

Exit codes: 0 it can be used (there may be warnings), 2 it cannot, or wrong usage.
`;

/** Throws a ConfigError with all problems; prints one line when there are none. */
export async function check(args: readonly string[]): Promise<void> {
  const { files, rules } = readOptions(args);
  if (files.length !== 1) throw new UsageError("check takes one file: platypus check FILE [--rules FILE]");
  const config = await loadConfig({ path: files[0]!, rules, env: process.env });
  const { length } = config.pools;
  const isEmbedded = length === 0 && config.tree === null;
  const pools = isEmbedded ? "no pool: the embedded store serves" : `${length} pool${length === 1 ? "" : "s"}`;
  const warnings = [
    ...warningsOf(config),
    ...(config.tree === null ? [] : (await loadWing()).treeWarnings(config)),
    ...(await preflight(config, { env: process.env, filesLimit: openFilesLimit() })),
  ];
  for (const warning of warnings) process.stdout.write(`${files[0]}: ${styleText("yellow", "warning")}: ${warning}\n`);
  process.stdout.write(
    `${files[0]}: ${styleText("green", "no problems")} (${pools}, ${config.rules.length} rules, ${config.sources.length} sources)\n`,
  );
}

function readOptions(args: readonly string[]): { files: string[]; rules: string | null } {
  const { positionals, values } = parseOptions(args, { rules: { type: "string" } });
  return { files: positionals, rules: values.rules ?? null };
}
