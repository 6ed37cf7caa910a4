/**
 * `route`, `routes` and `named_handles` of a mcrouter configuration → its tree.
 *
 * Source: mcrouter ProxyConfig-inl.h, as facts.
 */

import type { Config, RouteConfig, TreeConfig } from "../../config/config.ts";
import { loggedOf } from "../routes/async-log-route.ts";
import type { BigValueRouteConfig } from "../routes/big-value-route.ts";
import type { LoggingRouteConfig } from "../routes/logging-route.ts";
import { poolNameOf } from "../routes/pool-handle.ts";
import { isPrefixSelector, type PrefixSelectorRouteConfig } from "../routes/prefix-selector-route.ts";
import { guaranteeText, ruleGuarantees } from "../rule-guarantees.ts";
import type { Fields } from "./fields.ts";
import { describeJson, type Json } from "./json-value.ts";
import { type McrouterOptions, routePrefixOf } from "./options.ts";
import type { RouteOptions, RouteReader } from "./read-routes.ts";
import type { RuntimeVars } from "./runtime-vars.ts";

export function routeOptionsOf(options: McrouterOptions, runtimeVars: RuntimeVars): RouteOptions {
  return {
    isShardSplitOff: options.toggle("disable_shard_split_route"),
    isAsyncLogOn: !options.toggle("asynclog_disable"),
    maxShadows: options.integer("target_max_shadow_requests"),
    runtimeVars,
  };
}

export function registerNamed(fields: Fields, reader: RouteReader): void {
  const spot = fields.get("named_handles");
  if (spot === null) return;
  if (spot.json.type === "array") {
    // The handles are read in order; later ones can refer to earlier ones by name.
    for (const [index, json] of spot.json.items.entries()) reader.list({ json, path: `named_handles[${index}]` });
  } else if (spot.json.type === "object") {
    for (const [name, json] of spot.json.members) reader.register(name, { json, path: `named_handles.${name}` });
  } else {
    fields.complainAt(spot, `expected an object or a list, got ${describeJson(spot.json)}`);
  }
}

export function readTree(fields: Fields, reader: RouteReader, options: McrouterOptions): TreeConfig {
  const defaultPrefix = routePrefixOf(options);
  const routes = new Map<string, RouteConfig>();
  // A route that occurs in several places stays one object, so that a wildcard asks it once.
  const wrapped = new Map<RouteConfig, RouteConfig>();
  const isLogged = options.toggle("enable_logging_route");
  const logged = new Map<RouteConfig, RouteConfig>();
  const wrap = (route: RouteConfig) => {
    const target = bigValues(route, options, wrapped);
    if (!isLogged) return target;
    const node = logged.get(target) ?? ({ type: "logging", target } satisfies LoggingRouteConfig);
    logged.set(target, node);
    return node;
  };
  const route = fields.get("route");
  const list = fields.get("routes");
  if (route !== null && list !== null) fields.complainAt(list, '"route" and "routes" do not go together');
  if (route !== null) {
    routes.set(defaultPrefix, wrap(reader.one(route)));
  } else if (list?.json.type === "object") {
    for (const [prefix, json] of list.json.members) {
      routes.set(prefix, wrap(reader.one({ json, path: `routes.${prefix}` })));
    }
  } else if (list?.json.type === "array") {
    for (const [index, json] of list.json.items.entries()) readAliased(json, index, routes, reader, wrap);
  } else if (list !== null) {
    fields.complainAt(list, `expected an object or a list, got ${describeJson(list.json)}`);
  } else {
    fields.complain('no route; expected "route" or "routes"');
  }
  if (list !== null && !routes.has(defaultPrefix)) {
    fields.complainAt(
      list,
      `invalid default route: ${defaultPrefix} is not among them (--route-prefix says which it is)`,
    );
  }
  return { routes, defaultPrefix };
}

function readAliased(
  json: Json,
  index: number,
  routes: Map<string, RouteConfig>,
  reader: RouteReader,
  wrap: (route: RouteConfig) => RouteConfig,
): void {
  const at = `routes[${index}]`;
  if (json.type !== "object") {
    reader.complain({ json, path: at }, `expected an object with "aliases" and "route", got ${describeJson(json)}`);
    return;
  }
  const fields = reader.fieldsOf(json, at);
  fields.need("aliases");
  const aliases = fields.strings("aliases") ?? [];
  const found = fields.need("route");
  if (found === null) return;
  const route = wrap(reader.one(found));
  for (const alias of aliases) routes.set(alias, route);
}

/** Splits large values above all other routes, separately for each prefix of a prefix selector. */
function bigValues(route: RouteConfig, options: McrouterOptions, wrapped: Map<RouteConfig, RouteConfig>): RouteConfig {
  const thresholdBytes = options.integer("big_value_split_threshold");
  if (thresholdBytes === 0) return route;
  const wrap = (target: RouteConfig): RouteConfig => {
    const known = wrapped.get(target);
    if (known !== undefined) return known;
    const batchSize = options.integer("big_value_batch_size");
    const hidesFlag = options.toggle("big_value_hide_reply_flag");
    const big: BigValueRouteConfig = { type: "big-value", target, thresholdBytes, batchSize, hidesFlag };
    wrapped.set(target, big);
    return big;
  };
  if (!isPrefixSelector(route)) return wrap(route);
  const split: PrefixSelectorRouteConfig = {
    ...route,
    policies: new Map([...route.policies].map(([prefix, each]) => [prefix, wrap(each)])),
    wildcard: route.wildcard === null ? null : wrap(route.wildcard),
  };
  return split;
}

/** Warnings for a valid tree with rules: rules fill through the tree, but with fewer features than in a pool. */
export function treeWarnings(config: Config): string[] {
  const { tree, rules, mcrouter } = config;
  if (tree === null || rules.length === 0) return [];
  if (mcrouter === null) {
    return ruleGuarantees(config).flatMap((each) => (each.isLimitedByRoute ? [guaranteeText(each)] : []));
  }
  const top = tree.routes.get(tree.defaultPrefix);
  if (top !== undefined && plainPoolOf(top) !== null) return [];
  return rules.map(
    ({ name }) =>
      `rule ${name}: keys do not lie in one pool here, so values are stored by set through the tree, without leases: writes through other processes may be overtaken`,
  );
}

/** The pool if the node is a plain pool. `null` for other nodes. */
function plainPoolOf(node: RouteConfig): string | null {
  const logged = loggedOf(node);
  return logged === null ? poolNameOf(node) : plainPoolOf(logged);
}
