/**
 * Gives keys their routing prefix back on the way to the servers of a pool with `keep_routing_prefix`.
 */
import type { Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { canHaveKey, withKey } from "./derived-request.ts";

/** Stands right above the servers; the prefix was taken off at the root and has no part in placement. */
export class KeepPrefixRoute implements Route {
  readonly name = "keep-routing-prefix";
  private readonly target: Route;

  constructor(target: Route) {
    this.target = target;
  }

  route(request: Request): void {
    const sent = prefixed(request);
    if (sent === null) request.complete(tooLong);
    else this.target.route(sent);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const sent = prefixed(request);
    if (sent !== null) see(this.target, sent);
  }
}

const tooLong = errorReply("bad_key", "The key provided is invalid");

/** Null: the key has become too long on its way. */
function prefixed(request: Request): Request | null {
  const { routingPrefix, chunk, keyStart, keyEnd } = request;
  if (routingPrefix === null) return request;
  if (!canHaveKey(request, routingPrefix.length + keyEnd - keyStart)) return null;
  return withKey(request, Buffer.concat([routingPrefix, chunk.subarray(keyStart, keyEnd)]));
}
