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
  /** By the properties that identify a backend. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** By server: all pools with a server share its health. */
  readonly healths: ReadonlyMap<string, Health>;
  /** By the name of the pool. */
  readonly counters: ReadonlyMap<string, PoolCounters>;
  /** By pool and limits: counters of dead servers. */
  readonly gates: ReadonlyMap<string, FailOpenGate>;
}

export const noPools: BuiltPools = {
  routes: new Map(),
  members: new Map(),
  entrances: [],
  backends: new Map(),
  healths: new Map(),
  counters: new Map(),
  gates: new Map(),
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
  for (const pool of config.pools) {
    if (pool.servers.length === 0) continue;
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
    const left = previous.members.get(pool.name) ?? [];
    for (const [i, backend] of members.entries()) {
      if (!before.has(backend) || left.includes(backend)) continue;
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
  return { routes, members: membersByPool, entrances, backends, healths, counters, gates };
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
