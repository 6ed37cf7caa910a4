/**
 * `rates` of PoolRoute and RateLimitRoute.
 *
 * Source: mcrouter RateLimitRoute.h, RateLimiter.h, as facts.
 */
import type { Rate, RouteConfig } from "../../config/route-config.ts";
import type { Fields } from "./fields.ts";

/** `target` as often as `rates` say; what is more goes to `fallback`, or is answered with nothing. */
export function rateLimit(target: RouteConfig, fallback: RouteConfig | null, rates: Fields): RouteConfig {
  const rateOf = (name: string): Rate | null => {
    const rate = rates.number(`${name}_rate`, null, Number.MIN_VALUE, Number.POSITIVE_INFINITY);
    const burst = rates.number(`${name}_burst`, rate, Number.MIN_VALUE, Number.POSITIVE_INFINITY);
    return rate === null ? null : { rate, burst: burst! };
  };
  return {
    type: "rate-limit",
    target,
    fallback,
    gets: rateOf("gets"),
    sets: rateOf("sets"),
    deletes: rateOf("deletes"),
  };
}
