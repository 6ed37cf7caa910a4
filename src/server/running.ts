/**
 * Everything that a configuration decides and a reload replaces: built from a configuration, and from what was built
 * before as far as that stays what it was.
 */
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { DeleteSpool } from "../mcrouter/routes/async-log-route.ts";
import { loadedWing } from "../observe/mcrouter-wing.ts";
import { FillRoute } from "../proxy/route/fill-route.ts";
import type { PoolRoute } from "../proxy/route/pool-route.ts";
import { type BuiltPools, buildPools, noPools } from "../proxy/route/pools.ts";
import type { Root } from "../proxy/route/route.ts";
import type { RouteCounters } from "../proxy/route/route-counters.ts";
import { SidecarRoute } from "../proxy/route/sidecar-route.ts";
import { EmbeddedRoute } from "../proxy/store/embedded-route.ts";
import type { ItemStore } from "../proxy/store/item-store.ts";
import type { Turn } from "../proxy/wire/turn.ts";
import type { Filler } from "../refresh/filler.ts";
import { EmbeddedPoolPort } from "../refresh/pool/embedded-pool-port.ts";
import type { PoolPort } from "../refresh/pool/pool-port.ts";
import type { ReadMarks } from "../refresh/pool/read-marks.ts";
import { RoutedPoolPort } from "../refresh/pool/routed-pool-port.ts";
import { TreePoolPort } from "../refresh/pool/tree-pool-port.ts";
import { newRuleCounters, newRuleTimings, type Rule, Rules } from "../refresh/rules.ts";
import { type BuiltSource, buildSources } from "../sources/build.ts";
import type { Log } from "../telemetry/log.ts";

/** What is built. */
export interface Running {
  readonly config: Config;
  readonly pools: BuiltPools;
  readonly sources: ReadonlyMap<string, BuiltSource>;
  readonly rules: Rules;
  /** What the pool is asked through, below the fills. */
  readonly leaf: Root;
  readonly port: PoolPort;
  /** To be called before `port` is used: it may be one that is in use, and lead to what was before. */
  usePort(): void;
  /** The port of the one pool in which keys lie, and that pool's name; `null` where there is none. */
  readonly plain: PlainPort | null;
}

interface PlainPort {
  readonly poolName: string;
  readonly port: PoolPort;
}

/** What routes and sources tell, or ask, of parts that are made after them. */
export class RunningEvents {
  /** A source has said that the value of a key is another one now. */
  changed: (key: string) => void = () => {};
  /** The value of `get __mcrouter__.COMMAND`. */
  answerAdmin: (command: string) => string = () => "";
}

/** What outlives every configuration. */
export interface RunningContext {
  readonly clock: Clock;
  readonly turn: Turn;
  readonly log: Log;
  readonly random: () => number;
  readonly hostId: number;
  /** Serves where there is no pool. */
  readonly store: ItemStore;
  /** Of a configuration without a tree `null`. */
  readonly spool: DeleteSpool | null;
  readonly counters: RouteCounters;
  readonly marks: ReadMarks;
  readonly events: RunningEvents;
}

/** Builds what `config` says; the caller closes what of `previous` is of no use any more. */
export function buildRunning(config: Config, previous: Running | null, context: RunningContext): Running {
  const pools = buildPools(config, previous?.pools ?? noPools, context);
  const sources = buildSources(config.sources, previous?.sources ?? new Map(), context.clock);
  for (const { source } of sources.values()) source.onChanged = (key) => context.events.changed(key);
  const before = new Map(previous?.rules.list.map((rule) => [rule.config.name, rule]));
  const rules = new Rules(
    config.rules.map((rule): Rule => {
      const source = sources.get(rule.source)!.limiter;
      const { counters = newRuleCounters(), timings = newRuleTimings() } = before.get(rule.name) ?? {};
      return { config: rule, source, counters, timings };
    }),
  );
  return { config, pools, sources, rules, ...buildRoutes(config, pools, previous, context) };
}

/**
 * What clients' commands go through below the fills, and what fills and refreshes ask. A port is carried over where keys lie
 * on the same servers as before: leases and cas that operations under way have learned through it hold.
 */
function buildRoutes(
  config: Config,
  pools: BuiltPools,
  previous: Running | null,
  context: RunningContext,
): Pick<Running, "leaf" | "port" | "usePort" | "plain"> {
  const { tree, mcrouter } = config;
  const { store, marks } = context;
  const placement = ({ pools: all, server }: Config) => JSON.stringify([all, server.prefix]);
  const isSamePlace = previous !== null && placement(previous.config) === placement(config);
  const portOf = (pool: PoolRoute): PlainPort => {
    const old = previous?.plain ?? null;
    if (isSamePlace && old?.poolName === pool.pool.name) return old;
    return { poolName: pool.pool.name, port: new RoutedPoolPort(pool, config.server.prefix, marks) };
  };
  if (tree === null) {
    const pool = pools.routes.values().next().value;
    if (pool !== undefined) {
      const plain = portOf(pool);
      return { leaf: pool, port: plain.port, usePort: () => {}, plain };
    }
    const isSameStore = previous?.port instanceof EmbeddedPoolPort;
    const port = isSameStore ? previous.port : new EmbeddedPoolPort(store, marks);
    return { leaf: new EmbeddedRoute(store), port, usePort: () => {}, plain: null };
  }
  const { TreeBuilder, RootRoute, plainPoolOf } = loadedWing();
  const log = (line: string) => context.log.debug("route", line);
  const builder = new TreeBuilder({ ...context, spool: context.spool!, log, pools: pools.routes });
  const routes = new Map([...tree.routes].map(([name, node]) => [name, builder.build(node)] as const));
  const answerAdmin = (command: string) => context.events.answerAdmin(command);
  const all = [...pools.routes.values()];
  const root = new RootRoute(routes, tree.defaultPrefix, all, mcrouter!.root, answerAdmin, context.clock);
  const pool = plainPoolOf(routes.get(tree.defaultPrefix)!);
  const plain = pool === null ? null : portOf(pool);
  const old = previous?.port;
  if (old instanceof TreePoolPort && old.plain === (plain?.port ?? null)) {
    return { leaf: root, port: old, usePort: () => old.replaceRoot(root), plain };
  }
  return { leaf: root, port: new TreePoolPort(root, plain?.port ?? null, marks), usePort: () => {}, plain };
}

/** Where clients' commands enter. `isIdle`: no fill, refresh or check of an unsettled write is under way. */
export function rootOf(running: Running, filler: Filler, isIdle: boolean, clock: Clock): Root {
  // Without rules the fast path: straight to the pool. But operations under way still have to notice clients' writes.
  const isPlain = running.rules.list.length === 0 && isIdle;
  if (isPlain) return running.leaf;
  const fills = new FillRoute(running.leaf, filler, clock);
  return running.config.server.mode === "sidecar" ? new SidecarRoute(fills, filler) : fills;
}
