/**
 * Selects a route by the key: the first row with a fitting prefix or pattern. It is the top of the tree of a native
 * configuration (`key-routes.ts`).
 */
import type { RouteConfig } from "../../config/config.ts";
import type { KeyList, Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { PoolRoute } from "../../proxy/route/pool-route.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { Pattern } from "../../refresh/pattern.ts";
import { plainPoolOf } from "../plain-pool.ts";
import type { RouteKind } from "../route-kind.ts";

export interface KeySelectorRouteConfig extends RouteConfig {
  readonly type: "key-selector";
  readonly rows: readonly {
    /** Shown by `explain`. */
    readonly title: string;
    /** One character per byte. "" fits each key. Empty if there is a pattern. */
    readonly prefixes: readonly string[];
    /** A pattern for the whole key. `null` if there are prefixes. */
    readonly match: string | null;
    readonly target: RouteConfig;
  }[];
}

export const keySelector: RouteKind<KeySelectorRouteConfig> = {
  type: "key-selector",
  handles: {},
  build: ({ rows }, { build }) =>
    new KeySelectorRoute(
      rows.map(({ title, prefixes, match, target }) => ({
        route: new TitledRoute(title, build(target)),
        prefixes: prefixes.map((prefix) => Buffer.from(prefix, "latin1")),
        pattern: match === null ? null : new Pattern(match),
      })),
    ),
};

interface Row {
  readonly route: TitledRoute;
  readonly prefixes: readonly Buffer[];
  readonly pattern: Pattern | null;
}

const noRoute = errorReply("local_error", "no route for this key");

export class KeySelectorRoute implements Route {
  readonly name = "route";
  private readonly rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.rows = rows;
  }

  route(request: Request): void {
    const row = this.routeOf(request.chunk, request.keyStart, request.keyEnd);
    if (row === null) request.complete(noRoute);
    else row.target.route(request);
  }

  passKey({ chunk, keyStart, keyEnd }: Request): Route | null {
    return this.routeOf(chunk, keyStart, keyEnd)?.target ?? null;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const row = this.routeOf(request.chunk, request.keyStart, request.keyEnd);
    if (row !== null) see(row, request);
  }

  /** The pool that alone stores the key in `chunk[start, end)`. `null` if the key takes another route. */
  plainPoolOf(chunk: Buffer, start: number, end: number): PoolRoute | null {
    return this.routeOf(chunk, start, end)?.plainPool ?? null;
  }

  /** The route to the pool that alone stores all `keys`. `null` if there is no such pool. */
  plainRouteOfAll({ bytes, starts, ends }: KeyList): Route | null {
    const first = this.routeOf(bytes, starts[0]!, ends[0]!);
    if (first?.plainPool == null) return null;
    for (let i = 1; i < starts.length; i++) {
      if (this.routeOf(bytes, starts[i]!, ends[i]!)?.target !== first.target) return null;
    }
    return first.target;
  }

  private routeOf(chunk: Buffer, start: number, end: number): TitledRoute | null {
    for (const { route, prefixes, pattern } of this.rows) {
      for (const prefix of prefixes) {
        const { length } = prefix;
        if (length <= end - start && (length === 0 || prefix.compare(chunk, start, start + length) === 0)) return route;
      }
      if (pattern !== null && pattern.match(chunk.toString("latin1", start, end)) !== null) return route;
    }
    return null;
  }
}

/** A row in explanations: its title, then its target. Requests go directly to the target. */
class TitledRoute implements Route {
  readonly name: string;
  readonly target: Route;
  readonly plainPool: PoolRoute | null;

  constructor(name: string, target: Route) {
    this.name = name;
    this.target = target;
    this.plainPool = plainPoolOf(target);
  }

  route(request: Request): void {
    this.target.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }
}
