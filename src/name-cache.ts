/**
 * Lookups of host names for connections. A slow resolver takes seconds to fail: slow names must not delay connections to
 * good servers (name-lookup.ts).
 *
 * - A name is looked up once at a time; all concurrent requests share the result.
 * - A name that was found is answered immediately with its last known addresses, and looked up again for the next
 * connection.
 * - A name that was not found is answered with that error for a while, at first for 1 s and at most for 5 s.
 * - A lookup continues after a connection has timed out; the next connection uses its result.
 */
import type dns from "node:dns";
import type { LookupFunction } from "node:net";
import { type Clock, systemClock } from "./clock.ts";
import { directLookUp, lookUpBothWays, systemLookUp } from "./name-lookup.ts";

/** Minimum time between two lookups of a name (ms). */
const MIN_INTERVAL_MS = 1_000;
const LAST_PAUSE_MS = 5_000;
/** At this number, the oldest name is dropped. */
const MAX_NAMES = 10_000;

/** Looks up all addresses of a name, like `dns.lookup`. */
export type LookUpAll = (
  host: string,
  done: (error: NodeJS.ErrnoException | null, addresses: readonly dns.LookupAddress[]) => void,
) => void;

type Answered = Parameters<LookupFunction>[2];
type Waiter = (error: NodeJS.ErrnoException | null, addresses: readonly dns.LookupAddress[]) => void;

interface Name {
  /** Empty if no addresses are known. */
  addresses: readonly dns.LookupAddress[];
  error: NodeJS.ErrnoException | null;
  /** Earliest time of the next lookup. */
  nextMs: number;
  pauseMs: number;
  isPending: boolean;
  waiting: Waiter[];
}

export class NameCache {
  private readonly names = new Map<string, Name>();
  private readonly lookUp: LookUpAll;
  private readonly clock: Clock;

  constructor(lookUp: LookUpAll, clock: Clock) {
    this.lookUp = lookUp;
    this.clock = clock;
  }

  /** For the option `lookup` of `net.connect`. Calls back asynchronously, never within this call. */
  readonly lookup: LookupFunction = (host, options, answered) => {
    const family =
      options.family === 4 || options.family === "IPv4" ? 4 : options.family === 6 || options.family === "IPv6" ? 6 : 0;
    this.find(host, (error, all) => {
      const addresses = all.filter((each) => family === 0 || each.family === family);
      answer(answered, options.all === true, host, error, addresses);
    });
  };

  /** Number of addresses of a name, as far as they are known; at least 1. */
  countOf(host: string): number {
    return Math.max(1, this.names.get(host)?.addresses.length ?? 1);
  }

  private find(host: string, waiter: Waiter): void {
    const name = this.nameOf(host);
    const mayBegin = !name.isPending && this.clock.nowMs() >= name.nextMs;
    const isKnown = name.addresses.length > 0 || (name.error !== null && !mayBegin && !name.isPending);
    if (isKnown) {
      const { error, addresses } = name;
      process.nextTick(() => waiter(addresses.length > 0 ? null : error, addresses));
    } else {
      name.waiting.push(waiter);
    }
    if (mayBegin) this.begin(host, name);
  }

  private begin(host: string, name: Name): void {
    name.isPending = true;
    this.lookUp(host, (error, addresses) => {
      name.isPending = false;
      const isFound = error === null && addresses.length > 0;
      // If the resolver fails, the last known addresses stay.
      if (isFound) name.addresses = addresses;
      name.error = isFound ? null : (error ?? notFound(host));
      name.nextMs = this.clock.nowMs() + (isFound ? MIN_INTERVAL_MS : name.pauseMs);
      name.pauseMs = isFound ? MIN_INTERVAL_MS : Math.min(name.pauseMs * 2, LAST_PAUSE_MS);
      for (const waiter of name.waiting.splice(0)) waiter(name.error, addresses);
    });
  }

  private nameOf(host: string): Name {
    const known = this.names.get(host);
    if (known !== undefined) return known;
    const [oldest] = this.names.keys();
    if (this.names.size >= MAX_NAMES && oldest !== undefined) this.names.delete(oldest);
    const name: Name = {
      addresses: [],
      error: null,
      nextMs: Number.NEGATIVE_INFINITY,
      pauseMs: MIN_INTERVAL_MS,
      isPending: false,
      waiting: [],
    };
    this.names.set(host, name);
    return name;
  }
}

/** The cache of this process. */
export const names = new NameCache(
  lookUpBothWays({ system: systemLookUp, direct: directLookUp, clock: systemClock }),
  systemClock,
);

function notFound(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`the name ${host} has no address`), { code: "ENOTFOUND" });
}

function answer(
  answered: Answered,
  isForAll: boolean,
  host: string,
  error: NodeJS.ErrnoException | null,
  addresses: readonly dns.LookupAddress[],
): void {
  const [first] = addresses;
  if (first === undefined) {
    answered(error ?? notFound(host), isForAll ? [] : "", 0);
  } else if (isForAll) {
    answered(null, [...addresses]);
  } else {
    answered(null, first.address, first.family);
  }
}
