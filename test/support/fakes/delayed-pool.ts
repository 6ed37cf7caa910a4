/**
 * A pool whose test decides when each request is carried out and when it is answered, in any order. What a request reads
 * is what the store has when it is carried out.
 */
import { gatheredReply, type Reply } from "../../../src/proxy/reply.ts";
import { Operation, type Request } from "../../../src/proxy/request.ts";
import type { Root } from "../../../src/proxy/route/route.ts";
import { EmbeddedRoute } from "../../../src/proxy/store/embedded-route.ts";
import { ItemStore } from "../../../src/proxy/store/item-store.ts";

interface Pending {
  readonly request: Request;
  reply: Reply | null;
}

export class DelayedPool implements Root {
  readonly name = "delayed";
  readonly store: ItemStore;
  /** The keys of each request so far, after its operation. */
  readonly asked: string[] = [];
  /** True: requests wait for `carryOut` and `answer`. */
  isDelaying = false;
  /** Called before a request is carried out. */
  onCarriedOut: (request: Request) => void = () => {};
  readonly pending: Pending[] = [];
  private readonly target: EmbeddedRoute;

  constructor(unixSeconds: () => number) {
    this.store = new ItemStore(1 << 24, 1 << 20, unixSeconds);
    this.target = new EmbeddedRoute(this.store);
  }

  route(request: Request): void {
    this.add(request);
  }

  broadcast(request: Request): void {
    this.add(request);
  }

  forEachTarget(): void {}

  /** Carries out the pending request `index`, unless that was done before. */
  carryOut(index: number): void {
    const each = this.pending[index];
    if (each === undefined || each.reply !== null) return;
    const { request } = each;
    this.onCarriedOut(request);
    const copy = request.again({
      onReply: (_request, reply) => {
        each.reply = reply === gatheredReply ? reply : reply.copy();
      },
    });
    copy.keys = request.keys;
    if (request.operation === Operation.flushAll) this.target.broadcast(copy);
    else this.target.route(copy);
    request.keys?.keepBlocks();
  }

  /** Answers the pending request `index`, which is carried out before. */
  answer(index: number): void {
    this.carryOut(index);
    const [each] = this.pending.splice(index, 1);
    if (each === undefined) return;
    const reply = each.reply!;
    if (reply === gatheredReply) {
      each.request.complete(reply);
      return;
    }
    reply.chunk = Buffer.from(reply.chunk);
    reply.isKept = false;
    each.request.complete(reply);
    // A connection reads the next reply into the same memory.
    reply.chunk.fill(0xff);
  }

  /** Answers the pending request `index` with a failure. */
  fail(index: number, reply: Reply): void {
    const [each] = this.pending.splice(index, 1);
    each?.request.complete(reply);
  }

  private add(request: Request): void {
    const { keys, operation } = request;
    const names =
      keys === null
        ? [request.keyText()]
        : keys.starts.map((start, i) => keys.bytes.toString("latin1", start, keys.ends[i]));
    this.asked.push([operation, ...names].join(" "));
    request.retain();
    this.pending.push({ request, reply: null });
    if (!this.isDelaying) this.answer(this.pending.length - 1);
  }
}
