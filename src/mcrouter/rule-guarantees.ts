/** For each rule, the ways that its keys may take through a routing tree, and what holds for fills and refreshes there. */
import type { Config, KeyRouteConfig, RuleConfig } from "../config/config.ts";
import { isForAllKeys, routeText } from "../config/native-route.ts";
import { literalPrefix } from "../refresh/pattern.ts";
import { bytesText } from "./config/fields.ts";
import { onlyPoolOf } from "./key-routes.ts";

/** What holds for the keys of one rule that take one route. */
export interface Guarantee {
  readonly rule: string;
  readonly route: string;
  readonly text: string;
  /** True if the route is the reason why the rule has no leases. */
  readonly isLimitedByRoute: boolean;
}

/** In the order of the rules, and of the routes for each of them. Empty without `[[route]]`. */
export function ruleGuarantees({ rules, routes, pools }: Config): Guarantee[] {
  return rules.flatMap((rule) =>
    routesOf(rule, routes).map((route): Guarantee => {
      const pool = onlyPoolOf(route);
      const isClassic = pools.find(({ name }) => name === pool)?.login?.kind === "sasl";
      return {
        rule: rule.name,
        route: routeText(route),
        text: textOf(rule, pool, isClassic),
        isLimitedByRoute: pool === null,
      };
    }),
  );
}

/** `rule NAME, [[route]] of line 12, prefix = "a:": …` */
export function guaranteeText({ rule, route, text }: Guarantee): string {
  return `rule ${rule}, ${route}: ${text}`;
}

function textOf(rule: RuleConfig, pool: string | null, isClassic: boolean): string {
  if (pool === null) {
    return "no leases, because the keys are not stored in one pool alone: each process fetches for itself and stores by set; a write through another process during a fetch may be overwritten";
  }
  if (isClassic || rule.lease === "process") {
    const reason = isClassic ? 'the pool has auth = "sasl"' : 'lease = "process"';
    return `no leases (${reason}): each process fetches for itself; a write through another process during a fetch may be lost`;
  }
  return `leases in pool ${pool}: all processes share one fetch, and a write through any of them wins over it`;
}

/** The routes that keys of the rule may take. */
function routesOf(rule: RuleConfig, routes: readonly KeyRouteConfig[]): KeyRouteConfig[] {
  const literal = bytesText(rule.stripPrefix) + literalPrefix(rule.match);
  const possible: KeyRouteConfig[] = [];
  for (const route of routes) {
    const isSamePattern = route.match !== null && rule.stripPrefix === "" && route.match === rule.match;
    const prefixes = route.match === null ? route.prefixes.map(bytesText) : [literalPrefix(route.match)];
    const takesAll =
      isForAllKeys(route) ||
      isSamePattern ||
      (route.match === null && prefixes.some((prefix) => literal.startsWith(prefix)));
    const takesSome = prefixes.some((prefix) => prefix.startsWith(literal) || literal.startsWith(prefix));
    if (takesAll || takesSome) possible.push(route);
    if (takesAll) break;
  }
  return possible;
}
