/**
 * Values over a threshold are stored in parts, each under a key of its own, and put together again when they are asked for.
 *
 *     set k <large>   k:0:S, k:1:S … set, some at a time; then k gets "1-<parts>-<S>" with a flag that marks it
 *     get k           marked: the parts are got, and given as one value; one that lacks makes it a miss
 *
 * Source: mcrouter BigValueRoute.h, as facts; S is a hash of the value, so that parts of two values are not mixed.
 */
import type { BigValueRouteConfig } from "../../config/route-config.ts";
import { spooky32 } from "../hash/spooky.ts";
import { isFailure, Reply, Status } from "../reply.ts";
import { Operation, type ReplyOwner, type Request } from "../request.ts";
import { replyTo } from "../wire/command.ts";
import { metaFlags } from "../wire/meta-line.ts";
import { defaultReply } from "./default-reply.ts";
import { exptimeOf, withData } from "./derived-request.ts";
import { getOf, storeOf } from "./keyed-request.ts";
import { kindOf, resultOf, severity } from "./result.ts";
import type { Route, SeeTarget } from "./route.ts";
import { answerWith, storedValue } from "./stored-value.ts";

const BIG_VALUE_FLAG = 0x8000;
const MAX_KEY_BYTES = 250;
/** Of ":", a part's number, ":" and the hash. */
const PART_KEY_BYTES = 20;
const MAX_PARTS = 100_000;

/** mcrouter's BigValueRoute, above everything else. */
export class BigValueRoute implements Route {
  readonly name: string;
  private readonly target: Route;
  private readonly options: Pick<BigValueRouteConfig, "thresholdBytes" | "batchSize">;

  constructor(target: Route, options: Pick<BigValueRouteConfig, "thresholdBytes" | "batchSize">) {
    this.name = `big-value|split_threshold=${options.thresholdBytes}|batch_size=${options.batchSize}`;
    this.target = target;
    this.options = options;
  }

  route(request: Request): void {
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

  private isLarge({ hasData, dataStart, frameEnd, keyStart, keyEnd }: Request): boolean {
    if (!hasData || keyEnd - keyStart + PART_KEY_BYTES > MAX_KEY_BYTES) return false;
    return frameEnd - 2 - dataStart > this.options.thresholdBytes;
  }

  private store(request: Request): void {
    request.retain();
    const value = request.chunk.subarray(request.dataStart, request.frameEnd - 2);
    const { thresholdBytes } = this.options;
    const suffix = spooky32(value, 0, value.length, 0);
    const count = Math.ceil(value.length / thresholdBytes);
    const key = request.keyText();
    const exptime = exptimeOf(request) ?? 0;
    let worst: Reply | null = null;
    this.inBatches(
      count,
      (part, owner) => {
        const bytes = value.subarray(part * thresholdBytes, (part + 1) * thresholdBytes);
        return storeOf("set", partKey(key, part, suffix), { value: bytes, flags: 0 }, exptime, owner);
      },
      (_part, reply) => {
        const isWorse = worst === null || severity(resultOf(request, reply)) > severity(resultOf(request, worst));
        if (isWorse) worst = reply.copy();
      },
      () => {
        if (worst !== null && worst.status !== Status.stored && worst.status !== Status.meta) {
          request.complete(isFailure(worst.status) ? worst : replyTo(request, { status: worst.status }));
          return;
        }
        const info = Buffer.from(`1-${count}-${suffix}`, "latin1");
        const owner: ReplyOwner = { onReply: (_copy, reply) => request.complete(reply) };
        this.target.route(withData(request, info, BIG_VALUE_FLAG, owner));
      },
    );
  }

  /** The answer to a get; of a value in parts they are asked for. */
  private found(request: Request, reply: Reply): void {
    const isMeta = reply.status === Status.meta;
    if (!isMeta && (reply.status !== Status.found || (reply.flags & BIG_VALUE_FLAG) === 0)) {
      request.complete(reply);
      return;
    }
    const stub = storedValue(reply);
    const info = stub === null ? null : /^1-(\d+)-(\d+)$/.exec(stub.value.toString("latin1"));
    // A meta get that asks for no flags is told by the value's form alone.
    const isMarked = stub !== null && ((stub.flags & BIG_VALUE_FLAG) !== 0 || !asksForFlags(request));
    if (stub === null || (isMeta && (info === null || !isMarked))) {
      request.complete(reply);
      return;
    }
    const count = Number(info?.[1] ?? 0);
    if (info === null || count === 0 || count > MAX_PARTS) {
      request.complete(defaultReply(request));
      return;
    }
    const head = reply.copy();
    const parts: (Buffer | null)[] = new Array(count).fill(null);
    const key = request.keyText();
    this.inBatches(
      count,
      (part, owner) => getOf(partKey(key, part, Number(info[2])), owner),
      (part, answer) => {
        parts[part] = storedValue(answer)?.value ?? null;
      },
      () => {
        const isWhole = parts.every((part) => part !== null);
        request.complete(isWhole ? rejoined(request, head, Buffer.concat(parts as Buffer[])) : defaultReply(request));
      },
    );
  }

  /** Sends `count` requests, some at a time, and calls `done` when all have been answered. */
  private inBatches(
    count: number,
    make: (part: number, owner: ReplyOwner) => Request,
    each: (part: number, reply: Reply) => void,
    done: () => void,
  ): void {
    const batchSize = this.options.batchSize === 0 ? count : this.options.batchSize;
    const sendFrom = (first: number) => {
      if (first >= count) {
        done();
        return;
      }
      const end = Math.min(first + batchSize, count);
      let due = end - first;
      for (let part = first; part < end; part++) {
        const owner: ReplyOwner = {
          onReply: (_request, reply) => {
            each(part, reply);
            if (--due === 0) sendFrom(end);
          },
        };
        this.target.route(make(part, owner));
      }
    };
    sendFrom(0);
  }
}

function partKey(key: string, part: number, suffix: number): string {
  return `${key}:${part}:${suffix}`;
}

function asksForFlags(request: Request): boolean {
  return request.operation !== Operation.metaGet || metaFlags(request).includes("f");
}

/** `reply` to `request` with another value: what it says beside the value is kept. */
function rejoined(request: Request, reply: Reply, value: Buffer): Reply {
  const plain = answerWith(request, { value, flags: reply.flags });
  if (plain !== null && reply.status !== Status.meta) return plain;
  const line = reply.chunk.toString("latin1", reply.start, reply.valueStart - 2);
  const oldLength = String(reply.valueEnd - reply.valueStart);
  const isMeta = reply.status === Status.meta;
  const words = line.split(" ");
  const at = isMeta ? 1 : 3;
  words[at] = String(value.length);
  const text = words
    .map((word, i) => (isMeta && i > 1 && word === `s${oldLength}` ? `s${value.length}` : word))
    .join(" ");
  const head = Buffer.from(`${text}\r\n`, "latin1");
  const own = Object.assign(new Reply(), reply);
  own.isKept = true;
  own.chunk = Buffer.concat([head, value, reply.chunk.subarray(reply.valueEnd, reply.end)]);
  own.start = 0;
  own.end = own.chunk.length;
  own.valueStart = head.length;
  own.valueEnd = head.length + value.length;
  return own;
}
