/**
 * Selects a route by the fields of a request: requests that fit the policies go to another route, which usually answers
 * them without a server.
 *
 *     all fields with policies fit ─► blackhole_child          a field fits if one of its policies does
 *     otherwise ────────────────────► default
 *
 * A policy for a field that the command does not have does not count.
 *
 * Source: mcrouter BlackholeRoute.h, BlackholingPolicyVisitor.h, Memcache.idl, as facts.
 */
import type { RouteConfig } from "../../config/config.ts";
import type { OperationName } from "../../config/results.ts";
import { Operation, type Request } from "../../proxy/request.ts";
import { classicOperation, operationNameOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { lineWords, metaToken } from "../../proxy/wire/meta-line.ts";
import { bytesText, type Fields } from "../config/fields.ts";
import { describeJson, type Json } from "../config/json-value.ts";
import type { RouteReader } from "../config/read-routes.ts";
import { nothing, object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { exptimeOf } from "./derived-request.ts";

/** A comparison of a field with a value. `null` fits no field. */
interface Policy {
  readonly isEqual: boolean;
  readonly value: bigint | number | boolean | string | null;
}

interface BlackholeRouteConfig extends RouteConfig {
  readonly type: "blackhole";
  readonly otherwise: RouteConfig;
  readonly blackhole: RouteConfig;
  /** By field. */
  readonly policies: ReadonlyMap<string, readonly Policy[]>;
}

export const blackhole: RouteKind<BlackholeRouteConfig> = {
  type: "blackhole",
  handles: { BlackholeRoute: (input) => [read(input)] },
  build: (node, { build }) => new BlackholeRoute(build(node.otherwise), build(node.blackhole), node.policies),
};

function read(input: RouteInput): BlackholeRouteConfig {
  const { fields, child, optional, reader } = object(input);
  const otherwise = child("default");
  const target = optional("blackhole_child") ?? nothing;
  fields.need("policies");
  return { type: "blackhole", otherwise, blackhole: target, policies: readPolicies(fields, reader) };
}

function readPolicies(fields: Fields, reader: RouteReader): ReadonlyMap<string, readonly Policy[]> {
  const found = fields.nested("policies");
  const policies = new Map<string, readonly Policy[]>();
  for (const name of found?.object.members.keys() ?? []) {
    const list = found!.array(name)?.items ?? [];
    const read = list.map((json, index) => {
      const spot = { json, path: `${found!.path}.${name}[${index}]` };
      if (json.type !== "object") reader.complain(spot, `expected an object, got ${describeJson(json)}`);
      const policy = reader.fieldsIn(spot);
      policy.need("op");
      const value = policy.need("value");
      const isEqual = policy.choice("op", ["equals", "not_equals"], "equals") === "equals";
      return { isEqual, value: value === null ? null : policyValue(value.json) };
    });
    policies.set(name, read);
    if (!names.has(name)) reader.warn(found!.get(name)!, "is no field of memcached's commands and has no effect");
  }
  return policies;
}

function policyValue(json: Json): Policy["value"] {
  switch (json.type) {
    case "integer":
    case "double":
    case "boolean":
      return json.value;
    case "string":
      return bytesText(json.value);
    default:
      return null;
  }
}

class BlackholeRoute implements Route {
  readonly name = "blackhole";
  private readonly otherwise: Route;
  private readonly blackhole: Route;
  private readonly policies: ReadonlyMap<string, readonly Policy[]>;

  constructor(otherwise: Route, target: Route, policies: ReadonlyMap<string, readonly Policy[]>) {
    this.otherwise = otherwise;
    this.blackhole = target;
    this.policies = policies;
  }

  route(request: Request): void {
    this.passKey(request).route(request);
  }

  passKey(request: Request): Route {
    for (const [name, policies] of this.policies) {
      const value = fieldOf(request, name);
      if (value !== undefined && !policies.some((policy) => fits(policy, value))) return this.otherwise;
    }
    return this.blackhole;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.passKey(request), request);
  }
}

/** `null` for a field that no value fits. */
type FieldValue = bigint | string | null;

function fits({ isEqual, value }: Policy, actual: FieldValue): boolean {
  if (typeof actual === "string") return typeof value === "string" && (value === actual) === isEqual;
  if (actual === null) return false;
  switch (typeof value) {
    case "bigint":
      return (value === BigInt.asIntN(64, actual)) === isEqual;
    case "boolean":
      return (value === (actual !== 0n)) === isEqual;
    case "number":
      return (value === Number(actual)) === isEqual;
    default:
      return false;
  }
}

const stores = ["set", "add", "replace", "append", "prepend", "cas"] as const;
const all = null;

/** The fields of mcrouter's requests, with the commands that have them. `all`: each command. */
const fieldCommands: Readonly<Record<string, ReadonlySet<OperationName> | typeof all>> = {
  key: all,
  flags: all,
  exptime: new Set([...stores, "delete", "touch", "gat", "gats"]),
  casToken: new Set(["cas"]),
  delta: new Set(["incr", "decr"]),
  value: new Set([...stores, "delete"]),
  attributes: new Set(["delete"]),
  beforeLatencyUs: all,
  afterLatencyUs: all,
  bucketId: all,
  productId: all,
  regionalizationEntity: all,
  mcTenantId: all,
  ticket: all,
};
const names: ReadonlySet<string> = new Set(Object.keys(fieldCommands));

/** `undefined` if the request has no such field. */
function fieldOf(request: Request, name: string): FieldValue | undefined {
  if (!names.has(name)) return undefined;
  const commands = fieldCommands[name]!;
  const operation = operationNameOf(request);
  if (commands !== all && (operation === undefined || !commands.has(operation))) return undefined;
  switch (name) {
    case "key":
      return `${request.routingPrefix?.toString("latin1") ?? ""}${request.keyText()}`;
    case "exptime":
      return BigInt(Math.trunc(exptimeOf(request) ?? 0));
    case "flags":
      return isStore(request) ? numberIn(request, 2, "F") : 0n;
    case "casToken":
      return numberIn(request, 5, "C");
    case "delta":
      return request.operation === Operation.metaArithmetic && metaToken(request, "D") === null
        ? 1n
        : numberIn(request, 2, "D");
    default:
      return null;
  }
}

function isStore(request: Request): boolean {
  const operation = classicOperation(request);
  return operation >= Operation.set && operation <= Operation.cas;
}

/** A number of the command: the word `place` of a classic line, or the token of a meta flag. 0 if it is no number. */
function numberIn(request: Request, place: number, flag: string): bigint {
  const { operation } = request;
  const isMeta = operation === Operation.metaSet || operation === Operation.metaArithmetic;
  const text = (isMeta ? metaToken(request, flag) : lineWords(request)[place]) ?? "";
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}
