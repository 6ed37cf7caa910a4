/** Counters of routes, for the whole process. */
export interface RouteCounters {
  /** Requests that a failover route passed on to a second child. */
  failoverAll: number;
  /** Those of them that no child answered. */
  failoverAllFailed: number;
  failoverRateLimited: number;
  /** Failures that sent a request to another child: of servers that are down, and others. */
  failoverTkoErrors: number;
  failoverResultErrors: number;
  /** `FailoverWalk.collisions` of requests for which the route gave up. */
  failoverCollisions: number;
  /** Failover attempts whose destination was in the failure domain of the first destination. */
  failoverSameDomain: number;
  /** `FailoverWalk.domainCollisions` of requests for which the route gave up. */
  failoverDomainCollisions: number;
  /** Parts of `failoverAll` and `failoverAllFailed`, by policy. */
  inOrderFailovers: number;
  inOrderFailed: number;
  leastFailuresFailovers: number;
  leastFailuresFailed: number;
  deterministicFailovers: number;
  deterministicFailed: number;
  rendezvousFailovers: number;
  rendezvousFailed: number;
  devNullRequests: number;
}

/** Counters at the start of a process. */
export function newRouteCounters(): RouteCounters {
  return {
    failoverAll: 0,
    failoverAllFailed: 0,
    failoverRateLimited: 0,
    failoverTkoErrors: 0,
    failoverResultErrors: 0,
    failoverCollisions: 0,
    failoverSameDomain: 0,
    failoverDomainCollisions: 0,
    inOrderFailovers: 0,
    inOrderFailed: 0,
    leastFailuresFailovers: 0,
    leastFailuresFailed: 0,
    deterministicFailovers: 0,
    deterministicFailed: 0,
    rendezvousFailovers: 0,
    rendezvousFailed: 0,
    devNullRequests: 0,
  };
}
