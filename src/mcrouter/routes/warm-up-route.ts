/**
 * A cold cache in front of a warm cache. A miss in cold is read from warm and added to cold. Writes only go to cold.
 *
 *     get k ─► cold ── miss ──► warm ── hit ──► replied, and added to cold
 *     gets, gat, gats: first added to cold, which is then asked again for its real cas and exptime
 *
 * Source: mcrouter WarmUpRoute.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import { isFailure, type Reply, Status } from "../../proxy/reply.ts";
import { noOwner, Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { defaultReply } from "../../proxy/route/default-reply.ts";
import {
  getOf,
  isSendable,
  type RoutedKey,
  routedKeyOf,
  type StoredValue,
  storeOf,
  ttlOf,
} from "../../proxy/route/keyed-request.ts";
import type { KeyWatcher } from "../../proxy/route/multi-get.ts";
import { classicOperation, isHit, kindOf, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { answerWith, storedValue } from "../../proxy/route/stored-value.ts";
import { returnedToken } from "../../proxy/wire/meta-line.ts";
import { MAX_INT32 } from "../config/fields.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { exptimeOf } from "./derived-request.ts";

export interface WarmUpRouteConfig extends RouteConfig {
  readonly type: "warm-up";
  readonly cold: RouteConfig;
  readonly warm: RouteConfig;
  /** Exptime of copied items, as memcached reads it. `null` copies the item's exptime, read with `mg t`. */
  readonly exptime: number | null;
}

export const warmUp: RouteKind<WarmUpRouteConfig> = {
  type: "warm-up",
  handles: { WarmUpRoute: (input) => [read(input)] },
  build: ({ cold, warm, exptime }, { build }) => new WarmUpRoute(build(cold), build(warm), exptime),
};

function read(input: RouteInput): WarmUpRouteConfig {
  const { fields, child } = object(input);
  const exptime = fields.integer("exptime", null, 0, MAX_INT32);
  const isTtlAsked = fields.boolean("enable_metaget", false);
  return { type: "warm-up", cold: child("cold"), warm: child("warm"), exptime: exptime ?? (isTtlAsked ? null : 0) };
}

export class WarmUpRoute implements Route, KeyWatcher {
  readonly name = "warm-up";
  readonly passesAlike = true;
  readonly cold: Route;
  readonly warm: Route;
  readonly exptime: number | null;

  /** `exptime` of copied items, as memcached reads it. `null` keeps the remaining TTL of the item in warm. */
  constructor(cold: Route, warm: Route, exptime: number | null) {
    this.cold = cold;
    this.warm = warm;
    this.exptime = exptime;
  }

  route(request: Request): void {
    if (kindOf(request) === "get") {
      request.retain();
      request.push(this);
    }
    this.cold.route(request);
  }

  passKey(_request: Request, watchers: KeyWatcher[]): Route {
    watchers.push(this);
    return this.cold;
  }

  passesBack(_request: Request, reply: Reply): boolean {
    return reply.status === Status.found;
  }

  /** The reply of cold. */
  onReply(request: Request, reply: Reply): void {
    new WarmUp(this, request).onReply(request, reply);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.cold, request);
    if (kindOf(request) === "get") see(this.warm, request);
  }
}

/** One get on its way from cold to warm and back. */
class WarmUp implements ReplyOwner {
  private readonly parent: WarmUpRoute;
  private readonly request: Request;
  private readonly key: RoutedKey;
  private coldReply: Reply | null = null;

  constructor(parent: WarmUpRoute, request: Request) {
    this.parent = parent;
    this.request = request;
    this.key = routedKeyOf(request);
  }

  /** Handles the reply of cold. */
  onReply(_request: Request, reply: Reply): void {
    const { request, parent, key } = this;
    if (isHit(resultOf(request, reply)) || reply.status === Status.clientError || !isSendable(key.text)) {
      request.complete(reply);
      return;
    }
    if (request.operation === Operation.metaDebug) {
      parent.warm.route(request.again({ onReply: (_copy, answer) => request.complete(answer) }));
      return;
    }
    this.coldReply = reply.copy();
    parent.warm.route(getOf(key, { onReply: (_get, answer) => this.warmed(answer) }));
  }

  private warmed(reply: Reply): void {
    const { request } = this;
    const operation = classicOperation(request);
    const found = storedValue(reply);
    if (found === null) {
      // A plain get gets the reply of warm; other commands get the miss of cold.
      if (operation !== Operation.get) request.complete(this.coldReply!);
      else request.complete(isFailure(reply.status) ? reply : defaultReply(request));
      return;
    }
    const answer = operation === Operation.get ? answerWith(request, found) : null;
    if (answer !== null) {
      this.withExptime((exptime) => this.addToCold(found, exptime, noOwner));
      request.complete(answer);
    } else if (operation === Operation.gat || operation === Operation.gats) {
      this.addToCold(found, exptimeOf(request) ?? 0, this.again());
    } else {
      this.withExptime(
        (exptime) => this.addToCold(found, exptime, this.again()),
        () => request.complete(this.coldReply!),
      );
    }
  }

  /** Asks cold again after the value is added. */
  private again(): ReplyOwner {
    const { request, parent } = this;
    const last: ReplyOwner = { onReply: (_copy, reply) => request.complete(reply) };
    return { onReply: () => parent.cold.route(request.again(last)) };
  }

  private addToCold(found: StoredValue, exptime: number, owner: ReplyOwner): void {
    this.parent.cold.route(storeOf("add", this.key, found, exptime, owner));
  }

  /** Calls `use` with the exptime for cold, or `otherwise` if the item is gone. */
  private withExptime(use: (exptime: number) => void, otherwise: () => void = () => {}): void {
    const { parent, key } = this;
    if (parent.exptime !== null) {
      use(parent.exptime);
      return;
    }
    const owner: ReplyOwner = {
      onReply: (_meta, reply) => {
        const ttl = returnedToken(reply, "t");
        if (ttl === null || ttl === "0") otherwise();
        else use(Math.max(0, Number(ttl)));
      },
    };
    parent.warm.route(ttlOf(key, owner));
  }
}
