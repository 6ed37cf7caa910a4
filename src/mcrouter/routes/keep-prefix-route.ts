/** Adds the routing prefix to keys again, for the servers of a pool with `keep_routing_prefix`. */
import type { Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { canHaveKey, withKey } from "./derived-request.ts";

/** This route stands directly above the servers. The root removes the prefix, and placement does not use it. */
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

  passKey({ routingPrefix }: Request): Route | null {
    return routingPrefix === null ? this.target : null;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const sent = prefixed(request);
    if (sent !== null) see(this.target, sent);
  }
}

const tooLong = errorReply("bad_key", "The key provided is invalid");

/** `null` if the key with its prefix is too long. */
function prefixed(request: Request): Request | null {
  const { routingPrefix, chunk, keyStart, keyEnd } = request;
  if (routingPrefix === null) return request;
  if (!canHaveKey(request, routingPrefix.length + keyEnd - keyStart)) return null;
  return withKey(request, Buffer.concat([routingPrefix, chunk.subarray(keyStart, keyEnd)]));
}
