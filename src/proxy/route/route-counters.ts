/** What routes count, over all of a process. */
export interface RouteCounters {
  /** Requests that a failover route has passed on to a second child. */
  failoverAll: number;
  /** Of those, the ones that no child answered. */
  failoverAllFailed: number;
  failoverRateLimited: number;
  devNullRequests: number;
}

/** Counters at the start of a process. */
export function newRouteCounters(): RouteCounters {
  return { failoverAll: 0, failoverAllFailed: 0, failoverRateLimited: 0, devNullRequests: 0 };
}
