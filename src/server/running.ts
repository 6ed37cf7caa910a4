/**
 * The parts that depend on the configuration and that a reload replaces. They are built from a configuration; unchanged
 * parts of the previous one are reused.
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

/** The parts of one configuration. */
export interface Running {
  readonly config: Config;
  readonly pools: BuiltPools;
  readonly sources: ReadonlyMap<string, BuiltSource>;
  readonly rules: Rules;
  /** The interface to the pool, below the fills. */
  readonly leaf: Root;
  readonly port: PoolPort;
  /** Must be called before `port` is used: the port may be in use and still lead to the previous routes. */
  usePort(): void;
  /** The port of the only pool that stores keys, and the pool's name. `null` if there is no such pool. */
  readonly plain: PlainPort | null;
}

interface PlainPort {
  readonly poolName: string;
  readonly port: PoolPort;
}

/** Events from routes and sources to parts that are created later. */
export class RunningEvents {
  /** A source has reported that the value of a key has changed. */
  changed: (key: string) => void = () => {};
  answerAdmin: (command: string) => string = () => "";
}

/** Parts that all configurations share. */
export interface RunningContext {
  readonly clock: Clock;
  readonly turn: Turn;
  readonly log: Log;
  readonly random: () => number;
  readonly hostId: number;
  /** The store that serves without a pool. */
  readonly store: ItemStore;
  /** `null` without a tree. */
  readonly spool: DeleteSpool | null;
  readonly counters: RouteCounters;
  readonly marks: ReadMarks;
  readonly events: RunningEvents;
}

/** Builds the parts for `config`. The caller closes the parts of `previous` that are no longer used. */
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
 * The routes of client commands below the fills, and the ports of fills and refreshes. A port is reused if the keys
 * have the same servers as before: then leases and cas values that operations in progress hold stay valid.
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

/** The entry of client commands. `isIdle` is true if no fill, refresh or check of an unsettled write is in progress. */
export function rootOf(running: Running, filler: Filler, isIdle: boolean, clock: Clock): Root {
  // Without rules, the fast path leads directly to the pool. But operations in progress must still see client writes.
  const isPlain = running.rules.list.length === 0 && isIdle;
  if (isPlain) return running.leaf;
  const fills = new FillRoute(running.leaf, filler, clock);
  return running.config.server.mode === "sidecar" ? new SidecarRoute(fills, filler) : fills;
}
