/**
 * Key → server of one pool. The leaf of the tree and the fast path itself: a retrieval of one key goes from here into
 * the batch of a backend connection as the client's own bytes.
 */
import type { Backend } from "../backend/backend.ts";
import type { Placement } from "../hash/placement.ts";
import { type Reply, severity } from "../reply.ts";
import type { ReplyOwner, Request } from "../request.ts";
import { splitRetrieval } from "./multi-get.ts";
import type { Route } from "./route.ts";

/** A pool of servers. */
export class PoolRoute implements Route {
  readonly name: string;
  readonly backends: readonly Backend[];
  private readonly placement: Placement;
  private readonly connections: number;
  private readonly isSingle: boolean;

  /** `placement` gives indexes of `backends`. */
  constructor(name: string, backends: readonly Backend[], placement: Placement) {
    this.name = name;
    this.backends = backends;
    this.placement = placement;
    this.connections = backends[0]!.connectionCount;
    this.isSingle = backends.length === 1 && this.connections === 1;
  }

  route(request: Request): void {
    if (request.keys !== null) {
      splitRetrieval(request, request.keys, this);
      return;
    }
    if (this.isSingle) {
      this.backends[0]!.send(request, 0);
      return;
    }
    const server = this.placement.locate(request.chunk, request.keyStart, request.keyEnd);
    this.backends[server]!.send(request, this.slot(this.placement.keyHash));
  }

  /** Sends a request of one key to the connection that requests for the key `owner` use. */
  routeAs(owner: Buffer, request: Request): void {
    this.sendTo(this.lane(owner, 0, owner.length), request);
  }

  /** The server that owns a key. */
  backendOf(key: Buffer): Backend {
    return this.backends[Math.floor(this.lane(key, 0, key.length) / this.connections)]!;
  }

  /**
   * Every server gets the command, on each of its connections, so that it keeps its place among the client's others; the
   * answer is the worst of theirs.
   */
  broadcast(request: Request): void {
    request.retain();
    const gather = new WorstReply(request, this.laneCount);
    for (let lane = 0; lane < this.laneCount; lane++) this.sendTo(lane, request.again(gather));
  }

  /**
   * Which backend and connection a key belongs to, as one number: `server * connections + slot`. Keys of one lane can
   * be asked for in one command.
   */
  lane(chunk: Buffer, start: number, end: number): number {
    if (this.isSingle) return 0;
    const server = this.placement.locate(chunk, start, end);
    return server * this.connections + this.slot(this.placement.keyHash);
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

  /** All requests for a key use one connection of its backend, so that they keep their order. */
  private slot(hash: number): number {
    // The placement has sorted keys by the high bits; multiply to draw on all of them (Knuth's multiplicative hashing).
    return this.connections === 1 ? 0 : (Math.imul(hash, 0x9e3779b1) >>> 8) % this.connections;
  }
}

/** Waits for all answers to a broadcast and completes it with the worst; among equals the first received. */
class WorstReply implements ReplyOwner {
  private readonly request: Request;
  private due: number;
  private worst: Reply | null = null;

  constructor(request: Request, due: number) {
    this.request = request;
    this.due = due;
  }

  onReply(_request: Request, reply: Reply): void {
    if (this.worst === null || severity(reply.status) > severity(this.worst.status)) this.worst = reply.copy();
    if (--this.due === 0) this.request.complete(this.worst);
  }
}
