/**
 * Passes requests on to its child, and a part of them to other places as well, whose answers nobody waits for.
 *
 * Source: mcrouter ShadowRoute.h, ShadowSettings.cpp, DefaultShadowPolicy.h, as facts: the part is chosen by the Spooky hash
 * of the routing key.
 */
import { spooky32 } from "../../proxy/hash/spooky.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";

const MAX_UINT32 = 0xffff_ffff;

/** Where a part of the requests goes as well. */
export interface Shadow {
  readonly target: Route;
  readonly keyFraction: readonly [from: number, to: number];
  /** Null: by `keyFraction`. */
  readonly keys: ReadonlySet<string> | null;
  readonly requestsFraction: number;
  readonly maxOutstanding: number;
}

/** mcrouter's ShadowRoute, for one child. */
export class ShadowRoute implements Route {
  readonly name = "shadow";
  private readonly child: Route;
  private readonly shadows: readonly Shadow[];
  /** In the order of `shadows`. */
  private readonly counters: readonly OutstandingCounter[];
  private readonly random: () => number;

  constructor(child: Route, shadows: readonly Shadow[], random: () => number) {
    this.child = child;
    this.shadows = shadows;
    this.counters = shadows.map(() => new OutstandingCounter());
    this.random = random;
  }

  route(request: Request): void {
    for (const [i, shadow] of this.shadows.entries()) {
      if (!covers(shadow, request)) continue;
      if (shadow.requestsFraction < 1 && this.random() >= shadow.requestsFraction) continue;
      const counter = this.counters[i]!;
      if (counter.outstanding >= shadow.maxOutstanding) continue;
      request.retain();
      counter.outstanding++;
      const copy = request.again(counter);
      // Nobody waits for it: a delete that fails is not kept.
      copy.watcher = null;
      shadow.target.route(copy);
    }
    this.child.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.child, request);
    for (const shadow of this.shadows) if (covers(shadow, request)) see(shadow.target, request);
  }
}

/** Nobody waits for the answers, but they are counted. */
class OutstandingCounter implements ReplyOwner {
  outstanding = 0;

  onReply(): void {
    this.outstanding--;
  }
}

function covers({ keys, keyFraction: [from, to] }: Shadow, request: Request): boolean {
  const { chunk, keyStart, keyEnd } = request;
  const end = routingKeyEnd(chunk, keyStart, keyEnd);
  if (keys !== null) return keys.has(chunk.toString("latin1", keyStart, end));
  const hash = spooky32(chunk, keyStart, end, 0);
  return hash >= Math.trunc(from * MAX_UINT32) && hash <= Math.trunc(to * MAX_UINT32);
}
