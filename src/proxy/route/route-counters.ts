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
    devNullRequests: 0,
  };
}
