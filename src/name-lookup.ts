/**
 * Lookups that a slow name does not hold up. The system's lookup (getaddrinfo) knows /etc/hosts and search domains, but
 * blocks a thread, and Node gives it two: two names that hang keep all others waiting. So a lookup that has no result
 * after a short time is also sent to the DNS servers directly, which needs no thread. The first result counts.
 */
import dns from "node:dns";
import type { Clock } from "./clock.ts";
import type { LookUpAll } from "./name-cache.ts";

/** Time after which the DNS servers are asked as well (ms). */
const PATIENCE_MS = 100;
/** Timeout of the first query to a DNS server (ms), and number of tries. */
const QUERY = { timeout: 1_000, tries: 2 } as const;

export interface LookUps {
  readonly system: LookUpAll;
  /** Asks the DNS servers without a thread. */
  readonly direct: LookUpAll;
  readonly clock: Clock;
}

/** A lookup in both ways: the first result counts. It fails when both ways have failed. */
export function lookUpBothWays({ system, direct, clock }: LookUps): LookUpAll {
  return (host, done) => {
    let isDone = false;
    let ways = 1;
    const ended: typeof done = (error, addresses) => {
      if (isDone) return;
      const isFound = error === null && addresses.length > 0;
      if (!isFound && --ways > 0) return;
      isDone = true;
      clock.clearTimer(timer);
      done(error, addresses);
    };
    const timer = clock.setTimer(PATIENCE_MS, () => {
      ways++;
      direct(host, ended);
    });
    system(host, ended);
  };
}

export const systemLookUp: LookUpAll = (host, done) => {
  dns.lookup(host, { all: true, order: "verbatim" }, (error, addresses) => done(error, addresses ?? []));
};

/** All addresses of a name, from the DNS servers of the system. */
export const directLookUp: LookUpAll = (host, done) => {
  const resolver = new dns.promises.Resolver(QUERY);
  void Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]).then(([four, six]) => {
    const addresses = [
      ...(four.status === "fulfilled" ? four.value.map((address) => ({ address, family: 4 })) : []),
      ...(six.status === "fulfilled" ? six.value.map((address) => ({ address, family: 6 })) : []),
    ];
    const error = four.status === "rejected" ? (four.reason as NodeJS.ErrnoException) : null;
    done(addresses.length > 0 ? null : error, addresses);
  });
};
