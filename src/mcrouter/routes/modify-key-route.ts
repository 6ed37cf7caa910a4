/**
 * Passes requests on with a changed key. Clients see the key that they asked for.
 *
 * Source: mcrouter ModifyKeyRoute.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import { Reply } from "../../proxy/reply.ts";
import type { Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { bytesText } from "../config/fields.ts";
import { type ObjectInput, object } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { canHaveKey, withKey } from "./derived-request.ts";

export interface ModifyKeyRouteConfig extends RouteConfig {
  readonly type: "modify-key";
  readonly target: RouteConfig;
  /** "/region/cluster/", or "" for no prefix. `null` keeps the key's prefix. */
  readonly routingPrefix: string | null;
  readonly ensurePrefix: string;
  readonly isInPlace: boolean;
  readonly replacePrefix: string | null;
  readonly suffix: string;
}

export const modifyKey: RouteKind<ModifyKeyRouteConfig> = {
  type: "modify-key",
  handles: { ModifyKeyRoute: (input) => [read(object(input))] },
  build: (node, { build }) => new ModifyKeyRoute(build(node.target), node),
};

function read({ fields, child }: ObjectInput): ModifyKeyRouteConfig {
  const part = (name: string): string | null => {
    const given = fields.string(name);
    const text = given === null ? null : bytesText(given);
    if (text === null || /^[!-~\x80-\xff]*$/.test(text)) return text;
    fields.complainAt(fields.get(name)!, "expected text that may stand in a key: no spaces, no control characters");
    return null;
  };
  const prefix = part("set_routing_prefix");
  if (prefix !== null && prefix !== "" && !/^\/[^/]+\/[^/]+\/?$/.test(prefix)) {
    fields.complainAt(
      fields.get("set_routing_prefix")!,
      `expected "/region/cluster/" or "", got ${JSON.stringify(prefix)}`,
    );
  }
  const replacePrefix = part("replace_key_prefix");
  const isInPlace = fields.boolean("modify_inplace", false);
  if (isInPlace && replacePrefix !== null) fields.complain("modify_inplace and replace_key_prefix do not go together");
  return {
    type: "modify-key",
    target: child("target"),
    routingPrefix: prefix === null || prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`,
    ensurePrefix: part("ensure_key_prefix") ?? "",
    isInPlace,
    replacePrefix,
    suffix: part("set_key_suffix") ?? "",
  };
}

const missing = errorReply("local_error", "ModifyKeyRoute: invalid key: invalid key: missing");
const tooLong = errorReply("local_error", "ModifyKeyRoute: invalid key: invalid key: too long");

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

  /** The changed request, or the reply if no server accepts the new key. */
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
