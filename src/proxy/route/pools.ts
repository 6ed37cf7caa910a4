/**
 * Config → pools of servers. Backends that the new configuration shares with the old one are kept, with their
 * connections, outstanding requests and health.
 */
import { addressText, type Config, type PoolConfig, type PoolServer } from "../../config/config.ts";
import { Backend, type BackendContext } from "../backend/backend.ts";
import { FailOpenGate, Health } from "../backend/health.ts";
import { HeldEntrance } from "../backend/held-entrance.ts";
import { buildPlacement } from "../hash/build.ts";
import { EjectingPlacement } from "../hash/ejecting-placement.ts";
import { FormerRoute } from "./former-route.ts";
import type { KeyedBackend } from "./keyed-backend.ts";
import { type PoolCounters, PoolRoute } from "./pool-route.ts";

/** The pools of a configuration. */
export interface BuiltPools {
  /** By name, in the order of the configuration, except pools without servers. */
  readonly routes: ReadonlyMap<string, PoolRoute>;
  /** By the name of the pool, in the order of its servers. */
  readonly members: ReadonlyMap<string, readonly Backend[]>;
  /**
   * Entrances of pools that moved to an existing backend: in this reload, or earlier if they still hold requests back.
   */
  readonly entrances: readonly HeldEntrance[];
  /** Servers that pools had before a change, newest first, while keys are handed over. */
  readonly former: ReadonlyMap<string, readonly FormerRoute[]>;
  /** By the properties that identify a backend. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** By server: all pools with a server share its health. */
  readonly healths: ReadonlyMap<string, Health>;
  /** By the name of the pool. */
  readonly counters: ReadonlyMap<string, PoolCounters>;
  /** By pool and limits: counters of dead servers. */
  readonly gates: ReadonlyMap<string, FailOpenGate>;
  /** `[server] prefix`. */
  readonly prefix: string;
}

export const noPools: BuiltPools = {
  routes: new Map(),
  members: new Map(),
  entrances: [],
  former: new Map(),
  backends: new Map(),
  healths: new Map(),
  counters: new Map(),
  gates: new Map(),
  prefix: "",
};

/** Builds the pools of `config`, and reuses parts of `previous`. The caller closes the rest (`replaceBackends`). */
export function buildPools(config: Config, previous: BuiltPools, context: BackendContext): BuiltPools {
  const backends = new Map<string, Backend>();
  const healths = new Map<string, Health>();
  const counters = new Map<string, PoolCounters>();
  const gates = new Map<string, FailOpenGate>();
  const prefix = Buffer.from(config.server.prefix, "latin1");
  const routes = new Map<string, PoolRoute>();
  const membersByPool = new Map<string, readonly Backend[]>();
  const entrances = previous.entrances.filter(({ isHolding }) => isHolding);
  const before = new Set(previous.backends.values());
  const former = new Map<string, readonly FormerRoute[]>();
  for (const pool of config.pools) {
    if (pool.servers.length === 0) continue;
    const left = formerRoutes(pool, previous, config.server.prefix, context.clock.nowMs());
    if (left.length > 0) former.set(pool.name, left);
    const { failOpen } = pool.health;
    // A reused health counts with the gate that it was created with.
    const gateName = JSON.stringify([pool.name, failOpen]);
    const gate = failOpen === null ? null : (previous.gates.get(gateName) ?? new FailOpenGate(failOpen));
    if (gate !== null) gates.set(gateName, gate);
    const healthOf = (server: PoolServer): Health => {
      const place = failOpen === null ? null : pool.name;
      const identity = JSON.stringify([addressText(server.address), pool.health, place]);
      const health =
        healths.get(identity) ??
        previous.healths.get(identity) ??
        new Health(pool.health, context.clock, context.random, gate);
      healths.set(identity, health);
      return health;
    };
    const settings = JSON.stringify([...settingsOf(pool), config.server.prefix]);
    const members = pool.servers.map((server) => {
      const identity = `${addressText(server.address)} ${settings}`;
      const health = healthOf(server);
      const backend =
        backends.get(identity) ??
        previous.backends.get(identity) ??
        new Backend(server, pool, health, prefix, config.server.maxValueBytes, context);
      backends.set(identity, backend);
      return backend;
    });
    const place = (servers: readonly PoolServer[]) =>
      buildPlacement(pool.placement, servers, { prefix, random: context.random });
    const placement = pool.ejectsDeadServers
      ? new EjectingPlacement(pool.servers, (i) => members[i]!.isUp, place)
      : place(pool.servers);
    membersByPool.set(pool.name, members);
    const targets: KeyedBackend[] = [...members];
    const old = previous.members.get(pool.name) ?? [];
    for (const [i, backend] of members.entries()) {
      if (!before.has(backend) || old.includes(backend)) continue;
      const entrance = new HeldEntrance(backend, () => {
        targets[i] = backend;
      });
      targets[i] = entrance;
      entrances.push(entrance);
    }
    const own = previous.counters.get(pool.name) ?? { fragments: 0 };
    counters.set(pool.name, own);
    routes.set(pool.name, new PoolRoute(pool, targets, placement, own));
  }
  keepFormer(former, previous, backends, healths);
  return {
    routes,
    members: membersByPool,
    entrances,
    former,
    backends,
    healths,
    counters,
    gates,
    prefix: config.server.prefix,
  };
}

/** Time after a change, and after the interval of `discover`, from which on keys are copied (ms). */
const GRACE_MS = 1_000;
/** Maximum number of different earlier lists that are read for a key. */
const MAX_FORMER = 32;

/** The earlier lists of a pool that are still read after this change, newest first. */
function formerRoutes(pool: PoolConfig, previous: BuiltPools, prefix: string, nowMs: number): readonly FormerRoute[] {
  const before = previous.routes.get(pool.name);
  if (before === undefined || previous.prefix !== prefix || !canHandOver(pool) || !canHandOver(before.pool)) return [];
  const placed = ({ servers, placement }: PoolConfig) => JSON.stringify([servers, placement]);
  // Other processes see the change within the interval of their looks, or of a reload of all.
  const graceMs = Math.min(pool.handoffMs / 2, (pool.discovery?.intervalMs ?? 0) + GRACE_MS);
  const times = { copiesFromMs: nowMs + graceMs, endMs: nowMs + pool.handoffMs };
  const latest = FormerRoute.ofList(before, previous.members.get(pool.name)!, times);
  const older = (previous.former.get(pool.name) ?? []).filter(({ endMs, isEnded }) => endMs > nowMs && !isEnded);
  const seen = new Set([placed(pool)]);
  const former = [latest, ...older].filter(({ route }) => {
    const place = placed(route.pool);
    return !seen.has(place) && seen.add(place);
  });
  return former.slice(0, MAX_FORMER);
}

/** A copy needs a lease, which servers without meta commands do not have, and one server for each key. */
export function canCopy({ login, placement }: PoolConfig): boolean {
  return login?.kind !== "sasl" && placement.type !== "random";
}

function canHandOver(pool: PoolConfig): boolean {
  return pool.handoffMs > 0 && canCopy(pool);
}

/** Backends of earlier lists stay in use. */
function keepFormer(
  former: BuiltPools["former"],
  previous: BuiltPools,
  backends: Map<string, Backend>,
  healths: Map<string, Health>,
): void {
  const kept = new Set([...former.values()].flat().flatMap(({ members }) => members));
  if (kept.size === 0) return;
  for (const [identity, backend] of previous.backends) if (kept.has(backend)) backends.set(identity, backend);
  for (const [identity, health] of previous.healths) if (!healths.has(identity)) healths.set(identity, health);
}

/**
 * Replaces the backends of `previous` that `current` does not use. If a pool sends to another backend of a server than
 * before, its requests wait until the old backends have answered: an earlier write must not overtake a later one.
 * Backends that left the configuration close then; a backend that stays for other pools is never held back itself.
 * Returns the function that begins this; call it when no requests use the old routes any more.
 */
export function replaceBackends(previous: BuiltPools, current: BuiltPools): () => void {
  const before = new Set(previous.backends.values());
  const now = new Set(current.backends.values());
  const entrances = current.entrances.filter((entrance) => !previous.entrances.includes(entrance));
  const followers = [...entrances, ...[...now].filter((backend) => !before.has(backend))];
  for (const entrance of entrances) entrance.holdBack();
  const left = [...before].flatMap((backend) => {
    const isGone = !now.has(backend);
    if (!isGone && !hasLost(backend, previous, current)) return [];
    const own = followers.filter((one) => one.name === backend.name && !(isEntrance(one) && one.backend === backend));
    for (const follower of own) follower.holdBack();
    const older = previous.entrances.filter((entrance) => entrance.backend === backend);
    return [{ backend, isGone, own, older }];
  });
  // Opens entrances without a reason to wait.
  for (const entrance of entrances) entrance.letGo();
  return () => {
    for (const { backend, isGone, own, older } of left) {
      const done = () => {
        for (const follower of own) follower.letGo();
      };
      if (isGone) backend.retire(done);
      else if (own.length > 0) afterAll(older, () => backend.whenAnswered(done));
    }
  };
}

/** True if some requests to the pools must wait, see `replaceBackends`. */
export function isHolding({ backends, entrances }: BuiltPools): boolean {
  return (
    entrances.some((entrance) => entrance.isHolding) || [...backends.values()].some((backend) => backend.isHolding)
  );
}

/** Calls `done` when all `entrances` are open. */
function afterAll(entrances: readonly HeldEntrance[], done: () => void): void {
  let due = entrances.length + 1;
  const opened = () => {
    if (--due === 0) done();
  };
  for (const entrance of entrances) entrance.whenOpen(opened);
  opened();
}

function isEntrance(follower: Backend | HeldEntrance): follower is HeldEntrance {
  return follower instanceof HeldEntrance;
}

/** True if a pool now sends to another backend, or is gone. */
function hasLost(backend: Backend, previous: BuiltPools, current: BuiltPools): boolean {
  return [...previous.members].some(
    ([name, members]) => members.includes(backend) && !(current.members.get(name)?.includes(backend) ?? false),
  );
}

function settingsOf(pool: PoolConfig): readonly unknown[] {
  return [
    pool.connections,
    pool.serverTimeoutMs,
    pool.connectTimeoutMs,
    pool.health,
    pool.socket,
    pool.login,
    pool.tls,
  ];
}
