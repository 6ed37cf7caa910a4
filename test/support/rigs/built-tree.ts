/** mcrouter configurations as routes over leaves, with no socket and no process. */
import { addressText, type Config } from "../../../src/config/config.ts";
import { RootRoute } from "../../../src/mcrouter/routes/root-route.ts";
import { TreeBuilder } from "../../../src/mcrouter/tree.ts";
import { buildPlacement } from "../../../src/proxy/hash/build.ts";
import type { Request } from "../../../src/proxy/request.ts";
import type { KeyedBackend } from "../../../src/proxy/route/keyed-backend.ts";
import { PoolRoute } from "../../../src/proxy/route/pool-route.ts";
import { newRouteCounters, type RouteCounters } from "../../../src/proxy/route/route-counters.ts";
import type { LeafRoute } from "../fakes/leaf-route.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { treeConfig } from "./tree-config.ts";

export interface BuiltTree<Leaf extends LeafRoute> {
  readonly root: RootRoute;
  readonly config: Config;
  /** By `host:port`. */
  readonly leaves: ReadonlyMap<string, Leaf>;
  readonly clock: ManualClock;
  readonly counters: RouteCounters;
  /** Deletes that were written down: `server pool key`. */
  readonly spooled: readonly string[];
  /** What was logged of requests. */
  readonly lines: readonly string[];
  /** What the servers were sent so far, by name; those that were sent nothing are left out. */
  sent(): Record<string, string[]>;
}

/** Builds a document; `leafOf` makes a server. */
export async function buildTree<Leaf extends LeafRoute>(
  document: object,
  leafOf: (name: string) => Leaf,
  options: Readonly<Record<string, string>> = {},
  { hostId = 1, random = () => 0 }: { hostId?: number; random?: () => number } = {},
): Promise<BuiltTree<Leaf>> {
  const config = await treeConfig(document, options);
  const clock = new ManualClock();
  const leaves = new Map<string, Leaf>();
  const counters = newRouteCounters();
  const spooled: string[] = [];
  const lines: string[] = [];
  const backend = (name: string): KeyedBackend => {
    const leaf = leaves.get(name) ?? leafOf(name);
    leaves.set(name, leaf);
    return {
      name,
      connectionCount: 1,
      speaksMeta: true,
      mayShare: () => true,
      send: (request: Request) => leaf.route(request),
    };
  };
  const pools = new Map(
    config.pools.map((pool) => {
      const backends = pool.servers.map(({ address }) => backend(addressText(address)));
      const placement = buildPlacement(pool.placement, pool.servers, { prefix: Buffer.alloc(0), random });
      return [pool.name, new PoolRoute(pool, backends, placement)] as const;
    }),
  );
  const builder = new TreeBuilder({
    clock,
    random,
    hostId,
    counters,
    log: (line) => lines.push(line),
    spool: {
      spool: (server, pool, key, done) => {
        spooled.push(`${server} ${pool} ${key}`);
        done();
      },
    },
    pools,
  });
  const { tree, mcrouter } = config;
  const routes = new Map([...tree!.routes].map(([name, node]) => [name, builder.build(node)] as const));
  const admin = (command: string) => `answer to ${command}`;
  const root = new RootRoute(routes, tree!.defaultPrefix, [...pools.values()], mcrouter!.root, admin, clock);
  const sent = () =>
    Object.fromEntries([...leaves].flatMap(([name, leaf]) => (leaf.sent.length === 0 ? [] : [[name, leaf.sent]])));
  return { root, config, leaves, clock, counters, spooled, lines, sent };
}
