/**
 * Explains a key without a request: its server, its rule, and the request that its source would get.
 */
import { systemClock } from "../../clock.ts";
import { addressText, type Config, type PoolConfig, type RuleConfig, type ServerConfig } from "../../config/config.ts";
import { formatDuration } from "../../config/units.ts";
import type { RecordedTree } from "../../mcrouter/report/recorded-tree.ts";
import { buildPlacement } from "../../proxy/hash/build.ts";
import { hostId } from "../../proxy/hash/host-id.ts";
import { MAX_KEY_BYTES } from "../../proxy/key.ts";
import { nearPolicyOf } from "../../refresh/near-policy.ts";
import { dueIn, exptimeOf, freshnessOfFetched } from "../../refresh/policy.ts";
import { newRuleCounters, newRuleTimings, type Rule, Rules } from "../../refresh/rules.ts";
import type { BuiltSource } from "../../sources/build.ts";
import type { Captures, FetchContext } from "../../sources/source.ts";
import { loadedWing } from "../mcrouter-wing.ts";

/** One line of an explanation: a name and a text. */
export type Line = readonly [name: string, text: string];

/** The rule that covers a key, and its parameters for the source. */
export interface Covered {
  readonly rule: RuleConfig;
  readonly source: BuiltSource;
  readonly captures: Captures;
}

/** `null` if no rule covers `key` (one character per byte). */
export function coveredBy(
  config: Config,
  sources: ReadonlyMap<string, BuiltSource>,
  key: string,
  rules: Rules = rulesOf(config, sources),
): Covered | null {
  const match = rules.match(key);
  if (match === null) return null;
  const { config: rule } = match.rule;
  return { rule, source: sources.get(rule.source)!, captures: match.captures };
}

function rulesOf(config: Config, sources: ReadonlyMap<string, BuiltSource>): Rules {
  return new Rules(
    config.rules.map((rule): Rule => {
      const source = sources.get(rule.source)!.limiter;
      return { config: rule, source, counters: newRuleCounters(), timings: newRuleTimings() };
    }),
  );
}

/** The explanation of `key` (one character per byte). `rules` holds the rules of `config` if they are built already. */
export function explain(config: Config, sources: ReadonlyMap<string, BuiltSource>, key: string, rules?: Rules): Line[] {
  const refusal = refusalOf(key);
  if (refusal !== null)
    return [
      ["key", JSON.stringify(key)],
      ["refused", refusal],
    ];
  const built = rules ?? rulesOf(config, sources);
  const covered = coveredBy(config, sources, key, built);
  return [
    ["key", JSON.stringify(key)],
    ...(config.server.prefix === "" ? [] : [["on the servers", JSON.stringify(config.server.prefix + key)] as const]),
    ...placement(config, key),
    ...(covered === null
      ? [["rule", "none covers it: it is forwarded, and a miss is a miss"] as const]
      : rule(config, covered, key)),
    ...near(config, built, key),
  ];
}

/** True if clients cannot ask for the explained key. */
export function isRefused(lines: readonly Line[]): boolean {
  return lines.some(([name]) => name === "refused");
}

/** Whether gets of the key may be answered from memory. No line if the configuration has no `near` in effect. */
function near(config: Config, rules: Rules, key: string): Line[] {
  const policy = nearPolicyOf(config, rules);
  if (policy === null) return [];
  const nearMs = policy.nearMsOf(key);
  const text =
    nearMs === 0
      ? "no: gets always go to the pool"
      : `while it is hot, for at most ${formatDuration(nearMs)} (near): gets are answered from memory`;
  return [["is kept near", text]];
}

/** Reason why clients cannot ask for the key. `null` if they can. */
function refusalOf(key: string): string | null {
  if (key.length > MAX_KEY_BYTES) {
    return `a key has at most ${MAX_KEY_BYTES} bytes, this one has ${key.length}: clients are answered CLIENT_ERROR`;
  }
  return null;
}

/** With a tree, the route of the key. Each pool with separate addresses has a line. */
function placement(config: Config, key: string): Line[] {
  const { pools, server } = config;
  if (config.tree !== null) return treeLines(config, key);
  if (pools.length === 0) return [["server", "the store in this process"]];
  const alone = pools.filter(({ listen }) => listen.length > 0);
  return (alone.length > 0 ? alone : pools.slice(0, 1)).map((pool) => ["server", serverOf(pool, server, key)]);
}

/** Trees that were built for explanations, by configuration. */
const trees = new WeakMap<Config, RecordedTree>();

function treeOf(config: Config): RecordedTree {
  const tree = trees.get(config) ?? new (loadedWing().RecordedTree)(config, hostId(), systemClock);
  trees.set(config, tree);
  return tree;
}

/** The routes that a get may take, and the servers that get the request if no failure occurs, in order. */
function treeLines(config: Config, key: string): Line[] {
  const tree = treeOf(config);
  const operations = (["get", "set", "delete"] as const).map((operation): Line => {
    const servers = tree.serversOf(operation, key);
    return [operation, servers.length === 0 ? "no server" : servers.join(", ")];
  });
  const handles = tree.handlesOf("get", key).split("\n").slice(1);
  return [...operations, ...handles.map((handle, i): Line => [i === 0 ? "route" : "", handle.slice(1)])];
}

/** Addresses of the servers that a get of the key may ask, as text. Empty for the store in this process. */
export function serversOf(config: Config, key: string): readonly string[] {
  const { pools, server } = config;
  if (config.tree !== null) return treeOf(config).serversOf("get", key);
  return pools.flatMap((pool) => {
    const isAny = pool.servers.length > 1 && pool.placement.type === "random";
    const servers =
      isAny || pool.servers.length === 0 ? pool.servers : [pool.servers[located(pool, server, key).index]!];
    return servers.map(({ address }) => addressText(address));
  });
}

/** The index of the key's server in `pool`, which has servers, and the hash of the key. */
function located(pool: PoolConfig, server: ServerConfig, key: string): { index: number; keyHash: number } {
  const prefix = Buffer.from(server.prefix, "latin1");
  const placement = buildPlacement(pool.placement, pool.servers, { prefix, random: () => 0 });
  const bytes = Buffer.from(key, "latin1");
  return { index: placement.locate(bytes, 0, bytes.length), keyHash: placement.keyHash };
}

function serverOf(pool: PoolConfig, server: ServerConfig, key: string): string {
  if (pool.servers.length === 0)
    return `those of pool ${pool.name} are found by ${pool.discovery?.text}, which is not asked here`;
  if (pool.servers.length > 1 && pool.placement.type === "random") {
    return `any of the ${pool.servers.length} of pool ${pool.name}`;
  }
  const { index, keyHash } = located(pool, server, key);
  const how = `by ${pool.placement.type}, at ${keyHash}`;
  const of = pool.servers.length === 1 ? "" : ` (${index + 1} of ${pool.servers.length} ${how})`;
  return `${addressText(pool.servers[index]!.address)} of pool ${pool.name}${of}`;
}

function rule(config: Config, { rule: own, source, captures }: Covered, key: string): Line[] {
  const { groups } = captures;
  const parts = [...groups].map(([name, text]) => `{${name}} = ${JSON.stringify(text)}`);
  const mode = own.mode === "on" ? "" : ` (mode = "${own.mode}": nothing is fetched)`;
  const where = config.rules.indexOf(own) + 1;
  return [
    ["rule", `${own.name}, number ${where} of ${config.rules.length}: match = ${JSON.stringify(own.match)}${mode}`],
    ["captures", parts.length === 0 ? "none" : parts.join(", ")],
    ...call(source, captures),
    ...times(own, hasLeases(config, key)),
  ];
}

/** The request that the source would get, or the reason why the source refuses the key. */
function call({ config, source }: BuiltSource, captures: Captures): Line[] {
  const head: Line = ["source", `${config.name} (${config.type}), at most ${config.timeoutMs} ms`];
  const context: FetchContext = { ...captures, tag: null, priority: "fill", signal: new AbortController().signal };
  try {
    const lines = source.describe?.(context) ?? [];
    return [head, ...lines.map((line): Line => ["  asks for", line])];
  } catch (error) {
    return [head, ["  refuses", (error as Error).message]];
  }
}

/**
 * True if leases work for a key: they need servers that other processes use too and that support meta commands. With
 * `[[route]]`, one pool must store the key alone.
 */
function hasLeases(config: Config, key: string): boolean {
  const { pools, routes } = config;
  const own = routes.length === 0 ? null : treeOf(config).plainPoolOf(key);
  return (
    (routes.length === 0 || own !== null) &&
    pools.some(({ name, login }) => (own ?? name) === name && login?.kind !== "sasl")
  );
}

function times(config: RuleConfig, canShare: boolean): Line[] {
  const { ttlMs } = freshnessOfFetched(null, config);
  const exptime = exptimeOf(ttlMs, config, 0);
  const dueMs = Math.round(dueIn(ttlMs, config, 0));
  const ttl = config.isSourceTtl
    ? `as the source says, from ${formatDuration(config.minTtlMs)} to ${formatDuration(config.maxTtlMs)}; else ${formatDuration(ttlMs)}`
    : formatDuration(ttlMs);
  const fromGets = config.refreshAfterGets === 1 ? "" : `, if asked for ${config.refreshAfterGets} times`;
  return [
    ["a client waits", `at most ${formatDuration(config.fillTimeoutMs)} for it (fill_timeout), then has a miss`],
    ["ttl", ttl],
    [
      "is stored for",
      `${exptime} s (ttl${config.staleMs > 0 ? `, stale ${formatDuration(config.staleMs)}` : ""} and 1 s)`,
    ],
    ["is refreshed", `${formatDuration(dueMs)} after it was stored, or up to a tenth earlier${fromGets}`],
    ["is needed", `until ${formatDuration(config.expiryMs)} after its last get (expiry)`],
    ["is not there", `is remembered for ${formatDuration(config.negativeTtlMs)} (negative_ttl)`],
    ["fails", `is not fetched again for ${formatDuration(config.failureTtlMs)} (failure_ttl)`],
    ["one fetch for", config.lease === "fleet" && canShare ? "all processes over the pool (lease)" : "this process"],
  ];
}
