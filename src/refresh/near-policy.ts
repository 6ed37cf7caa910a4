/**
 * What a configuration says about `near`: the maximum age of a copy of a hot key, by the rule or else by the pool that
 * stores the key.
 */
import { type Config, type KeyRouteConfig, nearObstacle } from "../config/config.ts";
import type { NearPolicy } from "../proxy/near/near-cache.ts";
import { Pattern } from "./pattern.ts";
import type { Rules } from "./rules.ts";

/** `null` if no key may be answered from memory. */
export function nearPolicyOf(config: Config, rules: Rules): NearPolicy | null {
  const hasNear = config.rules.some(({ nearMs, mode }) => nearMs > 0 && mode !== "off");
  if (!hasNear && !config.pools.some(({ nearMs }) => nearMs > 0)) return null;
  if (nearObstacle(config) !== null) return null;
  const nearOfPool = poolNear(config);
  return {
    maxBytes: config.server.nearBytes,
    nearMsOf: (key) => rules.match(key)?.rule.config.nearMs ?? nearOfPool(key),
  };
}

/** `near` of the pool that stores a key. With several pools, that of the first pool of the key's route. */
function poolNear({ pools, routes }: Config): (key: string) => number {
  const [only] = pools;
  if (routes.length === 0) return () => only?.nearMs ?? 0;
  const nearMs = new Map(pools.map((pool) => [pool.name, pool.nearMs]));
  const rows = routes.map((route) => ({
    takes: testOf(route),
    nearMs: nearMs.get(route.pool ?? route.replicas[0]!) ?? 0,
  }));
  return (key) => rows.find(({ takes }) => takes(key))?.nearMs ?? 0;
}

/** Returns true for the keys of a route, with one character per byte. */
function testOf({ prefixes, match }: KeyRouteConfig): (key: string) => boolean {
  if (match !== null) {
    const pattern = new Pattern(match);
    return (key) => pattern.match(key) !== null;
  }
  const texts = prefixes.map((prefix) => Buffer.from(prefix, "utf8").toString("latin1"));
  return texts.length === 0 ? () => true : (key) => texts.some((text) => key.startsWith(text));
}
