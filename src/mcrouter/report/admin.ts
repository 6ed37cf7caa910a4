/**
 * `get __mcrouter__.COMMAND(ARGUMENTS)`: mcrouter's reports about itself. The reply is a value, also for errors
 * ("ERROR: …").
 *
 * Source: mcrouter ServiceInfo-inl.h, as facts.
 */
import type { Clock } from "../../clock.ts";
import { addressText, type Config, type McrouterConfig } from "../../config/config.ts";
import type { LogConfig } from "../../telemetry/log-config.ts";
import { isOperationName, RecordedTree } from "./recorded-tree.ts";
import { mcrouterVersion } from "./version.ts";

/** mcrouter's log levels, from the least verbose. */
const levels: readonly LogConfig["level"][] = ["warn", "info", "debug"];

/** Input for the replies. The configuration has a mcrouter part. */
export interface AnswerContext {
  readonly config: Config;
  readonly clock: Clock;
  readonly hostId: number;
  /** Seconds since the last successful reload. */
  readonly configAgeSeconds: number;
  readonly logLevel: LogConfig["level"];
  setLogLevel(level: LogConfig["level"]): void;
}

type Answer = (context: AnswerContext, args: readonly string[]) => string;

const trees = new WeakMap<Config, RecordedTree>();

const answers: Readonly<Record<string, Answer>> = {
  version: () => mcrouterVersion,
  config_age: ({ configAgeSeconds }) => String(configAgeSeconds),
  config_file: ({ config }) => {
    const { file } = mcrouterOf(config).sources;
    if (file === null) throw new Error("no config file found!");
    return file;
  },
  config_md5_digest: ({ config }) => mcrouterOf(config).sources.digest,
  config_sources_info: ({ config }) => {
    const { file, digest, imports, pools } = mcrouterOf(config).sources;
    return prettySorted({
      ...(file === null ? {} : { config_file: file }),
      mcrouter_config: digest,
      ...(pools.size === 0 ? {} : { pools: Object.fromEntries(pools) }),
      ...(imports.size === 0 ? {} : { config_import: Object.fromEntries(imports) }),
    });
  },
  preprocessed_config: ({ config }) => prettySorted(mcrouterOf(config).document),
  options: ({ config }, args) => {
    if (args.length > 1) throw new Error("options: 0 or 1 args expected");
    const { options } = mcrouterOf(config);
    const [name] = args;
    if (name === undefined) return [...options].map((option) => option.join(" ")).join("\n");
    const value = options.get(name);
    if (value === undefined) throw new Error(`options: option ${name} not found`);
    return value;
  },
  route: (context, args) => {
    const { operation, key } = operationAndKey("route", args);
    return treeOf(context).serversOf(operation, key).join("\r\n");
  },
  route_handles: (context, args) => {
    const { operation, key } = operationAndKey("route_handles", args);
    return treeOf(context).handlesOf(operation, key);
  },
  hostid: ({ hostId }) => String(hostId),
  verbosity: (context, args) => {
    if (args.length > 1) throw new Error(`expected at most 1 argument, got ${args.length}`);
    const before = Math.max(0, levels.indexOf(context.logLevel));
    const [text] = args;
    if (text === undefined) return String(before);
    if (!/^\d+$/.test(text)) throw new Error(`expected a number, got ${JSON.stringify(text)}`);
    context.setLogLevel(levels[Math.min(Number(text), levels.length - 1)]!);
    return `${before} -> ${Number(text)}`;
  },
  pools: (context) => prettySorted(Object.fromEntries(treeOf(context).poolNames())),
  failure_domains: ({ config }, args) => {
    if (args.length !== 1) throw new Error("failure_domains: 1 arg expected");
    const pool = config.pools.find(({ name }) => name === args[0]);
    // In mcrouter, the name of the domain is in the parentheses: memcached's servers have only numbers.
    const domains = pool?.servers.map(({ address }, i) => [addressText(address), `${pool.failureDomains?.[i] ?? 0}()`]);
    return prettySorted(Object.fromEntries(domains ?? []));
  },
  global_params: ({ config }) => prettySorted(Object.fromEntries(mcrouterOf(config).globalParams)),
};

export function answerAdmin(command: string, context: AnswerContext): string {
  const open = command.indexOf("(");
  const hasArguments = open >= 0 && command.endsWith(")");
  const name = hasArguments ? command.slice(0, open) : command;
  const text = hasArguments ? command.slice(open + 1, -1) : "";
  try {
    const answer = Object.hasOwn(answers, name) ? answers[name] : undefined;
    if (answer === undefined) throw new Error(`unknown command: ${name}`);
    return answer(context, argumentsOf(name, text));
  } catch (error) {
    return `ERROR: ${(error as Error).message}`;
  }
}

/** Arguments may be keys with commas. */
function argumentsOf(name: string, text: string): string[] {
  if (text === "") return [];
  const comma = text.indexOf(",");
  if (!name.startsWith("route")) return text.split(",");
  return comma < 0 ? [] : [text.slice(0, comma), text.slice(comma + 1)];
}

function operationAndKey(name: string, args: readonly string[]) {
  const [operation, key] = args;
  if (operation === undefined || key === undefined) throw new Error(`${name}: 2 args expected`);
  if (!isOperationName(operation)) throw new Error(`route: unknown request ${operation}`);
  return { operation, key };
}

function treeOf({ config, hostId, clock }: AnswerContext): RecordedTree {
  let tree = trees.get(config);
  if (tree === undefined) {
    tree = new RecordedTree(config, hostId, clock);
    trees.set(config, tree);
  }
  return tree;
}

function mcrouterOf(config: Config): McrouterConfig {
  if (config.mcrouter === null) throw new Error("no mcrouter configuration");
  return config.mcrouter;
}

/** JSON with sorted members, indented by two spaces. */
export function prettySorted(value: unknown): string {
  return JSON.stringify(sorted(value), null, 2);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
