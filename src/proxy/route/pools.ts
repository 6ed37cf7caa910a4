/**
 * Config → pools of servers. Backends that the new configuration has in common with the old one live on, with their
 * connections, what is outstanding on them and what is known of their health.
 */
import { addressText, type Config, type PoolConfig, type PoolServer } from "../../config/config.ts";
import { Backend, type BackendContext } from "../backend/backend.ts";
import { FailOpenGate, Health } from "../backend/health.ts";
import { HeldEntrance } from "../backend/held-entrance.ts";
import { buildPlacement } from "../hash/build.ts";
import { EjectingPlacement } from "../hash/ejecting-placement.ts";
import type { KeyedBackend } from "./keyed-backend.ts";
import { PoolRoute } from "./pool-route.ts";

/** The pools of a configuration, built. */
export interface BuiltPools {
  /** By name, in the order of the configuration; pools without servers have none. */
  readonly routes: ReadonlyMap<string, PoolRoute>;
  /** By the name of the pool, in the order of its servers. */
  readonly members: ReadonlyMap<string, readonly Backend[]>;
  /** Of pools that came to a backend which was there before them, by this reload or, where they still hold something, before. */
  readonly entrances: readonly HeldEntrance[];
  /** By what makes a backend the same one. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** By server: what is known of one is known in all pools that it stands in. */
  readonly healths: ReadonlyMap<string, Health>;
  /** By pool and bounds: what counts the servers that are left alone. */
  readonly gates: ReadonlyMap<string, FailOpenGate>;
}

/** No pools. */
export const noPools: BuiltPools = {
  routes: new Map(),
  members: new Map(),
  entrances: [],
  backends: new Map(),
  healths: new Map(),
  gates: new Map(),
};

/** Builds the pools of `config`, taking over what can be from `previous`; the caller closes the rest (`replaceBackends`). */
export function buildPools(config: Config, previous: BuiltPools, context: BackendContext): BuiltPools {
  const backends = new Map<string, Backend>();
  const healths = new Map<string, Health>();
  const gates = new Map<string, FailOpenGate>();
  const prefix = Buffer.from(config.server.prefix, "latin1");
  const routes = new Map<string, PoolRoute>();
  const membersByPool = new Map<string, readonly Backend[]>();
  const entrances = previous.entrances.filter(({ isHolding }) => isHolding);
  const before = new Set(previous.backends.values());
  for (const pool of config.pools) {
    if (pool.servers.length === 0) continue;
    const { failOpen } = pool.health;
    // Healths that are carried over count with the gate that they were made with.
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
    routes.set(pool.name, new PoolRoute(pool, targets, placement));
  }
  return { routes, members: membersByPool, entrances, backends, healths, gates };
}

/**
 * Has the backends of `previous` that `current` has no use for replaced. What pools send to another backend of a server than
 * before waits until the backends that pools have left have had their answers: an earlier write must not overtake a later
 * one. Those that left the configuration close then; one that stays, for other pools, is never held back itself. Returns what
 * begins this; to be called when nothing goes through the old routes any more.
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
  // Those that have nothing to wait for open.
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

/** True if something that is sent to the pools now has to wait, see `replaceBackends`. */
export function isHolding({ backends, entrances }: BuiltPools): boolean {
  return (
    entrances.some((entrance) => entrance.isHolding) || [...backends.values()].some((backend) => backend.isHolding)
  );
}

/** Calls `done` when all of `entrances` are open. */
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

/** True if a pool sends to another backend now, or is gone. */
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
