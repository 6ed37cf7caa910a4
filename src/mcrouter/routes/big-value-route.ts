/**
 * Stores values over a threshold in parts, each under a separate key, and joins them for gets.
 *
 *     set k <large>   sets k:0:S, k:1:S …, several at a time; then sets k to "1-<parts>-<S>" with a flag that marks it
 *     get k           if marked: gets the parts and joins them; a missing part makes the get a miss
 *
 * While a value is being stored in parts, later requests for its key wait. Otherwise the end of a large write could
 * overwrite a small write that came after it.
 *
 * Source: mcrouter BigValueRoute.h, as facts. S is a hash of the value, so that parts of different values are not
 * mixed.
 */

import type { RouteConfig } from "../../config/config.ts";
import type { Result } from "../../config/results.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import { spooky32 } from "../../proxy/hash/spooky.ts";
import { isFailure, type Reply, Status } from "../../proxy/reply.ts";
import { Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { defaultReply } from "../../proxy/route/default-reply.ts";
import { getOf, isSendable, type RoutedKey, routed, routedKeyOf, storeOf } from "../../proxy/route/keyed-request.ts";
import { kindOf, resultOf, severity } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { storedValue, withValue } from "../../proxy/route/stored-value.ts";
import { replyTo } from "../../proxy/wire/command.ts";
import { hasMetaFlag, lineWords, metaToken, returnedToken } from "../../proxy/wire/meta-line.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { exptimeOf, withData } from "./derived-request.ts";
import { KeyOrder } from "./key-order.ts";

export interface BigValueRouteConfig extends RouteConfig {
  readonly type: "big-value";
  readonly target: RouteConfig;
  readonly thresholdBytes: number;
  readonly batchSize: number;
  /** True if clients get the flags without the mark. Clients that use the flags themselves, such as Java's, need it. */
  readonly hidesFlag: boolean;
}

export const bigValue: RouteKind<BigValueRouteConfig> = {
  type: "big-value",
  handles: { BigValueRoute: (input) => [read(input)] },
  build: (node, { build }) => new BigValueRoute(build(node.target), node),
};

function read(input: RouteInput): BigValueRouteConfig {
  const { fields, child } = object(input);
  for (const name of ["split_threshold", "batch_size"]) fields.need(name);
  const thresholdBytes = fields.integer("split_threshold", 0, 1, UNBOUNDED)!;
  const batchSize = fields.integer("batch_size", 0, 0, UNBOUNDED)!;
  const hidesFlag = fields.boolean("hide_reply_flag", false);
  return { type: "big-value", target: child("target"), thresholdBytes, batchSize, hidesFlag };
}

const BIG_VALUE_FLAG = 0x8000;
/** The longest suffix of a part's key: mcrouter's hashes have 64 bits. */
const PART_KEY_TEXT = ":99999:18446744073709551615";
const MAX_PARTS = 100_000;

type BigValueOptions = Pick<BigValueRouteConfig, "thresholdBytes" | "batchSize" | "hidesFlag">;

/** mcrouter's BigValueRoute, above all other routes. */
export class BigValueRoute implements Route {
  readonly name: string;
  private readonly target: Route;
  private readonly options: BigValueOptions;
  /** Requests for a key wait while its value is stored in parts. */
  private readonly order = new KeyOrder((request) => this.begin(request));

  constructor(target: Route, options: BigValueOptions) {
    const { thresholdBytes, batchSize, hidesFlag } = options;
    this.name = `big-value|split_threshold=${thresholdBytes}|batch_size=${batchSize}|hide_reply_flag=${hidesFlag}`;
    this.target = target;
    this.options = options;
  }

  route(request: Request): void {
    if (!this.order.makesWait(request)) this.begin(request);
  }

  private begin(request: Request): void {
    const kind = kindOf(request);
    if (kind === "get" && request.operation !== Operation.metaDebug) {
      request.retain();
      request.push({ onReply: (_request, reply) => this.found(request, reply) });
      this.target.route(request);
    } else if (kind === "update" && this.isLarge(request)) {
      this.store(request);
    } else {
      this.target.route(request);
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }

  /** False if a server may refuse the request for its flags: its parts would be stored in vain. */
  private isLarge(request: Request): boolean {
    const { hasData, dataStart, frameEnd, isGuarded } = request;
    if (!hasData || isGuarded || frameEnd - 2 - dataStart <= this.options.thresholdBytes) return false;
    return isSendable(request.keyText() + PART_KEY_TEXT);
  }

  private store(request: Request): void {
    request.retain();
    const release = this.order.hold(request);
    const complete = (reply: Reply) => {
      // Requests that the reply triggers wait after the others.
      request.complete(reply);
      release();
    };
    const value = request.chunk.subarray(request.dataStart, request.frameEnd - 2);
    const { thresholdBytes } = this.options;
    const suffix = spooky32(value, 0, value.length, 0);
    const count = Math.ceil(value.length / thresholdBytes);
    const key = routedKeyOf(request);
    const exptime = exptimeOf(request) ?? 0;
    const flags = clientFlagsOf(request);
    const worst = new WorstOfParts();
    this.inBatches(
      count,
      (part, owner) => {
        const bytes = value.subarray(part * thresholdBytes, (part + 1) * thresholdBytes);
        return storeOf("set", partKey(key, part, suffix), { value: bytes, flags }, exptime, owner);
      },
      (_part, sent, reply) => worst.add(sent, reply),
      () => {
        if (worst.result !== "stored") {
          const { status } = worst.reply!;
          complete(isFailure(status) ? worst.reply! : replyTo(request, { status: Status.notStored }));
          return;
        }
        const info = Buffer.from(`1-${count}-${suffix}`, "latin1");
        const owner: ReplyOwner = { onReply: (_copy, reply) => complete(reply) };
        this.target.route(withData(request, info, BIG_VALUE_FLAG, owner));
      },
    );
  }

  /** Handles the reply to a get: if the value is stored in parts, gets the parts. */
  private found(request: Request, reply: Reply): void {
    const stub = storedValue(reply);
    if (stub === null) {
      request.complete(reply);
      return;
    }
    const info = /^1-(\d{1,9})-(\d{1,20})$/.exec(stub.value.toString("latin1"));
    // If a meta get asks for no flags, the form of the value decides, as long as the parts exist.
    const isMarked = (stub.flags & BIG_VALUE_FLAG) !== 0;
    if (!isMarked && (info === null || asksForFlags(request))) {
      request.complete(reply);
      return;
    }
    const count = Number(info?.[1] ?? 0);
    const key = routedKeyOf(request);
    if (info === null || count === 0 || count > MAX_PARTS || !isSendable(key.text + PART_KEY_TEXT)) {
      request.complete(isMarked ? defaultReply(request) : reply);
      return;
    }
    const head = reply.copy();
    const parts: (Buffer | null)[] = new Array(count).fill(null);
    const worst = new WorstOfParts();
    this.inBatches(
      count,
      (part, owner) => getOf(partKey(key, part, info[2]!), owner),
      (part, sent, answer) => {
        parts[part] = storedValue(answer)?.value ?? null;
        worst.add(sent, answer);
      },
      () => {
        if (parts.every((part) => part !== null)) {
          const mark = this.options.hidesFlag && isMarked ? BIG_VALUE_FLAG : 0;
          request.complete(withValue(request, head, Buffer.concat(parts), (flags) => (flags & ~mark) >>> 0));
        } else if (!isMarked) {
          this.askForMark(request, head);
        } else {
          const { reply: answer } = worst;
          request.complete(answer !== null && isFailure(answer.status) ? answer : defaultReply(request));
        }
      },
    );
  }

  /**
   * Parts are missing and the client's get asked for no flags. Asks for the flags, which show if `reply` is a value or
   * a stub.
   */
  private askForMark(request: Request, reply: Reply): void {
    const key = routedKeyOf(request);
    const owner: ReplyOwner = {
      onReply: (_sent, answer) => {
        const flags = returnedToken(answer, "f");
        const isValue = flags !== null && (Number(flags) & BIG_VALUE_FLAG) === 0;
        request.complete(isValue ? reply : defaultReply(request));
      },
    };
    this.target.route(routed(Operation.metaGet, key, { verb: "mg", rest: "f" }, owner));
  }

  /** Sends `count` requests, several at a time, and calls `done` after the last reply. */
  private inBatches(
    count: number,
    make: (part: number, owner: ReplyOwner) => Request,
    each: (part: number, sent: Request, reply: Reply) => void,
    done: () => void,
  ): void {
    const batchSize = this.options.batchSize === 0 ? count : this.options.batchSize;
    let next = 0;
    let due = 0;
    let isSending = false;
    // A loop, not a recursion: dead servers answer synchronously.
    const send = () => {
      if (isSending) return;
      isSending = true;
      while (next < count && due === 0) {
        const end = Math.min(next + batchSize, count);
        due = end - next;
        while (next < end) {
          const part = next++;
          const owner: ReplyOwner = {
            onReply: (sent, reply) => {
              each(part, sent, reply);
              if (--due === 0) send();
            },
          };
          this.target.route(make(part, owner));
        }
      }
      isSending = false;
      if (next === count && due === 0) done();
    };
    send();
  }
}

/** Keeps the worst reply to the parts. */
class WorstOfParts {
  result: Result = "stored";
  reply: Reply | null = null;

  add(sent: Request, reply: Reply): void {
    const result = resultOf(sent, reply);
    if (this.reply !== null && severity(result) <= severity(this.result)) return;
    this.result = result;
    this.reply = reply.copy();
  }
}

function partKey(key: RoutedKey, part: number, suffix: number | string): RoutedKey {
  return { ...key, text: `${key.text}:${part}:${suffix}` };
}

/** The client flags of a well-formed storage command. */
function clientFlagsOf(request: Request): number {
  return Number(request.operation === Operation.metaSet ? (metaToken(request, "F") ?? 0) : lineWords(request)[2]);
}

function asksForFlags(request: Request): boolean {
  return request.operation !== Operation.metaGet || hasMetaFlag(request, "f");
}
