/**
 * A second tree of the configuration, over servers that only record requests. It shows where a key goes with the routes
 * that send it there.
 */
import type { Clock } from "../../clock.ts";
import { addressText, type Config } from "../../config/config.ts";
import type { OperationName } from "../../config/results.ts";
import { buildPlacement } from "../../proxy/hash/build.ts";
import { noOwner, Operation, type Request } from "../../proxy/request.ts";
import { defaultReply } from "../../proxy/route/default-reply.ts";
import { DestinationRoute } from "../../proxy/route/destination-route.ts";
import type { KeyedBackend } from "../../proxy/route/keyed-backend.ts";
import { keyedRequest } from "../../proxy/route/keyed-request.ts";
import { PoolRoute } from "../../proxy/route/pool-route.ts";
import { allOperationNames } from "../../proxy/route/result.ts";
import type { Route } from "../../proxy/route/route.ts";
import { newRouteCounters } from "../../proxy/route/route-counters.ts";
import { KeepPrefixRoute } from "../routes/keep-prefix-route.ts";
import { NativeRoot } from "../routes/native-root.ts";
import { RootRoute } from "../routes/root-route.ts";
import { TreeBuilder } from "../tree.ts";

/** The tree of one configuration. It is built on first use. */
export class RecordedTree {
  private readonly root: RootRoute | NativeRoot;
  private readonly pools: ReadonlyMap<string, PoolRoute>;
  private asked: string[] = [];

  /** Requires a configuration with a tree. */
  constructor({ pools, tree, mcrouter }: Config, hostId: number, clock: Clock) {
    const backend = (name: string): KeyedBackend => ({
      name,
      connectionCount: 1,
      mayShare: () => true,
      speaksMeta: true,
      send: (request) => {
        this.asked.push(name);
        request.complete(defaultReply(request));
      },
    });
    const random = () => 0;
    const routes = new Map<string, PoolRoute>();
    for (const pool of pools) {
      if (pool.servers.length === 0) continue;
      const backends = pool.servers.map(({ address }) => backend(addressText(address)));
      const placement = buildPlacement(pool.placement, pool.servers, { prefix: Buffer.alloc(0), random });
      routes.set(pool.name, new PoolRoute(pool, backends, placement));
    }
    const spool = { spool: (_server: string, _pool: string, _key: string, done: () => void) => done() };
    const builder = new TreeBuilder({
      clock: hurried(clock),
      random,
      hostId,
      counters: newRouteCounters(),
      log: () => {},
      spool,
      pools: routes,
    });
    const built = new Map([...tree!.routes].map(([name, node]) => [name, builder.build(node)] as const));
    this.root =
      mcrouter === null
        ? new NativeRoot(built.get(tree!.defaultPrefix)!, [])
        : new RootRoute(built, tree!.defaultPrefix, [], { ...mcrouter.root, maxInflight: 0 }, () => "", clock);
    this.pools = routes;
  }

  /** The servers of each pool, with the names that `handlesOf` uses. */
  poolNames(): (readonly [pool: string, servers: readonly string[]])[] {
    return [...this.pools].map(([name, { pool, backends }]) => [
      name,
      backends.map((backend, index) => new DestinationRoute(backend, pool, index).name),
    ]);
  }

  /** The name of the pool that alone stores `key`, with `[[route]]`. `null` if absent. */
  plainPoolOf(key: string): string | null {
    return this.root instanceof NativeRoot ? (this.root.plainPoolOf(key)?.pool.name ?? null) : null;
  }

  /** The servers of a request, in order. Each server answers as an empty server does. */
  serversOf(operation: OperationName, key: string): readonly string[] {
    this.asked = [];
    this.root.route(requestFor(operation, key));
    return this.asked;
  }

  /** The routes that a request may take: one per line, indented by depth. */
  handlesOf(operation: OperationName, key: string): string {
    const lines: string[] = ["proxy"];
    const show = (route: Route, request: Request, depth: number) => {
      // mcrouter has no route for prefixes, and no selection for a single server.
      const isShown = !(
        route instanceof KeepPrefixRoute ||
        (route instanceof PoolRoute && route.backends.length === 1)
      );
      if (isShown) lines.push(" ".repeat(depth) + route.name);
      route.forEachTarget(request, (target, passed) => show(target, passed, depth + (isShown ? 1 : 0)));
    };
    show(this.root, requestFor(operation, key), 1);
    return lines.join("\n");
  }
}

/** A clock with the wall time of `clock`. Its timers do not wait, and rate limits pass every request. */
function hurried(clock: Clock): Clock {
  let hours = 0;
  return {
    nowMs: () => ++hours * 3_600_000,
    unixSeconds: () => clock.unixSeconds(),
    setTimer: (_delayMs, run) => {
      run();
      return {};
    },
    clearTimer: () => {},
  };
}

/** True if a configuration can name the operation. */
export function isOperationName(text: string): text is OperationName {
  return (allOperationNames as readonly string[]).includes(text);
}

/** A client's request, with an empty value if the command has one. */
function requestFor(name: OperationName, key: string): Request {
  const value = Buffer.alloc(0);
  switch (name) {
    case "metaget":
      return keyedRequest(Operation.metaDebug, key, { verb: "me", rest: "" }, "", noOwner);
    case "gat":
    case "gats":
      return keyedRequest(Operation[name], key, { verb: `${name} 0`, rest: "" }, "", noOwner);
    case "set":
    case "add":
    case "replace":
    case "append":
    case "prepend":
      return keyedRequest(Operation[name], key, { verb: name, rest: "0 0 0", value }, "", noOwner);
    case "cas":
      return keyedRequest(Operation.cas, key, { verb: name, rest: "0 0 0 1", value }, "", noOwner);
    case "incr":
    case "decr":
      return keyedRequest(Operation[name], key, { verb: name, rest: "1" }, "", noOwner);
    case "touch":
      return keyedRequest(Operation.touch, key, { verb: name, rest: "0" }, "", noOwner);
    default:
      return keyedRequest(Operation[name], key, { verb: name, rest: "" }, "", noOwner);
  }
}
