/**
 * Passes requests on with another key. Clients see the key that they asked for.
 *
 * Source: mcrouter ModifyKeyRoute.h, as facts.
 */
import type { ModifyKeyRouteConfig } from "../../config/route-config.ts";
import { Reply } from "../../proxy/reply.ts";
import type { Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { canHaveKey, withKey } from "./derived-request.ts";

const missing = errorReply("local_error", "ModifyKeyRoute: invalid key: invalid key: missing");
const tooLong = errorReply("local_error", "ModifyKeyRoute: invalid key: invalid key: too long");

/** mcrouter's ModifyKeyRoute. */
export class ModifyKeyRoute implements Route {
  readonly name = "modify-key";
  private readonly target: Route;
  private readonly options: Omit<ModifyKeyRouteConfig, "type" | "target">;

  constructor(target: Route, options: Omit<ModifyKeyRouteConfig, "type" | "target">) {
    this.target = target;
    this.options = options;
  }

  route(request: Request): void {
    const changed = this.changed(request);
    if (changed instanceof Reply) request.complete(changed);
    else this.target.route(changed);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const changed = this.changed(request);
    if (!(changed instanceof Reply)) see(this.target, changed);
  }

  /** The request as it is passed on, or what is answered where no server takes its key. */
  private changed(request: Request): Request | Reply {
    const { routingPrefix } = this.options;
    const key = request.keyText();
    const changed = this.changedKey(key);
    const isPrefixSet = routingPrefix !== null && routingPrefix !== (request.routingPrefix?.toString("latin1") ?? "");
    if (changed === key && !isPrefixSet) return request;
    if (changed === "") return missing;
    if (!canHaveKey(request, changed.length)) return tooLong;
    const derived = withKey(request, Buffer.from(changed, "latin1"));
    if (isPrefixSet) derived.routingPrefix = routingPrefix === "" ? null : Buffer.from(routingPrefix, "latin1");
    return derived;
  }

  private changedKey(key: string): string {
    const { ensurePrefix, replacePrefix, isInPlace, suffix } = this.options;
    if (replacePrefix !== null && key.startsWith(replacePrefix)) {
      return ensurePrefix + key.slice(replacePrefix.length) + suffix;
    }
    if (key.startsWith(ensurePrefix)) return key + suffix;
    const isReplaced = isInPlace && key.length >= ensurePrefix.length;
    return ensurePrefix + (isReplaced ? key.slice(ensurePrefix.length) : key) + suffix;
  }
}
