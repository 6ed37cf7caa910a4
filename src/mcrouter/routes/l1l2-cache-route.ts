/**
 * A small near cache (L1) in front of a large cache (L2). Gets go to L1, after a miss to L2, and a hit in L2 is added
 * to L1. With a negative cache, a miss in L2 is stored in L1 as an item with a special flag; at regular hits, L2 is
 * checked again. All other commands go to L1 only.
 *
 * Source: mcrouter lib/routes/L1L2CacheRoute.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import { type Reply, Status } from "../../proxy/reply.ts";
import { noOwner, Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { defaultReply } from "../../proxy/route/default-reply.ts";
import { getOf, isSendable, type RoutedKey, routedKeyOf, storeOf } from "../../proxy/route/keyed-request.ts";
import { isHit, kindOf, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { answerWith, storedValue } from "../../proxy/route/stored-value.ts";
import { MAX_INT32 } from "../config/fields.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface L1L2CacheRouteConfig extends RouteConfig {
  readonly type: "l1l2-cache";
  readonly l1: RouteConfig;
  readonly l2: RouteConfig;
  readonly upgradingL1Exptime: number;
  readonly ncacheExptime: number;
  /** L2 is checked at each nth hit of a negative entry. 0 disables the check. */
  readonly ncacheUpdatePeriod: number;
}

export const l1l2Cache: RouteKind<L1L2CacheRouteConfig> = {
  type: "l1l2-cache",
  handles: { L1L2CacheRoute: (input) => [read(input)] },
  build: (node, { build }) => new L1L2CacheRoute(build(node.l1), build(node.l2), node),
};

function read(input: RouteInput): L1L2CacheRouteConfig {
  const { fields, child } = object(input);
  fields.need("upgradingL1Exptime");
  return {
    type: "l1l2-cache",
    l1: child("l1"),
    l2: child("l2"),
    upgradingL1Exptime: fields.integer("upgradingL1Exptime", 0, 0, MAX_INT32)!,
    ncacheExptime: fields.integer("ncacheExptime", 0, 0, MAX_INT32)!,
    ncacheUpdatePeriod: fields.integer("ncacheUpdatePeriod", 0, 0, MAX_INT32)!,
  };
}

const NEGATIVE_FLAG = 0x10000;
const NEGATIVE = { value: Buffer.from("ncache", "latin1"), flags: NEGATIVE_FLAG };

export class L1L2CacheRoute implements Route {
  readonly name = "l1l2-cache";
  private readonly l1: Route;
  private readonly l2: Route;
  private readonly options: Pick<L1L2CacheRouteConfig, "upgradingL1Exptime" | "ncacheExptime" | "ncacheUpdatePeriod">;
  private hitsUntilUpdate: number;

  constructor(l1: Route, l2: Route, options: Omit<L1L2CacheRouteConfig, "type" | "l1" | "l2">) {
    this.l1 = l1;
    this.l2 = l2;
    this.options = options;
    this.hitsUntilUpdate = options.ncacheUpdatePeriod;
  }

  route(request: Request): void {
    if (kindOf(request) === "get" && isSendable(request.keyText())) {
      request.retain();
      request.push({ onReply: (_request, reply) => this.answered(request, reply) });
    }
    this.l1.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.l1, request);
    if (kindOf(request) === "get") see(this.l2, request);
  }

  /** Handles the reply of L1. */
  private answered(request: Request, reply: Reply): void {
    if (reply.status === Status.clientError) {
      request.complete(reply);
    } else if (!isHit(resultOf(request, reply))) {
      this.askL2(request);
    } else if (isNegative(reply)) {
      this.lookBehind(routedKeyOf(request));
      request.complete(defaultReply(request));
    } else {
      request.complete(reply);
    }
  }

  private askL2(request: Request): void {
    const key = routedKeyOf(request);
    // If the reply can be made from the value, ask L2 only for the value: a meta get may lack fields that L1 must
    // store.
    const isPlain = request.operation === Operation.get || request.operation === Operation.metaGet;
    const owner: ReplyOwner = {
      onReply: (_copy, reply) => {
        const found = storedValue(reply);
        if (found !== null) {
          this.l1.route(storeOf("add", key, found, this.options.upgradingL1Exptime, noOwner));
          const answer = isPlain ? answerWith(request, found) : reply;
          if (answer !== null) request.complete(answer);
          else this.l2.route(request.again({ onReply: (_again, last) => request.complete(last) }));
          return;
        }
        const isMiss = resultOf(request, reply) === "notfound";
        if (isMiss && this.options.ncacheUpdatePeriod > 0) {
          this.l1.route(storeOf("add", key, NEGATIVE, this.options.ncacheExptime, noOwner));
        }
        request.complete(isMiss ? defaultReply(request) : reply);
      },
    };
    this.l2.route(isPlain ? getOf(key, owner) : request.again(owner));
  }

  /** Compares each nth hit of a negative item with L2. */
  private lookBehind(key: RoutedKey): void {
    const { ncacheUpdatePeriod, upgradingL1Exptime, ncacheExptime } = this.options;
    if (ncacheUpdatePeriod === 0) return;
    if (--this.hitsUntilUpdate > 0) return;
    this.hitsUntilUpdate = ncacheUpdatePeriod;
    const owner: ReplyOwner = {
      onReply: (_get, reply) => {
        const found = storedValue(reply);
        const exptime = found === null ? ncacheExptime : upgradingL1Exptime;
        this.l1.route(storeOf("set", key, found ?? NEGATIVE, exptime, noOwner));
      },
    };
    this.l2.route(getOf(key, owner));
  }
}

/** True if the item stands for a miss. For a meta get without flags, the value decides. */
function isNegative(reply: Reply): boolean {
  const found = storedValue(reply);
  if (found === null) return false;
  if ((found.flags & NEGATIVE_FLAG) !== 0) return true;
  return reply.status === Status.meta && found.flags === 0 && found.value.equals(NEGATIVE.value);
}
