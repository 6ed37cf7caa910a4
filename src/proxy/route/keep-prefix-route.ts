/**
 * Gives keys their routing prefix back on the way to the servers of a pool with `keep_routing_prefix`.
 */
import type { Request } from "../request.ts";
import { withKey } from "./derived-request.ts";
import type { Route, SeeTarget } from "./route.ts";

/** Stands right above the servers; the prefix was taken off at the root and has no part in placement. */
export class KeepPrefixRoute implements Route {
  readonly name = "keep-routing-prefix";
  private readonly target: Route;

  constructor(target: Route) {
    this.target = target;
  }

  route(request: Request): void {
    this.target.route(prefixed(request));
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, prefixed(request));
  }
}

function prefixed(request: Request): Request {
  const { routingPrefix, chunk, keyStart, keyEnd } = request;
  if (routingPrefix === null) return request;
  return withKey(request, Buffer.concat([routingPrefix, chunk.subarray(keyStart, keyEnd)]));
}
