/**
 * Selects a route by the request's operation. A meta or binary request counts as its classic equivalent.
 *
 * Source: mcrouter OperationSelectorRoute.h, as facts. mcrouter gives an empty reply to an operation without a policy,
 * which clients see as the error that is given here.
 */

import type { RouteConfig } from "../../config/config.ts";
import type { OperationName } from "../../config/results.ts";
import { Operation, type Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import { allOperationNames, classicOperation, operationNamed, operationNameOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { object, type RouteInput, sortedMembers } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export interface OperationSelectorRouteConfig extends RouteConfig {
  readonly type: "operation-selector";
  readonly policies: ReadonlyMap<OperationName, RouteConfig>;
  /** `null` if other operations are answered with an error. */
  readonly otherwise: RouteConfig | null;
}

export const operationSelector: RouteKind<OperationSelectorRouteConfig> = {
  type: "operation-selector",
  handles: { OperationSelectorRoute: byOperation, PrefixPolicyRoute: byOperation, RoutingGroupRoute: byGroup },
  build({ policies, otherwise }, { build }) {
    const built = [...policies].map(([name, each]) => [operationNamed(name), build(each)] as const);
    return new OperationSelectorRoute(new Map(built), otherwise === null ? null : build(otherwise));
  },
};

function selector(
  policies: OperationSelectorRouteConfig["policies"],
  otherwise: RouteConfig | null,
): OperationSelectorRouteConfig {
  return { type: "operation-selector", policies, otherwise };
}

/** Operations that mcrouter configurations can name and memcached clients do not send. */
const idleOperations = new Set(["lease-get", "lease-set", "flushall", "flushre", "version", "stats"]);

function byOperation(input: RouteInput): readonly RouteConfig[] {
  // As in mcrouter, a value other than an object is the route for all operations.
  if (input.fields === null) return [input.reader.one(input.spot)];
  const { fields, optional, reader } = object(input);
  const policies = new Map<OperationName, RouteConfig>();
  // As in mcrouter, this route is read first: the other routes can refer to named handles in it.
  const otherwise = optional("default_policy");
  const nested = fields.nested("operation_policies");
  for (const [name, json] of sortedMembers(nested)) {
    const spot = { json, path: `${nested!.path}.${name}` };
    if (isOperation(name)) policies.set(name, reader.one(spot));
    else if (idleOperations.has(name)) reader.warn(spot, "is for requests that memcached clients do not make");
    else reader.complain(spot, `unknown operation; expected one of ${allOperationNames.join(", ")}`);
  }
  if (nested === null && otherwise === null) fields.complain('expected "default_policy" or "operation_policies"');
  return [selector(policies, otherwise)];
}

function isOperation(name: string): name is OperationName {
  return (allOperationNames as readonly string[]).includes(name);
}

const groups: Readonly<Record<string, readonly OperationName[]>> = {
  get_like: ["get", "gets", "gat", "gats", "metaget"],
  update_like: ["set", "add", "replace", "append", "prepend", "cas"],
  delete_like: ["delete"],
  arithmetic_like: ["incr", "decr"],
};

function byGroup(input: RouteInput): readonly RouteConfig[] {
  const { fields, optional, reader } = object(input);
  const policies = new Map<OperationName, RouteConfig>();
  const nested = fields.nested("routing_group_policies");
  for (const [name, json] of nested?.object.members ?? []) {
    const spot = { json, path: `${nested!.path}.${name}` };
    const operations = Object.hasOwn(groups, name) ? groups[name]! : null;
    if (operations === null) {
      reader.complain(spot, `unknown group; expected one of ${Object.keys(groups).join(", ")}`);
      continue;
    }
    const route = reader.one(spot);
    for (const operation of operations) policies.set(operation, route);
  }
  return [selector(policies, optional("default_policy"))];
}

export class OperationSelectorRoute implements Route {
  readonly name = "operation-selector";
  readonly passesAlike = true;
  /** Routes by classic operation. */
  private readonly policies: ReadonlyMap<Operation, Route>;
  private readonly otherwise: Route | null;

  constructor(policies: ReadonlyMap<Operation, Route>, otherwise: Route | null) {
    this.policies = policies;
    this.otherwise = otherwise;
  }

  route(request: Request): void {
    const child = this.childOf(request);
    if (child !== null) child.route(request);
    else {
      const name = operationNameOf(request) ?? "command";
      request.complete(errorReply("unknown", `unexpected result mc_res_unknown (0) for ${name}`));
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const child = this.childOf(request);
    if (child !== null) see(child, request);
  }

  passKey(request: Request): Route | null {
    return this.childOf(request);
  }

  private childOf(request: Request): Route | null {
    // A plain get is the most common operation.
    const operation = request.operation === Operation.get ? Operation.get : classicOperation(request);
    return this.policies.get(operation) ?? this.otherwise;
  }
}
