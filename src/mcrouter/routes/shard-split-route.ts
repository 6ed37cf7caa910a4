/**
 * Spreads a hot shard over several servers. A key `NAME:SHARD:REST` gets two letters after its shard, which select
 * another server; each host uses one of the splits.
 *
 *     splits of "user:12:name" by host    0: user:12:name    1: user:12aa:name    2: user:12ba:name    …
 *
 * A shard can grow to more splits during a period, host after host. Deletes may go to all splits.
 *
 * Source: mcrouter ShardSplitRoute.h, ShardSplitter.cpp, ShardHashFunc.cpp, as facts.
 */
import type { Clock } from "../../clock.ts";
import type { RouteConfig } from "../../config/config.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import { noOwner, type Request } from "../../proxy/request.ts";
import { kindOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { bytesText, type Fields } from "../config/fields.ts";
import type { RouteReader } from "../config/read-routes.ts";
import type { RouteKind } from "../route-kind.ts";
import { canHaveKey, copyWithKey, withKey } from "./derived-request.ts";

/** The splits of one shard. */
export interface ShardSplit {
  readonly oldSize: number;
  readonly newSize: number;
  /** Between these times (Unix seconds), hosts change from the old size to the new size. */
  readonly startUnixSeconds: number;
  readonly periodSeconds: number;
  readonly sendsDeletesToAll: boolean;
}

interface ShardSplitRouteConfig extends RouteConfig {
  readonly type: "shard-split";
  readonly target: RouteConfig;
  /** By shard. */
  readonly splits: ReadonlyMap<string, ShardSplit>;
}

/** The part of PoolRoute for `shard_splits`. No handle makes this node alone. */
export const shardSplit: RouteKind<ShardSplitRouteConfig> = {
  type: "shard-split",
  handles: {},
  build: ({ target, splits }, { build, clock, hostId }) => new ShardSplitRoute(build(target), splits, hostId, clock),
};

const LETTERS = 26;
/** Each split after the first has a pair of letters. */
const MAX_SPLITS = LETTERS * LETTERS + 1;
const SUFFIX_BYTES = 2;
/** Hosts change their number of splits in this many steps. */
const HOST_STEPS = 16_384;

/** `shard_splits` of a pool. Without splits, the target replaces the route. */
export function shardSplitNode(target: RouteConfig, fields: Fields, reader: RouteReader): RouteConfig {
  // In mcrouter, the fan-out applies to requests of Facebook's clients only.
  fields.integer("split_shard_fanout", 0, 0, UNBOUNDED);
  const found = fields.nested("shard_splits");
  if (found === null) return target;
  const splits = new Map<string, ShardSplit>();
  for (const [shard, json] of found.object.members) {
    if (json.type === "object") {
      const split = found.nested(shard)!;
      splits.set(bytesText(shard), growing(split, reader));
      reader.warnOfUnread(split, "a shard split");
    } else {
      const size = sizeOf(found, shard, reader);
      splits.set(bytesText(shard), { ...fixed, oldSize: size, newSize: size });
    }
  }
  const node: ShardSplitRouteConfig = { type: "shard-split", target, splits };
  return node;
}

const fixed = { startUnixSeconds: 0, periodSeconds: 0, sendsDeletesToAll: true };

function growing(fields: Fields, reader: RouteReader): ShardSplit {
  return {
    oldSize: sizeOf(fields, "old_split_size", reader),
    newSize: sizeOf(fields, "new_split_size", reader),
    startUnixSeconds: fields.integer("split_start", 0, 0, UNBOUNDED)!,
    periodSeconds: fields.integer("migration_period", 0, 0, UNBOUNDED)!,
    sendsDeletesToAll: fields.boolean("fanout_deletes", false),
  };
}

function sizeOf(fields: Fields, name: string, reader: RouteReader): number {
  const size = fields.integer(name, 1, 1, UNBOUNDED)!;
  if (size > MAX_SPLITS) reader.warn(fields.get(name)!, `is more than ${MAX_SPLITS}, the maximum, which is used`);
  return Math.min(size, MAX_SPLITS);
}

export class ShardSplitRoute implements Route {
  readonly name = "shard-split";
  private readonly target: Route;
  private readonly splits: ReadonlyMap<string, ShardSplit>;
  private readonly hostId: number;
  private readonly clock: Clock;

  constructor(target: Route, splits: ReadonlyMap<string, ShardSplit>, hostId: number, clock: Clock) {
    this.target = target;
    this.splits = splits;
    this.hostId = hostId;
    this.clock = clock;
  }

  route(request: Request): void {
    const { target } = this;
    const end = this.splitEnd(request);
    const size = this.sizeFor(request, end);
    if (size === 1) {
      target.route(request);
    } else if (this.isToAll(request, end)) {
      request.retain();
      // Make all copies first: the reply may end the request.
      const copies = Array.from({ length: size - 1 }, (_, i) =>
        copyWithKey(request, keyOf(request, end, i + 1), noOwner),
      );
      target.route(request);
      for (const copy of copies) target.route(copy);
    } else {
      const index = this.hostId % size;
      target.route(index === 0 ? request : withKey(request, keyOf(request, end, index)));
    }
  }

  passKey(request: Request): Route | null {
    return this.sizeFor(request, this.splitEnd(request)) === 1 ? this.target : null;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    request.retain();
    const end = this.splitEnd(request);
    const size = this.sizeFor(request, end);
    const isToAll = size > 1 && this.isToAll(request, end);
    for (const index of isToAll ? Array.from({ length: size }, (_, i) => i) : [this.hostId % size]) {
      see(this.target, index === 0 ? request : copyWithKey(request, keyOf(request, end, index), noOwner));
    }
  }

  private isToAll(request: Request, end: number): boolean {
    return kindOf(request) === "delete" && this.splitAt(request, end)!.sendsDeletesToAll;
  }

  /** End of the shard of a key that can be split. -1 for other keys. */
  private splitEnd(request: Request): number {
    const end = shardEnd(request);
    const isSplit = end >= 0 && this.splitAt(request, end) !== undefined;
    return isSplit && canHaveKey(request, request.keyEnd - request.keyStart + SUFFIX_BYTES) ? end : -1;
  }

  private splitAt({ chunk, keyStart }: Request, end: number): ShardSplit | undefined {
    return this.splits.get(chunk.toString("latin1", chunk.indexOf(COLON, keyStart) + 1, end));
  }

  /** Number of splits that this host uses. */
  private sizeFor(request: Request, end: number): number {
    if (end < 0) return 1;
    const { oldSize, newSize, startUnixSeconds: start, periodSeconds } = this.splitAt(request, end)!;
    const now = this.clock.unixSeconds();
    if (now < start) return oldSize;
    if (now > start + periodSeconds || periodSeconds === 0) return newSize;
    const step = (this.hostId % HOST_STEPS) / HOST_STEPS;
    return step < (now - start) / periodSeconds ? newSize : oldSize;
  }
}

const COLON = 0x3a;
const ZERO = 0x30;

/** End of the shard in a routing key: the second colon, if the shard ends in a digit. -1 if there is no shard. */
function shardEnd({ chunk, keyStart, keyEnd }: Request): number {
  const routingEnd = routingKeyEnd(chunk, keyStart, keyEnd);
  const second = colonFrom(chunk, colonFrom(chunk, keyStart, routingEnd) + 1, routingEnd);
  const digit = chunk[second - 1]! - ZERO;
  return second < routingEnd && digit >= 0 && digit <= 9 ? second : -1;
}

/** Position of the first colon. `end` if absent. */
function colonFrom(chunk: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && chunk[at] !== COLON) at++;
  return Math.min(at, end);
}

/** The key of a split after the first. `end` is the end of the shard. */
function keyOf({ chunk, keyStart, keyEnd }: Request, end: number, index: number): Buffer {
  const letters = Buffer.from([LOWER_A + ((index - 1) % LETTERS), LOWER_A + Math.floor((index - 1) / LETTERS)]);
  return Buffer.concat([chunk.subarray(keyStart, end), letters, chunk.subarray(end, keyEnd)]);
}

const LOWER_A = 0x61;
