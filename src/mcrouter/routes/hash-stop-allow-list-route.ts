/**
 * Refuses keys with a hash stop (`|#|`), except keys with one of the prefixes. The text before a hash stop selects the
 * server, so keys with equal text before the stop would overload one server.
 *
 * Source: mcrouter HashStopAllowListRoute.h, as facts.
 */
import type { RouteConfig } from "../../config/config.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import type { Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { object } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface HashStopAllowListRouteConfig extends RouteConfig {
  readonly type: "hash-stop-allow-list";
  readonly target: RouteConfig;
  readonly prefixes: readonly string[];
}

export const hashStopAllowList: RouteKind<HashStopAllowListRouteConfig> = {
  type: "hash-stop-allow-list",
  handles: {
    HashStopAllowListRoute(input) {
      const { fields, child } = object(input);
      const prefixes = fields.strings("prefixes") ?? [];
      const node: HashStopAllowListRouteConfig = { type: "hash-stop-allow-list", target: child("target"), prefixes };
      return [node];
    },
  },
  build: ({ target, prefixes }, { build }) => new HashStopAllowListRoute(build(target), prefixes),
};

const refusal = errorReply("local_error", "Hash stop not permited");

export class HashStopAllowListRoute implements Route {
  readonly name: string;
  private readonly target: Route;
  private readonly prefixes: readonly Buffer[];

  constructor(target: Route, prefixes: readonly string[]) {
    this.name = `HashStopAllowListRoute|num_prefixes=${prefixes.length}`;
    this.target = target;
    this.prefixes = prefixes.map((prefix) => Buffer.from(prefix));
  }

  route(request: Request): void {
    if (this.isAllowed(request)) this.target.route(request);
    else request.complete(refusal);
  }

  passKey(request: Request): Route | null {
    return this.isAllowed(request) ? this.target : null;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    if (this.isAllowed(request)) see(this.target, request);
  }

  private isAllowed({ chunk, keyStart, keyEnd }: Request): boolean {
    if (routingKeyEnd(chunk, keyStart, keyEnd) === keyEnd) return true;
    return this.prefixes.some((prefix) => {
      const end = keyStart + prefix.length;
      return end <= keyEnd && chunk.compare(prefix, 0, prefix.length, keyStart, end) === 0;
    });
  }
}
