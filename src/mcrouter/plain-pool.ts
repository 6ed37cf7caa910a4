/** Finds trees that are only a pool. */

import { PoolRoute } from "../proxy/route/pool-route.ts";
import type { Route } from "../proxy/route/route.ts";
import { HandoffRoute } from "../refresh/handoff/handoff-route.ts";
import { AsyncLogRoute } from "./routes/async-log-route.ts";

/**
 * The pool if `route` is a pool, with or without a handoff, and an async log for failed deletes. A plain pool supports leases, cas,
 * and gets of many keys in one command. `null` for other routes.
 */
export function plainPoolOf(route: Route): PoolRoute | null {
  const inner = route instanceof AsyncLogRoute ? route.target : route;
  if (inner instanceof HandoffRoute) return inner.pool;
  return inner instanceof PoolRoute ? inner : null;
}
