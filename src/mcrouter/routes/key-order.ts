/**
 * Keeps the order of the requests for a key while one of them takes several steps: a later write must not arrive before
 * an earlier one.
 */
import type { Request } from "../../proxy/request.ts";

/** The requests that wait for one key. */
interface Waiting {
  /** In order of arrival. */
  readonly requests: Request[];
  isHeld: boolean;
  /**
   * True while the waiting requests are being routed: a request that completes at once leaves the rest to that loop.
   */
  isGoingOn: boolean;
}

export class KeyOrder {
  private readonly begin: (request: Request) => void;
  /** By the key that is held. */
  private readonly keys = new Map<string, Waiting>();

  /** `begin` gets the requests that have waited. */
  constructor(begin: (request: Request) => void) {
    this.begin = begin;
  }

  /** True if the request waits; `begin` gets it later. */
  makesWait(request: Request): boolean {
    const waiting = this.keys.size === 0 ? undefined : this.keys.get(orderKeyOf(request));
    if (waiting === undefined) return false;
    request.retain();
    waiting.requests.push(request);
    return true;
  }

  /** Requests for the key of `request` wait until the returned function is called, after `request` is completed. */
  hold(request: Request): () => void {
    const key = orderKeyOf(request);
    const waiting = this.keys.get(key) ?? { requests: [], isHeld: true, isGoingOn: false };
    waiting.isHeld = true;
    this.keys.set(key, waiting);
    return () => {
      waiting.isHeld = false;
      this.goOn(key, waiting);
    };
  }

  /** Begins waiting requests up to one that holds the key itself; the rest wait for that one. */
  private goOn(key: string, waiting: Waiting): void {
    if (waiting.isGoingOn) return;
    waiting.isGoingOn = true;
    for (let next = waiting.requests.shift(); next !== undefined; next = waiting.requests.shift()) {
      this.begin(next);
      if (waiting.isHeld) break;
    }
    waiting.isGoingOn = false;
    if (!waiting.isHeld) this.keys.delete(key);
  }
}

/** The key with its routing prefix. */
function orderKeyOf(request: Request): string {
  return `${request.routingPrefix?.toString("latin1") ?? ""} ${request.keyText()}`;
}
