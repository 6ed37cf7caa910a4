/**
 * Passes requests on with a changed exptime, set or limited. Deletes do not change.
 *
 * Source: mcrouter ModifyExptimeRoute.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import type { Reply } from "../../proxy/reply.ts";
import { Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { MAX_INT32 } from "../config/fields.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { withExptimes } from "./derived-request.ts";

export interface ModifyExptimeRouteConfig extends RouteConfig {
  readonly type: "modify-exptime";
  readonly target: RouteConfig;
  readonly action: "set" | "min";
  /** As memcached reads it. 0 means never; with "min", 0 changes nothing. */
  readonly exptime: number;
}

export const modifyExptime: RouteKind<ModifyExptimeRouteConfig> = {
  type: "modify-exptime",
  handles: { ModifyExptimeRoute: (input) => [read(input)] },
  build: ({ target, action, exptime }, { build }) => new ModifyExptimeRoute(build(target), action, exptime),
};

function read(input: RouteInput): RouteConfig {
  const { fields, child } = object(input);
  const target = child("target");
  fields.need("exptime");
  const exptime = fields.integer("exptime", 0, -MAX_INT32, MAX_INT32)!;
  const action = fields.choice("action", ["set", "min"], "set");
  return action === "min" ? withLeastExptime(target, exptime) : exptimeNode(target, "set", exptime);
}

/** Limits the exptime; an exptime of 0 (never) becomes the limit. */
export function withLeastExptime(target: RouteConfig, exptime: number): RouteConfig {
  return exptime === 0 ? target : exptimeNode(target, "min", exptime);
}

function exptimeNode(target: RouteConfig, action: "set" | "min", exptime: number): ModifyExptimeRouteConfig {
  return { type: "modify-exptime", target, action, exptime };
}

export class ModifyExptimeRoute implements Route {
  readonly name: string;
  readonly passesAlike = true;
  private readonly target: Route;
  private readonly changed: (exptime: number) => number;

  /** `exptime` as memcached reads it; "min" requires a value other than 0. */
  constructor(target: Route, action: "set" | "min", exptime: number) {
    this.name = `modify-exptime|${action}|exptime=${exptime}`;
    this.target = target;
    // 0 means never.
    this.changed = action === "set" ? () => exptime : (before) => (before === 0 || before > exptime ? exptime : before);
  }

  route(request: Request): void {
    const changed = withExptimes(request, this.changed, new Passed(request));
    // Only the changed copy is sent, so no connection retains the original: retain it here.
    if (changed !== null) request.retain();
    this.target.route(changed ?? request);
  }

  passKey({ operation }: Request): Route | null {
    return operation === Operation.gat || operation === Operation.gats ? null : this.target;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }
}

/** Passes the reply to the changed request to the original request. */
class Passed implements ReplyOwner {
  private readonly request: Request;

  constructor(request: Request) {
    this.request = request;
  }

  onReply(_changed: Request, reply: Reply): void {
    this.request.complete(reply);
  }
}
