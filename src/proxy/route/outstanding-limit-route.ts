/**
 * Passes on no more than so many requests at once; further ones wait in their order.
 *
 * Source: mcrouter OutstandingLimitRoute.h, as facts; there each client connection has its turn, here each request.
 */
import type { Reply } from "../reply.ts";
import type { ReplyOwner, Request } from "../request.ts";
import { errorReply } from "./default-reply.ts";
import type { Route, SeeTarget } from "./route.ts";

/** What waits is memory: beyond this a request is refused. */
const MAX_WAITING = 100_000;
const tooMany = errorReply("local_error", `Max pending requests (${MAX_WAITING}) reached`);

/** mcrouter's OutstandingLimitRoute. */
export class OutstandingLimitRoute implements Route, ReplyOwner {
  readonly name: string;
  private readonly target: Route;
  private readonly maxOutstanding: number;
  private readonly waiting: Request[] = [];
  /** Those before this one in `waiting` have been passed on. */
  private first = 0;
  private outstanding = 0;

  constructor(target: Route, maxOutstanding: number) {
    this.name = `outstanding-limit|limit=${maxOutstanding}`;
    this.target = target;
    this.maxOutstanding = maxOutstanding;
  }

  route(request: Request): void {
    if (this.outstanding < this.maxOutstanding) {
      this.send(request);
    } else if (this.waiting.length - this.first >= MAX_WAITING) {
      request.complete(tooMany);
    } else {
      request.retain();
      this.waiting.push(request);
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }

  onReply(request: Request, reply: Reply): void {
    this.outstanding--;
    request.complete(reply);
    this.sendWaiting();
  }

  private send(request: Request): void {
    this.outstanding++;
    request.push(this);
    this.target.route(request);
  }

  private sendWaiting(): void {
    while (this.first < this.waiting.length && this.outstanding < this.maxOutstanding) {
      const next = this.waiting[this.first++]!;
      if (this.first * 2 > this.waiting.length) {
        this.waiting.splice(0, this.first);
        this.first = 0;
      }
      this.send(next);
    }
  }
}
