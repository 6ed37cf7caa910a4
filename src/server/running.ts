/**
 * The parts that depend on the configuration and that a reload replaces. They are built from a configuration; unchanged
 * parts of the previous one are reused.
 */
import type { Clock } from "../clock.ts";
import type { Config, TreeConfig } from "../config/config.ts";
import type { DeleteSpool } from "../mcrouter/routes/async-log-route.ts";
import { loadedWing } from "../observe/mcrouter-wing.ts";
import type { ClusterAnswer } from "../proxy/client/cluster-answer.ts";
import type { NearCache } from "../proxy/near/near-cache.ts";
import { NearRoute } from "../proxy/near/near-route.ts";
import { ClusterRoute } from "../proxy/route/cluster-route.ts";
import { FillRoute } from "../proxy/route/fill-route.ts";
import { FormerRoute } from "../proxy/route/former-route.ts";
import { NoServersRoute } from "../proxy/route/no-servers-route.ts";
import type { PoolRoute } from "../proxy/route/pool-route.ts";
import { type BuiltPools, buildPools, canCopy, noPools } from "../proxy/route/pools.ts";
import type { Root } from "../proxy/route/route.ts";
import type { RouteCounters } from "../proxy/route/route-counters.ts";
import { SidecarRoute } from "../proxy/route/sidecar-route.ts";
import { EmbeddedRoute } from "../proxy/store/embedded-route.ts";
import type { ItemStore } from "../proxy/store/item-store.ts";
import type { Turn } from "../proxy/wire/turn.ts";
import type { Filler } from "../refresh/filler.ts";
import { Copier, type Former, type HandoffCounters } from "../refresh/handoff/copier.ts";
import { HandoffRoute, type HeldKeys } from "../refresh/handoff/handoff-route.ts";
import { nearPolicyOf } from "../refresh/near-policy.ts";
import { EmbeddedPoolPort } from "../refresh/pool/embedded-pool-port.ts";
import type { PoolPort } from "../refresh/pool/pool-port.ts";
import type { ReadMarks } from "../refresh/pool/read-marks.ts";
import { RoutedPoolPort } from "../refresh/pool/routed-pool-port.ts";
import { type PlainPortOf, TreePoolPort } from "../refresh/pool/tree-pool-port.ts";
import { newRuleCounters, newRuleTimings, type Rule, Rules } from "../refresh/rules.ts";
import type { UnsettledWrites } from "../refresh/unsettled-writes.ts";
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
  /** Ports of pools that store keys alone, by the name of the pool. */
  readonly plain: ReadonlyMap<string, PoolPort>;
  /** By the name of the pool. */
  readonly held: ReadonlyMap<string, HeldKeys>;
  /** Pools whose keys other pools take over, by the names of both. */
  readonly warm: ReadonlyMap<string, FormerRoute>;
}

/** Events from routes and sources to parts that are created later. */
export class RunningEvents {
  /** A source has reported that the value of a key has changed. */
  changed: (key: string) => void = () => {};
  /** A connection to a server of a pool was lost, or could not be established. */
  lost: (pool: string) => void = () => {};
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
  /** `null` without a mcrouter configuration. */
  readonly spool: DeleteSpool | null;
  readonly counters: RouteCounters;
  readonly marks: ReadMarks;
  readonly events: RunningEvents;
  readonly cluster: ClusterAnswer;
  readonly unsettled: UnsettledWrites;
  readonly handoffs: HandoffCounters;
  readonly near: NearCache;
}

type Handoffs = ReadonlyMap<PoolRoute, HandoffRoute>;
type WarmedBy = (pool: PoolRoute, warm: PoolRoute) => HandoffRoute | null;

/** Builds the parts for `config`. The caller closes the parts of `previous` that are no longer used. */
export function buildRunning(config: Config, previous: Running | null, context: RunningContext): Running {
  const lost = (pool: string) => context.events.lost(pool);
  const pools = buildPools(config, previous?.pools ?? noPools, { ...context, lost });
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
  const held = new Map(
    config.pools.map(({ name }) => [name, previous?.held.get(name) ?? (new Map() satisfies HeldKeys)] as const),
  );
  const handoffs = new Map(
    [...pools.routes].flatMap(([name, pool]) => {
      const route = handoffOf(pool, null, pools, held.get(name)!, config, context);
      return route === null ? [] : [[pool, route] as const];
    }),
  );
  const warm = new Map<string, FormerRoute>();
  const warmedBy: WarmedBy = (pool, other) => {
    if (!canCopy(pool.pool) || !canCopy(other.pool)) return null;
    const id = JSON.stringify([pool.pool.name, other.pool.name]);
    const former = warm.get(id) ?? FormerRoute.ofPool(other, previous?.warm.get(id) ?? null);
    warm.set(id, former);
    return handoffOf(pool, former, pools, held.get(pool.pool.name)!, config, context);
  };
  return {
    config,
    pools,
    sources,
    rules,
    held,
    warm,
    ...buildRoutes(config, pools, handoffs, warmedBy, previous, context),
  };
}

/**
 * The routes of client commands below the fills, and the ports of fills and refreshes. A port is reused if the keys
 * have the same servers as before: then leases and cas values that operations in progress hold stay valid.
 */
function buildRoutes(
  config: Config,
  pools: BuiltPools,
  handoffs: Handoffs,
  warmedBy: WarmedBy,
  previous: Running | null,
  context: RunningContext,
): Pick<Running, "leaf" | "port" | "usePort" | "plain"> {
  const { tree } = config;
  const { store, marks } = context;
  const placement = ({ pools: all, server, routes }: Config) => JSON.stringify([all, server.prefix, routes]);
  const isSamePlace = previous !== null && placement(previous.config) === placement(config);
  const plain = new Map<string, PoolPort>();
  const portOf = (pool: PoolRoute): PoolPort => {
    const { name } = pool.pool;
    const old = isSamePlace ? previous.plain.get(name) : undefined;
    const port = plain.get(name) ?? old ?? new RoutedPoolPort(pool, config.server.prefix, marks);
    const handoff = handoffs.get(pool);
    if (port instanceof RoutedPoolPort) port.removeFormer = handoff ? (key) => handoff.removeFormer(key) : null;
    plain.set(name, port);
    return port;
  };
  if (tree === null) {
    const pool = pools.routes.values().next().value;
    if (pool !== undefined) {
      return { leaf: handoffs.get(pool) ?? pool, port: portOf(pool), usePort: () => {}, plain };
    }
    if (config.pools.length > 0) {
      const leaf = new NoServersRoute();
      return { leaf, port: new TreePoolPort(leaf, () => null, marks), usePort: () => {}, plain };
    }
    const isSameStore = previous?.port instanceof EmbeddedPoolPort;
    const port = isSameStore ? previous.port : new EmbeddedPoolPort(store, marks);
    return { leaf: new EmbeddedRoute(store), port, usePort: () => {}, plain };
  }
  const { root, plainPools, plainPoolOf } = buildTree(config, tree, pools, handoffs, warmedBy, context);
  for (const pool of plainPools) portOf(pool);
  const plainOf: PlainPortOf = (key) => {
    const pool = plainPoolOf(key);
    return pool === null ? null : plain.get(pool.pool.name)!;
  };
  const old = previous?.port;
  if (old instanceof TreePoolPort && (isSamePlace || config.routes.length === 0 || plain.size === 0)) {
    const isSamePlain = isEqual(previous!.plain, plain);
    if (isSamePlain) return { leaf: root, port: old, usePort: () => old.replaceRoot(root, plainOf), plain };
  }
  return { leaf: root, port: new TreePoolPort(root, plainOf, marks), usePort: () => {}, plain };
}

function isEqual(before: ReadonlyMap<string, PoolPort>, now: ReadonlyMap<string, PoolPort>): boolean {
  return before.size === now.size && [...now].every(([name, port]) => before.get(name) === port);
}

interface BuiltTree {
  readonly root: Root;
  /** Pools that alone store the keys of a route, as they are. */
  readonly plainPools: readonly PoolRoute[];
  /** The one of them that stores a key (one character per byte). `null` if absent. */
  plainPoolOf(key: string): PoolRoute | null;
}

function buildTree(
  config: Config,
  tree: TreeConfig,
  pools: BuiltPools,
  handoffs: Handoffs,
  warmedBy: WarmedBy,
  context: RunningContext,
): BuiltTree {
  const { mcrouter } = config;
  const { TreeBuilder, RootRoute, NativeRoot, plainPoolOf, onlyPoolOf } = loadedWing();
  const log = (line: string) => context.log.debug("route", line);
  const entranceOf = (pool: PoolRoute) => handoffs.get(pool) ?? pool;
  const spool = context.spool ?? noSpool;
  const warmed = new Set<HandoffRoute>();
  const recorded: WarmedBy = (pool, warm) => {
    const route = warmedBy(pool, warm);
    if (route !== null) warmed.add(route);
    return route;
  };
  const builder = new TreeBuilder({ ...context, spool, log, pools: pools.routes, entranceOf, warmedBy: recorded });
  const routes = new Map([...tree.routes].map(([name, node]) => [name, builder.build(node)] as const));
  const top = routes.get(tree.defaultPrefix)!;
  const all = [...pools.routes.values()];
  if (mcrouter === null) {
    const root = new NativeRoot(top, all, [...handoffs.values(), ...warmed]);
    const names = new Set(config.routes.map(onlyPoolOf));
    const plainPools = all.filter(({ pool }) => names.has(pool.name));
    return { root, plainPools, plainPoolOf: (key) => root.plainPoolOf(key) };
  }
  const answerAdmin = (command: string) => context.events.answerAdmin(command);
  const root = new RootRoute(routes, tree.defaultPrefix, all, mcrouter.root, answerAdmin, context.clock);
  const plain = plainPoolOf(top);
  return {
    root,
    plainPools: plain === null ? [] : [plain],
    plainPoolOf: (key) => (key.startsWith("/") ? null : plain),
  };
}

/**
 * The route to a pool whose servers have changed a short time ago, or that takes the keys of another pool over (`warm`). `null` if
 * there is nothing to copy from.
 */
function handoffOf(
  pool: PoolRoute,
  warm: FormerRoute | null,
  { former }: BuiltPools,
  held: HeldKeys,
  { server }: Config,
  { marks, clock, unsettled, handoffs }: RunningContext,
): HandoffRoute | null {
  const lists = former.get(pool.pool.name) ?? [];
  const all = warm === null ? lists : [...lists, warm];
  if (all.length === 0) return null;
  const copier = new Copier(new RoutedPoolPort(pool, server.prefix, marks), clock, unsettled, handoffs);
  const ports = all.map((servers): Former => ({ servers, port: new RoutedPoolPort(servers.route, server.prefix) }));
  return new HandoffRoute(pool, ports, copier, held);
}

/** Only trees of mcrouter configurations log failed deletes. */
const noSpool: DeleteSpool = { spool: (_server, _pool, _key, done) => done() };

/** The entry of client commands. `isIdle` is true if no fill, refresh or check of an unsettled write is in progress. */
export function rootOf(running: Running, filler: Filler, isIdle: boolean, context: RunningContext): Root {
  const { server } = running.config;
  const root = nearOf(entryOf(running, filler, isIdle, context.clock), running, filler, context);
  if (server.advertise.length === 0) return root;
  context.cluster.prepare(server.advertise);
  return new ClusterRoute(root, () => context.cluster.textOf(server.advertise));
}

/** `entry`, or the route above it that answers gets of hot keys from memory. The cache is empty afterwards. */
function nearOf(entry: Root, { config, rules }: Running, filler: Filler, { near, turn }: RunningContext): Root {
  const policy = nearPolicyOf(config, rules);
  near.configure(policy);
  return policy === null ? entry : new NearRoute(entry, near, turn, rules.list.length > 0 ? filler : null);
}

function entryOf(running: Running, filler: Filler, isIdle: boolean, clock: Clock): Root {
  // Without rules, the fast path leads directly to the pool. But operations in progress must still see client writes.
  const isPlain = running.rules.list.length === 0 && isIdle;
  if (isPlain) return running.leaf;
  const fills = new FillRoute(running.leaf, filler, clock);
  return running.config.server.mode === "sidecar" ? new SidecarRoute(fills, filler) : fills;
}
