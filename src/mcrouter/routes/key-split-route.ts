/**
 * Keeps copies of hot keys under separate keys, `key::N`. Each host asks for one copy, whose N derives from the host.
 * Deletes go to all copies, sets only if the configuration says so.
 *
 * Source: mcrouter KeySplitRoute.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import { type Reply, Status } from "../../proxy/reply.ts";
import { noOwner, Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { classicOperation, isHit, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { canHaveKey, copyWithKey, renamed, withKey } from "./derived-request.ts";

interface KeySplitRouteConfig extends RouteConfig {
  readonly type: "keysplit";
  readonly destination: RouteConfig;
  readonly replicas: number;
  readonly isAllSync: boolean;
  readonly isFirstHit: boolean;
}

export const keySplit: RouteKind<KeySplitRouteConfig> = {
  type: "keysplit",
  handles: { KeySplitRoute: (input) => [read(input)] },
  build: (node, { build, hostId }) => new KeySplitRoute(build(node.destination), node, hostId),
};

function read(input: RouteInput): KeySplitRouteConfig {
  const { fields, child } = object(input);
  fields.need("replicas");
  fields.need("all_sync");
  return {
    type: "keysplit",
    destination: child("destination"),
    replicas: fields.integer("replicas", 2, 2, 1000)!,
    isAllSync: fields.boolean("all_sync", false),
    isFirstHit: fields.boolean("first_hit", false),
  };
}

const SEPARATOR = "::";
/** Length of the separator and a number up to 999. */
const EXTRA_KEY_BYTES = SEPARATOR.length + 3;

export class KeySplitRoute implements Route {
  readonly name: string;
  private readonly child: Route;
  private readonly options: Omit<KeySplitRouteConfig, "type" | "destination">;
  /** Number of this host's copy. */
  private readonly replica: number;

  constructor(child: Route, options: Omit<KeySplitRouteConfig, "type" | "destination">, hostId: number) {
    this.child = child;
    this.options = options;
    this.replica = hostId % options.replicas;
    const { replicas, isAllSync, isFirstHit } = options;
    this.name = `keysplit|replicas=${replicas}|all-sync=${isAllSync}|first-hit=${isFirstHit}|replicaId=${this.replica}`;
  }

  route(request: Request): void {
    if (!canBeSplit(request)) {
      this.child.route(request);
      return;
    }
    const operation = classicOperation(request);
    if (operation === Operation.get && this.options.isFirstHit) this.routeToFirstHit(request);
    else if (operation === Operation.delete || (operation === Operation.set && this.options.isAllSync)) {
      this.routeToAll(request);
    } else this.routeToOwn(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    if (request.bucketKey !== null) {
      request.retain();
      see(this.child, inBucketOf(request, this.replica, noOwner));
      return;
    }
    const key = canBeSplit(request) ? this.keyOf(request, this.replica) : null;
    if (key !== null) request.retain();
    see(this.child, key === null ? request : copyWithKey(request, key, noOwner));
  }

  private routeToOwn(request: Request): void {
    if (request.bucketKey !== null && this.replica > 0) {
      request.retain();
      this.child.route(inBucketOf(request, this.replica, { onReply: (_sent, reply) => request.complete(reply) }));
      return;
    }
    const key = this.keyOf(request, this.replica);
    this.child.route(key === null ? request : withKey(request, key));
  }

  /** The reply comes from the host's copy. */
  private routeToAll(request: Request): void {
    request.retain();
    for (let replica = 0; replica < this.options.replicas; replica++) {
      if (replica !== this.replica) this.child.route(this.copy(request, replica, noOwner));
    }
    this.routeToOwn(request);
  }

  private routeToFirstHit(request: Request): void {
    request.retain();
    const { replicas } = this.options;
    let due = replicas;
    let isDone = false;
    const owner: ReplyOwner = {
      onReply: (sent: Request, reply: Reply) => {
        due--;
        if (isDone || (due > 0 && !isHit(resultOf(request, reply)) && reply.status !== Status.clientError)) return;
        isDone = true;
        request.complete(renamed(request, sent, reply));
      },
    };
    const copies = Array.from({ length: replicas }, (_, replica) => this.copy(request, replica, owner));
    for (const copy of copies) this.child.route(copy);
  }

  private copy(request: Request, replica: number, owner: ReplyOwner): Request {
    if (request.bucketKey !== null) return inBucketOf(request, replica, owner);
    const key = this.keyOf(request, replica);
    return key === null ? request.again(owner) : copyWithKey(request, key, owner);
  }

  /** The key of a copy; its number stands before a hash stop. `null` if the copy has the original key. */
  private keyOf({ chunk, keyStart, keyEnd }: Request, replica: number): Buffer | null {
    if (replica === 0) return null;
    const end = routingKeyEnd(chunk, keyStart, keyEnd);
    const mark = Buffer.from(`${SEPARATOR}${replica}`, "latin1");
    return Buffer.concat([chunk.subarray(keyStart, end), mark, chunk.subarray(end, keyEnd)]);
  }
}

/** Below KeyParseRoute, a copy has the original key, in another bucket. */
function inBucketOf(request: Request, replica: number, owner: ReplyOwner): Request {
  const copy = request.again(owner);
  const mark = Buffer.from(`${SEPARATOR}${replica}`, "latin1");
  if (replica > 0) copy.bucketKey = Buffer.concat([request.bucketKey!, mark]);
  return copy;
}

function canBeSplit(request: Request): boolean {
  return canHaveKey(request, request.keyEnd - request.keyStart + EXTRA_KEY_BYTES);
}
