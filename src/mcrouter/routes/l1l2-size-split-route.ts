/**
 * Keeps large values in L2, and in L1 a sentinel in their place: an item with a flag, which is empty. Gets that find a
 * sentinel ask L2. All other commands go to L1 only.
 *
 *     set k <large>   L2: set k <large>, then L1: set k "" with the flag
 *     get k           L1: get k; for a sentinel L2: get k
 *
 * mcrouter's lease-set leaves sentinels with a number N, for a value under the key `k|==|N` in L2: these are read, too.
 *
 * Source: mcrouter L1L2SizeSplitRoute.h, as facts.
 */
import type { RouteConfig } from "../../config/config.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import { MetaCode, type Reply, Status } from "../../proxy/reply.ts";
import { noOwner, Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import { getOf, isSendable, isText, type RoutedKey, routed, routedKeyOf } from "../../proxy/route/keyed-request.ts";
import { classicOperation, defaultFailoverErrors, isError, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { storedValue, withValue } from "../../proxy/route/stored-value.ts";
import { hasMetaFlag, returnedToken } from "../../proxy/wire/meta-line.ts";
import { MAX_INT32 } from "../config/fields.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { exptimeOf, withData } from "./derived-request.ts";
import { KeyOrder } from "./key-order.ts";

interface SizeSplitOptions {
  /** Values of at least this size go to L2. 0: none. */
  readonly thresholdBytes: number;
  /** Values with a shorter exptime go to L1. 0: none. */
  readonly ttlThreshold: number;
  /** True if large values are stored whole in both. */
  readonly storesBoth: boolean;
  /** Number of times that a `gets` asks again after it has removed a sentinel without a value. */
  readonly retries: number;
}

interface L1L2SizeSplitRouteConfig extends RouteConfig, SizeSplitOptions {
  readonly type: "l1l2-sizesplit";
  readonly l1: RouteConfig;
  readonly l2: RouteConfig;
}

export const l1l2SizeSplit: RouteKind<L1L2SizeSplitRouteConfig> = {
  type: "l1l2-sizesplit",
  handles: { L1L2SizeSplitRoute: (input) => [read(input)] },
  build: (node, { build }) => new L1L2SizeSplitRoute(build(node.l1), build(node.l2), node),
};

function read(input: RouteInput): L1L2SizeSplitRouteConfig {
  const { fields, child } = object(input);
  fields.need("threshold");
  // mcrouter has this for lease-set, an operation that memcached does not have.
  fields.integer("failure_ttl", 60, 1, MAX_INT32);
  return {
    type: "l1l2-sizesplit",
    l1: child("l1"),
    l2: child("l2"),
    thresholdBytes: fields.integer("threshold", 0, 0, UNBOUNDED)!,
    ttlThreshold: fields.integer("ttl_threshold", 0, 0, MAX_INT32)!,
    storesBoth: fields.boolean("both_full_set", false),
    retries: fields.integer("retries", 1, 1, 10)!,
  };
}

const SENTINEL_FLAG = 0x20;
const NOTHING = Buffer.alloc(0);
const ALIAS = "|==|";
/** mcrouter keeps keys in L1 that would be longer than this with an alias of 20 digits. */
const MAX_ALIASED_BYTES = 255 - ALIAS.length - 20;
const lost = errorReply("local_error", "");

class L1L2SizeSplitRoute implements Route {
  readonly name = "l1l2-sizesplit";
  private readonly l1: Route;
  private readonly l2: Route;
  private readonly options: SizeSplitOptions;
  /** Requests for a key wait while its value is being stored in L2. */
  private readonly order = new KeyOrder((request) => this.begin(request));

  constructor(l1: Route, l2: Route, options: SizeSplitOptions) {
    this.l1 = l1;
    this.l2 = l2;
    this.options = options;
  }

  route(request: Request): void {
    if (!this.order.makesWait(request)) this.begin(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.l1, request);
    see(this.l2, request);
  }

  private begin(request: Request): void {
    if (isRead(request)) {
      request.retain();
      this.get(request, this.options.retries);
    } else if (this.isLarge(request)) {
      request.retain();
      if (this.options.storesBoth) this.storeInBoth(request);
      else this.store(request);
    } else {
      this.l1.route(request);
    }
  }

  /** False if a server may refuse the request for its flags. */
  private isLarge(request: Request): boolean {
    const { hasData, dataStart, frameEnd, isGuarded, keyStart, keyEnd, routingPrefix } = request;
    const { thresholdBytes, ttlThreshold } = this.options;
    if (classicOperation(request) !== Operation.set || !hasData || isGuarded || thresholdBytes === 0) return false;
    if (frameEnd - 2 - dataStart < thresholdBytes) return false;
    if (ttlThreshold !== 0 && (exptimeOf(request) ?? 0) < ttlThreshold) return false;
    return (routingPrefix?.length ?? 0) + keyEnd - keyStart <= MAX_ALIASED_BYTES;
  }

  private storeInBoth(request: Request): void {
    const owner: ReplyOwner = {
      onReply: (sent, reply) => {
        if (resultOf(sent, reply) === "stored") this.l2.route(request.again(noOwner));
        request.complete(reply);
      },
    };
    this.l1.route(request.again(owner));
  }

  private store(request: Request): void {
    const release = this.order.hold(request);
    const last: ReplyOwner = {
      onReply: (_sent, reply) => {
        request.complete(reply);
        release();
      },
    };
    const first: ReplyOwner = {
      onReply: (sent, reply) => {
        if (resultOf(sent, reply) === "stored") this.l1.route(withData(request, NOTHING, SENTINEL_FLAG, last));
        else last.onReply(sent, reply);
      },
    };
    this.l2.route(request.again(first));
  }

  private get(request: Request, retries: number): void {
    const owner: ReplyOwner = {
      onReply: (_sent, reply) => {
        const isPlain = reply.status === Status.found && (reply.flags & SENTINEL_FLAG) === 0;
        const found = isPlain ? null : storedValue(reply);
        if (found === null || !/^\d{0,20}$/.test(found.value.toString("latin1"))) request.complete(reply);
        else if (reply.status !== Status.meta) this.found(request, reply, found.flags, retries);
        else this.foundMeta(request, reply, retries);
      },
    };
    this.l1.route(request.again(owner));
  }

  /** If a meta get has not asked for the flags, asks for them. */
  private foundMeta(request: Request, given: Reply, retries: number): void {
    const asked = returnedToken(given, "f");
    if (asked !== null) {
      this.found(request, given, Number(asked), retries);
      return;
    }
    const reply = given.copy();
    const owner: ReplyOwner = {
      onReply: (_sent, answer) => {
        const flags = answer.code === MetaCode.HD ? returnedToken(answer, "f") : null;
        this.found(request, reply, Number(flags ?? 0), retries);
      },
    };
    this.l1.route(routed(Operation.metaGet, routedKeyOf(request), { verb: "mg", rest: "f" }, owner));
  }

  /** Handles a value of L1 that is a sentinel if its flags say so. */
  private found(request: Request, given: Reply, flags: number, retries: number): void {
    if ((flags & SENTINEL_FLAG) === 0) {
      request.complete(given);
      return;
    }
    const reply = given.copy();
    const alias = storedValue(reply)!.value.toString("latin1");
    const key = routedKeyOf(request);
    const l2Key: RoutedKey = alias === "" ? key : { ...key, text: `${key.text}${ALIAS}${alias}` };
    if (!isSendable(l2Key.text)) {
      request.complete(lost);
      return;
    }
    // A plain get of an empty sentinel gets the reply of L2, also a miss.
    const isPlain = classicOperation(request) === Operation.get;
    const owner: ReplyOwner = {
      onReply: (sent, answer) => {
        const value = storedValue(answer);
        const result = resultOf(sent, answer);
        if (value !== null) request.complete(withValue(request, reply, value.value, () => value.flags));
        else if (isPlain && alias === "") request.complete(answer);
        else if (isError(result)) {
          if (defaultFailoverErrors.has(result)) this.removeSentinel(key, alias, () => {});
          request.complete(answer);
        } else if (!isPlain && retries > 0) {
          this.removeSentinel(key, alias, () => this.get(request, retries - 1));
        } else {
          if (isPlain) this.removeSentinel(key, alias, () => {});
          request.complete(lost);
        }
      },
    };
    this.l2.route(getOf(l2Key, owner));
  }

  /** Lets the sentinel in L1 expire, unless it has changed. Then calls `done`. */
  private removeSentinel(key: RoutedKey, alias: string, done: () => void): void {
    if (!isText(key.text)) {
      done();
      return;
    }
    const removed: ReplyOwner = { onReply: done };
    const read: ReplyOwner = {
      onReply: (_sent, reply) => {
        const cas = casOf(reply);
        const isSame = cas !== null && storedValue(reply)!.value.toString("latin1") === alias;
        const words = { verb: "cas", rest: `0 -1 0 ${cas}`, value: NOTHING };
        if (isSame) this.l1.route(routed(Operation.cas, key, words, removed));
        else done();
      },
    };
    this.l1.route(routed(Operation.gets, key, { verb: "gets", rest: "" }, read));
  }
}

/** True for get, gets and their meta equivalents that change nothing. */
function isRead(request: Request): boolean {
  const operation = classicOperation(request);
  if (operation !== Operation.get && operation !== Operation.gets) return false;
  return request.operation !== Operation.metaGet || (hasMetaFlag(request, "v") && !hasMetaFlag(request, "NRE"));
}

/** The cas of a value in the reply to a gets. */
function casOf(reply: Reply): string | null {
  if (reply.status !== Status.found) return null;
  return reply.chunk.toString("latin1", reply.start, reply.valueStart - 2).split(" ")[4] ?? null;
}
