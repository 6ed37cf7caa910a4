/**
 * A pool that takes the keys of another pool over: `warm_from` of `[[route]]`. The other pool is a former server of each key
 * (`refresh/handoff`), so that a copy takes the key's lease and a client's write always wins over it. Where there are no
 * leases, mcrouter's WarmUpRoute stands for it.
 */
import type { RouteConfig } from "../../config/config.ts";
import type { RouteKind } from "../route-kind.ts";

export interface WarmFromRouteConfig extends RouteConfig {
  readonly type: "warm-from";
  readonly pool: string;
  readonly warm: string;
  /** The route without leases, also for `explain`. */
  readonly otherwise: RouteConfig;
}

export const warmFrom: RouteKind<WarmFromRouteConfig> = {
  type: "warm-from",
  handles: {},
  build({ pool, warm, otherwise }, { pools, warmedBy, build }) {
    const [own, other] = [pools.get(pool), pools.get(warm)];
    const route = own === undefined || other === undefined ? null : (warmedBy?.(own, other) ?? null);
    return route ?? build(otherwise);
  },
};
