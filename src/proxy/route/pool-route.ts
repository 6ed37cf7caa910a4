/**
 * Key → server of one pool. It is the leaf of the tree and the fast path: it appends a retrieval of one key to the
 * batch of a backend connection, as the client's own bytes or together with other keys in one command.
 */
import type { PoolConfig } from "../../config/config.ts";
import { hashNames } from "../hash/hash-names.ts";
import type { Placement } from "../hash/placement.ts";
import { Status } from "../reply.ts";
import type { KeyList, Request } from "../request.ts";
import { replyTo } from "../wire/command.ts";
import { DestinationRoute } from "./destination-route.ts";
import { type KeyedBackend, keySlot } from "./keyed-backend.ts";
import { type Lanes, routeKeys } from "./multi-get.ts";
import type { Root, SeeTarget } from "./route.ts";
import { WorstReply } from "./worst-reply.ts";

/** Counters of a pool since the start. */
export interface PoolCounters {
  /** Commands that gets of many keys were split into. */
  fragments: number;
}

export class PoolRoute implements Root, Lanes {
  readonly name: string;
  readonly pool: PoolConfig;
  /** In the order of the pool's servers. */
  readonly backends: readonly KeyedBackend[];
  readonly counters: PoolCounters;
  private readonly placement: Placement;
  private readonly connections: number;
  private readonly isSingle: boolean;
  private readonly placesBuckets: boolean;
  readonly lanes: Lanes = this;

  /** `placement` returns indexes of `backends`. */
  constructor(pool: PoolConfig, backends: readonly KeyedBackend[], placement: Placement, counters = { fragments: 0 }) {
    this.name = `selection|${hashNames[pool.placement.type] ?? pool.placement.type}`;
    this.pool = pool;
    this.backends = backends;
    this.counters = counters;
    this.placement = placement;
    this.connections = backends[0]!.connectionCount;
    this.placesBuckets = pool.placement.type === "bucketized";
    this.isSingle = backends.length === 1 && this.connections === 1;
  }

  /**
   * Sends the command to all servers of `pools`, on each connection. The worst reply counts; OK if there are no
   * servers.
   */
  static broadcastToAll(request: Request, pools: readonly PoolRoute[]): void {
    const laneCount = pools.reduce((sum, pool) => sum + pool.laneCount, 0);
    if (laneCount === 0) {
      request.complete(replyTo(request, { status: Status.ok }));
      return;
    }
    request.retain();
    const gather = new WorstReply(request, laneCount);
    for (const pool of pools) {
      for (let lane = 0; lane < pool.laneCount; lane++) pool.sendTo(lane, request.again(gather));
    }
  }

  route(request: Request): void {
    if (request.keys !== null) {
      // Replies may come during the call.
      const fragments = routeKeys(request, request.keys, this, false);
      this.counters.fragments += fragments;
      return;
    }
    if (this.isSingle) {
      const backend = this.backends[0]!;
      if (request.watcher !== null) request.watcher.watch(request, backend.name);
      backend.send(request, 0);
      return;
    }
    const { chunk, keyStart, keyEnd } = request;
    const backend = this.backends[this.indexOf(request)]!;
    if (request.watcher !== null) request.watcher.watch(request, backend.name);
    backend.send(request, keySlot(chunk, keyStart, keyEnd, this.connections));
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const index = this.indexOf(request);
    see(new DestinationRoute(this.backends[index]!, this.pool, index), request);
  }

  failureDomain(request: Request): number {
    return this.pool.failureDomains?.[this.indexOf(request)] ?? 0;
  }

  /** Index of the server for a request of one key. */
  indexOf({ chunk, keyStart, keyEnd, bucketKey }: Request): number {
    if (bucketKey !== null && this.placesBuckets) return this.placement.locate(bucketKey, 0, bucketKey.length);
    return this.placement.locate(chunk, keyStart, keyEnd);
  }

  /** Index of the server of the key in `chunk[start, end)`. */
  indexAt(chunk: Buffer, start: number, end: number): number {
    return this.placement.locate(chunk, start, end);
  }

  /** Sends a request of one key on the connection that requests for the key `owner` use. */
  routeAs(owner: Buffer, request: Request): void {
    this.sendTo(this.lane(owner, 0, owner.length), request);
  }

  /** The server that owns a key. */
  backendOf(key: Buffer): KeyedBackend {
    return this.backends[this.placement.locate(key, 0, key.length)]!;
  }

  /**
   * Sends the command to all servers, on each connection, so that it keeps its order among the client's requests. The
   * worst reply counts.
   */
  broadcast(request: Request): void {
    PoolRoute.broadcastToAll(request, [this]);
  }

  /**
   * Backend and connection of a key as one number: `server * connections + slot`. Keys of one lane can share a command.
   */
  lane(chunk: Buffer, start: number, end: number): number {
    if (this.isSingle) return 0;
    const server = this.placement.locate(chunk, start, end);
    return server * this.connections + keySlot(chunk, start, end, this.connections);
  }

  lanesOf({ bytes, starts, ends }: KeyList, lanes: Uint32Array): void {
    const { placement, connections } = this;
    const count = starts.length;
    if (placement.locateAll === undefined) {
      for (let i = 0; i < count; i++) lanes[i] = this.lane(bytes, starts[i]!, ends[i]!);
      return;
    }
    placement.locateAll(bytes, starts, ends, lanes);
    if (connections === 1) return;
    for (let i = 0; i < count; i++) {
      lanes[i] = lanes[i]! * connections + keySlot(bytes, starts[i]!, ends[i]!, connections);
    }
  }

  mayShare(lane: number): boolean {
    const server = this.connections === 1 ? lane : Math.floor(lane / this.connections);
    return this.backends[server]!.mayShare(lane - server * this.connections);
  }

  /** Number of lanes. */
  get laneCount(): number {
    return this.backends.length * this.connections;
  }

  /** Sends to the backend and connection of a lane. */
  sendTo(lane: number, request: Request): void {
    const server = this.connections === 1 ? lane : Math.floor(lane / this.connections);
    this.backends[server]!.send(request, lane - server * this.connections);
  }
}
