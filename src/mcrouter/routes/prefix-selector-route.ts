/**
 * Selects a route by the beginning of the key without its routing prefix. The longest matching prefix wins.
 *
 * Source: mcrouter PrefixSelectorRoute.h, RoutePolicyMap.h, as facts. In mcrouter this route may only stand at the top.
 */

import type { RouteConfig } from "../../config/config.ts";
import type { Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { bytesText } from "../config/fields.ts";
import { object, type RouteInput, sortedMembers } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export interface PrefixSelectorRouteConfig extends RouteConfig {
  readonly type: "prefix-selector";
  /** Routes by the beginning of the key without its routing prefix. The longest matching prefix wins. */
  readonly policies: ReadonlyMap<string, RouteConfig>;
  readonly wildcard: RouteConfig | null;
}

export const prefixSelector: RouteKind<PrefixSelectorRouteConfig> = {
  type: "prefix-selector",
  handles: { PrefixSelectorRoute: (input) => [read(input)] },
  build({ policies, wildcard }, { build }) {
    const built = [...policies].map(([prefix, each]) => [prefix, build(each)] as const);
    return new PrefixSelectorRoute(new Map(built), wildcard === null ? null : build(wildcard));
  },
};

export function isPrefixSelector(node: RouteConfig): node is PrefixSelectorRouteConfig {
  return node.type === "prefix-selector";
}

function read(input: RouteInput): PrefixSelectorRouteConfig {
  const { fields, optional } = object(input);
  const policies = new Map<string, RouteConfig>();
  const nested = fields.nested("policies");
  for (const [prefix, json] of sortedMembers(nested)) {
    policies.set(bytesText(prefix), input.reader.one({ json, path: `${nested!.path}.${prefix}` }));
  }
  const wildcard = optional("wildcard");
  if (policies.size === 0 && wildcard === null) fields.complain('expected "policies" or "wildcard"');
  return { type: "prefix-selector", policies, wildcard };
}

const noRoute = errorReply("local_error", "RootRoute: No rh found");

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

  passKey(request: Request): Route | null {
    return this.childOf(request);
  }

  /** `null` if no route matches the key. */
  childOf({ chunk, keyStart, keyEnd }: Request): Route | null {
    for (const [prefix, route] of this.policies) {
      if (prefix.length > keyEnd - keyStart) continue;
      if (prefix.compare(chunk, keyStart, keyStart + prefix.length) === 0) return route;
    }
    return this.wildcard;
  }
}
