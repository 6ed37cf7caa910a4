/**
 * Config → pools of servers. Backends that the new configuration has in common with the old one live on, with their
 * connections, what is outstanding on them and what is known of their health.
 */
import { addressText, type Config, type PoolConfig, type PoolServer } from "../../config/config.ts";
import { Backend, type BackendContext } from "../backend/backend.ts";
import { FailOpenGate, Health } from "../backend/health.ts";
import { buildPlacement } from "../hash/build.ts";
import { EjectingPlacement } from "../hash/ejecting-placement.ts";
import { PoolRoute } from "./pool-route.ts";

/** The pools of a configuration, built. */
export interface BuiltPools {
  /** By name, in the order of the configuration; pools without servers have none. */
  readonly routes: ReadonlyMap<string, PoolRoute>;
  /** By what makes a backend the same one. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** By server: what is known of one is known in all pools that it stands in. */
  readonly healths: ReadonlyMap<string, Health>;
  /** By pool and bounds: what counts the servers that are left alone. */
  readonly gates: ReadonlyMap<string, FailOpenGate>;
}

/** No pools. */
export const noPools: BuiltPools = { routes: new Map(), backends: new Map(), healths: new Map(), gates: new Map() };

/** Builds the pools of `config`, taking over what can be from `previous`; the caller closes the rest (`replaceBackends`). */
export function buildPools(config: Config, previous: BuiltPools, context: BackendContext): BuiltPools {
  const backends = new Map<string, Backend>();
  const healths = new Map<string, Health>();
  const gates = new Map<string, FailOpenGate>();
  const prefix = Buffer.from(config.server.prefix, "latin1");
  const routes = new Map<string, PoolRoute>();
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
    routes.set(pool.name, new PoolRoute(pool, members, placement));
  }
  return { routes, backends, healths, gates };
}

/**
 * Has the backends of `previous` that `current` has no use for replaced. A new backend of the same server sends nothing before
 * the old one has had its answers: an earlier write must not overtake a later one. Returns what closes the old ones; to be
 * called when nothing goes through the old routes any more.
 */
export function replaceBackends(previous: BuiltPools, current: BuiltPools): () => void {
  const newByName = new Map<string, Backend[]>();
  for (const [identity, backend] of current.backends) {
    if (previous.backends.has(identity)) continue;
    const same = newByName.get(backend.name);
    if (same === undefined) newByName.set(backend.name, [backend]);
    else same.push(backend);
  }
  const unused = [...previous.backends].flatMap(([identity, backend]) => {
    if (current.backends.has(identity)) return [];
    const followers = newByName.get(backend.name) ?? [];
    for (const follower of followers) follower.holdBack();
    return [{ backend, followers }];
  });
  return () => {
    for (const { backend, followers } of unused) {
      backend.retire(() => {
        for (const follower of followers) follower.letGo();
      });
    }
  };
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
