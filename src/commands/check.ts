/**
 * `platypus check FILE`: prints all problems of a configuration.
 */
import { styleText } from "node:util";
import { type Config, warningsOf } from "../config/config.ts";
import { ConfigError, UsageError } from "../errors.ts";
import { loadWing } from "../observe/mcrouter-wing.ts";
import { loadConfig } from "../server/load-config.ts";
import { openFilesLimit } from "../server/open-files.ts";
import { isMcrouterLine } from "./invocation.ts";
import { parseOptions } from "./options.ts";
import { preflight } from "./preflight.ts";
import { ruleWarnings } from "./rule-warnings.ts";

export const CHECK_HELP = `platypus check FILE [--rules FILE] [--json]: list the errors of a configuration, without running it

  platypus check platypus.toml
  platypus check nutcracker.yml                   twemproxy's file; directives without effect are warnings
  platypus check mcrouter.json --rules rules.toml
  platypus check mcrouter.json --route-prefix /east/main/
  platypus check platypus.toml && systemctl reload platypus

  --rules FILE         TOML with rules and sources that are added to a mcrouter configuration
  mcrouter's options   the options that mcrouter runs with
  --json               one JSON object: { ok, file, problems: [{ file, line, message }], warnings, pools, rules, sources,
                       guarantees: [{ rule, route, text }] }

Each problem is one line: FILE:LINE, the error, and how to correct it.

Exit codes: 0 the configuration can be used (there may be warnings), 2 it has errors, or wrong usage.
`;

/**
 * Throws a ConfigError with all problems; prints one line if there are none. With `--json`, prints the problems
 * instead.
 */
export async function check(args: readonly string[]): Promise<void> {
  const { files, rules, isJson, mcrouter } = await readOptions(args);
  const [file, ...others] = files;
  if (file === undefined || others.length > 0) {
    throw new UsageError("check takes one file: platypus check FILE [--rules FILE]");
  }
  let config: Config;
  try {
    const { McrouterOptions } = mcrouter === null ? {} : await loadWing();
    const options = McrouterOptions && new McrouterOptions(new Map([...mcrouter!, ["config", `file:${file}`]]));
    config = await loadConfig({ path: file, rules, env: process.env, ...(options && { mcrouter: options }) });
  } catch (error) {
    if (!isJson || !(error instanceof ConfigError)) throw error;
    process.exitCode = 2;
    printJson({ ok: false, file, problems: error.problems, warnings: [] });
    return;
  }
  const warnings = [
    ...warningsOf(config),
    ...ruleWarnings(config),
    // The guarantees of rules under [[route]] are printed below.
    ...(config.mcrouter === null ? [] : (await loadWing()).treeWarnings(config)),
    ...(await preflight(config, { env: process.env, filesLimit: openFilesLimit() })),
  ];
  const guarantees = config.routes.length === 0 ? [] : (await loadWing()).ruleGuarantees(config);
  if (isJson) {
    const [pools, ruleNames, sources] = [config.pools, config.rules, config.sources].map((all) =>
      all.map(({ name }) => name),
    );
    const holds = guarantees.map(({ rule, route, text }) => ({ rule, route, text }));
    printJson({ ok: true, file, problems: [], warnings, pools, rules: ruleNames, sources, guarantees: holds });
    return;
  }
  for (const warning of warnings) process.stdout.write(`${file}: ${styleText("yellow", "warning")}: ${warning}\n`);
  const { guaranteeText } = guarantees.length === 0 ? {} : await loadWing();
  for (const guarantee of guarantees) process.stdout.write(`${file}: ${guaranteeText!(guarantee)}\n`);
  const { length } = config.pools;
  const isEmbedded = length === 0 && config.tree === null;
  const pools = isEmbedded ? "no pool: the embedded store serves" : `${length} pool${length === 1 ? "" : "s"}`;
  const counts = `${pools}, ${config.rules.length} rules, ${config.sources.length} sources`;
  process.stdout.write(`${file}: ${styleText("green", "no problems")} (${counts})\n`);
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

interface CheckOptions {
  readonly files: readonly string[];
  readonly rules: string | null;
  readonly isJson: boolean;
  /** mcrouter's options by internal name. `null` if there are none. */
  readonly mcrouter: ReadonlyMap<string, string> | null;
}

async function readOptions(args: readonly string[]): Promise<CheckOptions> {
  const own = { rules: { type: "string" }, json: { type: "boolean" } } as const;
  const ofMcrouter = withoutOwn(args);
  if (!(await isMcrouterLine(ofMcrouter))) {
    const { positionals, values } = parseOptions(args, own);
    return { files: positionals, rules: values.rules ?? null, isJson: values.json ?? false, mcrouter: null };
  }
  const { parseMcrouterArguments } = await loadWing();
  const { given, words } = parseMcrouterArguments(ofMcrouter);
  const { values } = parseOptions(
    args.filter((arg) => !ofMcrouter.includes(arg)),
    own,
  );
  return { files: words, rules: values.rules ?? null, isJson: values.json ?? false, mcrouter: given };
}

/** The command line without the options of `check`. */
function withoutOwn(args: readonly string[]): readonly string[] {
  const rules = args.indexOf("--rules");
  return args.filter((arg, index) => {
    const isRules = arg.startsWith("--rules=") || (rules >= 0 && (index === rules || index === rules + 1));
    return !isRules && arg !== "--json";
  });
}
