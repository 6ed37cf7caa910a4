/**
 * Chooses by how the key begins, its routing prefix left out; the longest prefix that fits wins.
 *
 * Source: mcrouter PrefixSelectorRoute.h, RoutePolicyMap.h, as facts. There it may only stand at the top.
 */
import type { Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";

const noRoute = errorReply("local_error", "RootRoute: No rh found");

/** mcrouter's PrefixSelectorRoute. */
export class PrefixSelectorRoute implements Route {
  readonly name = "prefix-selector";
  /** Longest first. */
  private readonly policies: readonly (readonly [prefix: Buffer, route: Route])[];
  private readonly wildcard: Route | null;

  constructor(policies: ReadonlyMap<string, Route>, wildcard: Route | null) {
    this.policies = [...policies]
      .map(([prefix, route]) => [Buffer.from(prefix, "latin1"), route] as const)
      .sort(([a], [b]) => b.length - a.length);
    this.wildcard = wildcard;
  }

  route(request: Request): void {
    const child = this.childOf(request);
    if (child === null) request.complete(noRoute);
    else child.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const child = this.childOf(request);
    if (child !== null) see(child, request);
  }

  /** Null: nothing is for such a key. */
  childOf({ chunk, keyStart, keyEnd }: Request): Route | null {
    for (const [prefix, route] of this.policies) {
      if (prefix.length > keyEnd - keyStart) continue;
      if (prefix.compare(chunk, keyStart, keyStart + prefix.length) === 0) return route;
    }
    return this.wildcard;
  }
}
