/**
 * RouteConfig → routes. A node that stands in several places becomes one route. A new route is a new file, and a line here.
 */
import type { Clock } from "../clock.ts";
import type { PlacementConfig } from "../config/config.ts";
import { childrenOf, type RouteConfig } from "../config/route-config.ts";
import { buildIndexPlacement, buildPlacement } from "../proxy/hash/build.ts";
import { spooky32 } from "../proxy/hash/spooky.ts";
import { WeightedCh3Placement } from "../proxy/hash/weighted-ch3.ts";
import { errorReply } from "../proxy/route/default-reply.ts";
import { DestinationRoute } from "../proxy/route/destination-route.ts";
import { DevNullRoute, ErrorRoute, NullRoute } from "../proxy/route/null-route.ts";
import { PoolRoute } from "../proxy/route/pool-route.ts";
import { operationNamed } from "../proxy/route/result.ts";
import type { Route } from "../proxy/route/route.ts";
import type { RouteCounters } from "../proxy/route/route-counters.ts";
import { AllAsyncRoute } from "./routes/all-async-route.ts";
import { AllFastestRoute } from "./routes/all-fastest-route.ts";
import { AllInitialRoute } from "./routes/all-initial-route.ts";
import { AllMajorityRoute } from "./routes/all-majority-route.ts";
import { AllSyncRoute } from "./routes/all-sync-route.ts";
import { AsyncLogRoute, type DeleteSpool } from "./routes/async-log-route.ts";
import { BigValueRoute } from "./routes/big-value-route.ts";
import { FailoverRoute } from "./routes/failover-route.ts";
import { HashRoute } from "./routes/hash-route.ts";
import { KeepPrefixRoute } from "./routes/keep-prefix-route.ts";
import { KeySplitRoute } from "./routes/key-split-route.ts";
import { L1L2CacheRoute } from "./routes/l1l2-cache-route.ts";
import { LatencyInjectionRoute } from "./routes/latency-injection-route.ts";
import { LoggingRoute, type RequestLog } from "./routes/logging-route.ts";
import { MigrateRoute } from "./routes/migrate-route.ts";
import { MissFailoverRoute } from "./routes/miss-failover-route.ts";
import { ModifyExptimeRoute } from "./routes/modify-exptime-route.ts";
import { ModifyKeyRoute } from "./routes/modify-key-route.ts";
import { OperationSelectorRoute } from "./routes/operation-selector-route.ts";
import { OutstandingLimitRoute } from "./routes/outstanding-limit-route.ts";
import { PrefixSelectorRoute } from "./routes/prefix-selector-route.ts";
import { RandomRoute } from "./routes/random-route.ts";
import { RateLimitRoute } from "./routes/rate-limit-route.ts";
import { ShadowRoute } from "./routes/shadow-route.ts";
import { SlowWarmUpRoute } from "./routes/slow-warm-up-route.ts";
import { WarmUpRoute } from "./routes/warm-up-route.ts";

/** What routes take from the process that they live in. */
export interface TreeContext {
  readonly clock: Clock;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** 32 bits, the same at every start on this host. */
  readonly hostId: number;
  readonly counters: RouteCounters;
  readonly log: RequestLog;
  readonly spool: DeleteSpool;
  /** By name; all that the tree names. */
  readonly pools: ReadonlyMap<string, PoolRoute>;
}

/** Builds routes of one configuration, each node once. */
export class TreeBuilder {
  private readonly context: TreeContext;
  private readonly built = new Map<RouteConfig, Route>();

  constructor(context: TreeContext) {
    this.context = context;
  }

  build(node: RouteConfig): Route {
    const known = this.built.get(node);
    if (known !== undefined) return known;
    const route = this.make(node);
    this.built.set(node, route);
    return route;
  }

  private make(node: RouteConfig): Route {
    const { clock, random, counters, hostId } = this.context;
    const children = () => childrenOf(node).map((child) => this.build(child));
    switch (node.type) {
      case "pool":
        return this.makePool(node.pool, node.placement);
      case "destination": {
        const { pool, backends } = this.poolNamed(node.pool);
        const destination = new DestinationRoute(backends[node.index]!, pool, node.index);
        return pool.keepsRoutingPrefix ? new KeepPrefixRoute(destination) : destination;
      }
      case "hash":
        return new HashRoute(
          children(),
          buildIndexPlacement(node.placement, node.children.length),
          node.placement.type,
        );
      case "all-sync":
        return new AllSyncRoute(children());
      case "all-fastest":
        return new AllFastestRoute(children());
      case "all-initial":
        return new AllInitialRoute(children());
      case "all-majority":
        return new AllMajorityRoute(children());
      case "all-async":
        return new AllAsyncRoute(children());
      case "random":
        return new RandomRoute(children(), random);
      case "failover":
        return new FailoverRoute(children(), node, counters);
      case "miss-failover":
        return new MissFailoverRoute(children(), node.returnsBestOnError);
      case "warm-up":
        return new WarmUpRoute(this.build(node.cold), this.build(node.warm), node.exptime);
      case "migrate":
        return new MigrateRoute(this.build(node.from), this.build(node.to), node, clock);
      case "shadow": {
        const shadows = node.shadows.map((shadow) => ({
          ...shadow,
          target: this.build(shadow.target),
          keys: shadow.keys === null ? null : new Set(shadow.keys),
        }));
        return new ShadowRoute(this.build(node.child), shadows, random);
      }
      case "operation-selector": {
        const policies = [...node.policies].map(([name, each]) => [operationNamed(name), this.build(each)] as const);
        return new OperationSelectorRoute(
          new Map(policies),
          node.otherwise === null ? null : this.build(node.otherwise),
        );
      }
      case "prefix-selector": {
        const policies = [...node.policies].map(([prefix, each]) => [prefix, this.build(each)] as const);
        return new PrefixSelectorRoute(new Map(policies), node.wildcard === null ? null : this.build(node.wildcard));
      }
      case "error":
        return new ErrorRoute(node.result, node.message, node.isLogged);
      case "null":
        return new NullRoute();
      case "devnull":
        return new DevNullRoute(counters);
      case "host-id":
        return this.build(node.children[saltedHost(hostId, node.salt) % node.children.length]!);
      case "latest": {
        const chosen = latest(node.children, node.weights, node.failover.maxTries, saltedHost(hostId, node.salt));
        const routes = chosen.map((child) => this.build(child));
        return routes.length === 1 ? routes[0]! : new FailoverRoute(routes, node.failover, counters);
      }
      case "rate-limit":
        return new RateLimitRoute(
          this.build(node.target),
          node.fallback === null ? null : this.build(node.fallback),
          node,
          clock,
        );
      case "outstanding-limit":
        return new OutstandingLimitRoute(
          asTarget(this.build(node.target)),
          { ...node, waitTimeoutMs: 0, refusal: errorReply("local_error", node.message) },
          clock,
        );
      case "modify-key":
        return new ModifyKeyRoute(this.build(node.target), node);
      case "modify-exptime":
        return new ModifyExptimeRoute(this.build(node.target), node.action, node.exptime);
      case "logging":
        return new LoggingRoute(this.build(node.target), this.context.log);
      case "l1l2-cache":
        return new L1L2CacheRoute(this.build(node.l1), this.build(node.l2), node);
      case "keysplit":
        return new KeySplitRoute(this.build(node.destination), node, hostId);
      case "latency-injection":
        return new LatencyInjectionRoute(this.build(node.child), node, clock);
      case "slow-warmup":
        return new SlowWarmUpRoute(this.build(node.target), this.build(node.failover), node, random);
      case "asynclog":
        return new AsyncLogRoute(this.build(node.target), node.name, this.context.spool);
      case "big-value":
        return new BigValueRoute(this.build(node.target), node);
    }
  }

  /** The pool's own route where nothing is different about this one: the fast path. */
  private makePool(name: string, ownPlacement: PlacementConfig | null): Route {
    const own = this.poolNamed(name);
    if (ownPlacement === null && !own.pool.keepsRoutingPrefix) return own;
    const pool = { ...own.pool, placement: ownPlacement ?? own.pool.placement };
    const { backends } = own;
    const placement = buildPlacement(pool.placement, pool.servers, { prefix: NO_PREFIX, random: this.context.random });
    if (!pool.keepsRoutingPrefix) return new PoolRoute(pool, backends, placement);
    // A key's prefix has no part in where it lies: it is put back below that.
    const servers = backends.map((backend, index) => new KeepPrefixRoute(new DestinationRoute(backend, pool, index)));
    return servers.length === 1 ? servers[0]! : new HashRoute(servers, placement, pool.placement.type);
  }

  private poolNamed(name: string): PoolRoute {
    const pool = this.context.pools.get(name);
    if (pool === undefined) throw new Error(`no pool ${name}`);
    return pool;
  }
}

const NO_PREFIX = Buffer.alloc(0);

/** A route as what stands above it passes requests on to it: it is seen itself. */
function asTarget(route: Route): Pick<Route, "route" | "forEachTarget"> {
  return { route: (request) => route.route(request), forEachTarget: (request, see) => see(route, request) };
}

/** A host's hash, salted as a configuration says. */
function saltedHost(hostId: number, salt: string): number {
  if (salt === "") return hostId;
  const bytes = Buffer.from(`${hostId}${salt}`, "latin1");
  return spooky32(bytes, 0, bytes.length, 0);
}

/** `count` children in the order of this host: weighted, each drawn by a hash of the host and of its turn. */
function latest(
  children: readonly RouteConfig[],
  weights: readonly number[],
  count: number,
  host: number,
): readonly RouteConfig[] {
  const left = children.map((child, i) => ({ child, weight: weights[i] ?? 1 }));
  const chosen: RouteConfig[] = [];
  while (left.length > 0 && chosen.length < count) {
    const key = Buffer.from(`${host}-${chosen.length}`, "latin1");
    const placement = new WeightedCh3Placement(
      left.length,
      left.map(({ weight }) => weight),
    );
    const at = left.length === 1 ? 0 : placement.locate(key, 0, key.length);
    chosen.push(left.splice(at, 1)[0]!.child);
  }
  return chosen;
}
