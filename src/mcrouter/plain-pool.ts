/** Trees that are nothing but a pool. */

import { PoolRoute } from "../proxy/route/pool-route.ts";
import type { Route } from "../proxy/route/route.ts";
import { AsyncLogRoute } from "./routes/async-log-route.ts";

/**
 * The pool that `route` is for everything but deletes that fail: there what lies in one pool (leases, cas, gets of many keys in
 * one command) can be had. Null: there is more to it.
 */
export function plainPoolOf(route: Route): PoolRoute | null {
  const inner = route instanceof AsyncLogRoute ? route.target : route;
  return inner instanceof PoolRoute ? inner : null;
}
