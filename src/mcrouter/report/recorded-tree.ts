/**
 * A second tree of the same configuration, over servers that write down that they were asked instead of being asked: where
 * a key would go, told by the very routes that would send it there.
 */
import type { Clock } from "../../clock.ts";
import { addressText, type Config } from "../../config/config.ts";
import type { OperationName } from "../../config/results.ts";
import { buildPlacement } from "../../proxy/hash/build.ts";
import { Operation, type Request } from "../../proxy/request.ts";
import { defaultReply } from "../../proxy/route/default-reply.ts";
import { DestinationRoute } from "../../proxy/route/destination-route.ts";
import type { KeyedBackend } from "../../proxy/route/keyed-backend.ts";
import { keyedRequest, nobody } from "../../proxy/route/keyed-request.ts";
import { PoolRoute } from "../../proxy/route/pool-route.ts";
import { allOperationNames } from "../../proxy/route/result.ts";
import type { Route } from "../../proxy/route/route.ts";
import { newRouteCounters } from "../../proxy/route/route-counters.ts";
import { KeepPrefixRoute } from "../routes/keep-prefix-route.ts";
import { RootRoute } from "../routes/root-route.ts";
import { TreeBuilder } from "../tree.ts";

/** The tree of one configuration; made when it is first asked for. */
export class RecordedTree {
  private readonly root: Route;
  private readonly pools: ReadonlyMap<string, PoolRoute>;
  private asked: string[] = [];

  /** `config` has a tree. */
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
    const options = { ...mcrouter!.root, maxInflight: 0 };
    this.root = new RootRoute(built, tree!.defaultPrefix, [], options, () => "", clock);
    this.pools = routes;
  }

  /** The servers of each pool, as `handlesOf` names them. */
  poolNames(): (readonly [pool: string, servers: readonly string[]])[] {
    return [...this.pools].map(([name, { pool, backends }]) => [
      name,
      backends.map((backend, index) => new DestinationRoute(backend, pool, index).name),
    ]);
  }

  /** The servers that a request would be sent to, in order; its answers are those of empty servers. */
  serversOf(operation: OperationName, key: string): readonly string[] {
    this.asked = [];
    this.root.route(requestFor(operation, key));
    return this.asked;
  }

  /** The routes that such a request may take: one a line, indented by its depth. */
  handlesOf(operation: OperationName, key: string): string {
    const lines: string[] = ["proxy"];
    const show = (route: Route, request: Request, depth: number) => {
      // mcrouter has neither a route for prefixes nor a choice where there is but one server.
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

/** The time of `clock` for what goes by the wall; nothing waits, and limits by the second let everything pass. */
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

/** True for an operation that a configuration has a name for. */
export function isOperationName(text: string): text is OperationName {
  return (allOperationNames as readonly string[]).includes(text);
}

/** A request as a client would make it, with an empty value where one is due. */
function requestFor(name: OperationName, key: string): Request {
  const value = Buffer.alloc(0);
  switch (name) {
    case "metaget":
      return keyedRequest(Operation.metaDebug, key, { verb: "me", rest: "" }, "", nobody);
    case "gat":
    case "gats":
      return keyedRequest(Operation[name], key, { verb: `${name} 0`, rest: "" }, "", nobody);
    case "set":
    case "add":
    case "replace":
    case "append":
    case "prepend":
      return keyedRequest(Operation[name], key, { verb: name, rest: "0 0 0", value }, "", nobody);
    case "cas":
      return keyedRequest(Operation.cas, key, { verb: name, rest: "0 0 0 1", value }, "", nobody);
    case "incr":
    case "decr":
      return keyedRequest(Operation[name], key, { verb: name, rest: "1" }, "", nobody);
    case "touch":
      return keyedRequest(Operation.touch, key, { verb: name, rest: "0" }, "", nobody);
    default:
      return keyedRequest(Operation[name], key, { verb: name, rest: "" }, "", nobody);
  }
}
