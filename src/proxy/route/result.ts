/**
 * Results of requests in mcrouter's terms, with the names of its configurations and stats: routes decide by them. Also
 * the classic equivalent of a request in any protocol.
 *
 * Source: mcrouter lib/mc/protocol.h and lib/McResUtil.h, as facts.
 */
import { type OperationName, type Result, severities } from "../../config/results.ts";
import { MetaCode, type Reply, Status } from "../reply.ts";
import { classicStatus, isRetrieval, Operation, type Request } from "../request.ts";
import { hasMetaFlag, metaFlags, metaToken } from "../wire/meta-line.ts";

/** All results, in mcrouter's order. */
export const results = Object.keys(severities) as readonly Result[];

const firstError = results.indexOf("ooo");
const errors: ReadonlySet<Result> = new Set(results.slice(firstError));

/** Worse results have higher numbers. */
export function severity(result: Result): number {
  return severities[result];
}

/** True for failures. */
export function isError(result: Result): boolean {
  return errors.has(result);
}

/** mcrouter's "hit": an item exists, whatever the operation. */
export function isHit(result: Result): boolean {
  return result === "found" || result === "deleted" || result === "touched";
}

/** Default results that make a request fail over. */
export const defaultFailoverErrors: ReadonlySet<Result> = new Set<Result>([
  "busy",
  "shutdown",
  "tko",
  "try_again",
  "local_error",
  "connect_error",
  "connect_timeout",
  "timeout",
  "remote_error",
  "deadline_exceeded",
]);

/** The result of `request`. */
export function resultOf(request: Request, reply: Reply): Result {
  switch (classicStatus(request.operation, reply)) {
    case Status.found:
      return isTouch(request, reply) ? "touched" : "found";
    case Status.missing:
    case Status.notFound:
      return "notfound";
    case Status.stored:
    case Status.number:
      return "stored";
    case Status.notStored:
      return "notstored";
    case Status.exists:
      return "exists";
    case Status.deleted:
      return "deleted";
    case Status.touched:
      return "touched";
    case Status.ok:
      return "ok";
    case Status.clientError:
      return "client_error";
    case Status.serverError:
      return serverErrorResult(reply);
    case Status.timeout:
      return "timeout";
    case Status.connectTimeout:
      return "connect_timeout";
    case Status.connectError:
      return "connect_error";
    case Status.connectionLost:
      return "remote_error";
    case Status.tko:
      return "tko";
    case Status.overloaded:
      return "local_error";
    case Status.localError:
      return reply.code === 0 ? "local_error" : results[reply.code - 1]!;
    default:
      return "unknown";
  }
}

/** A `mg` without a value that sets the TTL counts as a touch. */
function isTouch(request: Request, reply: Reply): boolean {
  if (reply.code !== MetaCode.HD || request.operation !== Operation.metaGet) return false;
  return classicOperation(request) === Operation.touch;
}

/** The number of a route's error, for `Reply.code`. 0 is a local error. */
export function resultNumber(result: Result): number {
  return results.indexOf(result) + 1;
}

const SERVER_ERROR_BYTES = "SERVER_ERROR ".length;

/** mcrouter's servers put a number before some errors. */
function serverErrorResult(reply: Reply): Result {
  const start = reply.start + SERVER_ERROR_BYTES;
  switch (reply.chunk.toString("latin1", start, start + 4)) {
    case "307 ":
      return "busy";
    case "302 ":
      return "try_again";
    case "301 ":
      return "shutdown";
    default:
      return "remote_error";
  }
}

/** Commands by their names in mcrouter's configurations. */
const operationNames = {
  get: Operation.get,
  gets: Operation.gets,
  gat: Operation.gat,
  gats: Operation.gats,
  metaget: Operation.metaDebug,
  set: Operation.set,
  add: Operation.add,
  replace: Operation.replace,
  append: Operation.append,
  prepend: Operation.prepend,
  cas: Operation.cas,
  delete: Operation.delete,
  incr: Operation.incr,
  decr: Operation.decr,
  touch: Operation.touch,
} as const satisfies Record<OperationName, Operation>;

export const allOperationNames = Object.keys(operationNames) as readonly OperationName[];

const namesByOperation = new Map<Operation, OperationName>(
  Object.entries(operationNames).map(([name, operation]) => [operation, name as OperationName]),
);

/** The operation with the name `name` in a configuration. */
export function operationNamed(name: OperationName): Operation {
  return operationNames[name];
}

/** The request's name in a configuration. `undefined` if it has none (flush_all). */
export function operationNameOf(request: Request): OperationName | undefined {
  return namesByOperation.get(classicOperation(request));
}

/** The classic equivalent of a request; a meta debug stays a meta debug. Meta requests must still have their line. */
export function classicOperation(request: Request): Operation {
  switch (request.operation) {
    case Operation.metaGet:
      return metaGetOperation(request);
    case Operation.metaSet: {
      const mode = metaToken(request, "M")?.[0]?.toUpperCase();
      const operation = setModes.get(mode ?? "S") ?? Operation.set;
      return operation === Operation.set && hasMetaFlag(request, "C") ? Operation.cas : operation;
    }
    case Operation.metaDelete:
      return Operation.delete;
    case Operation.metaArithmetic: {
      const mode = metaToken(request, "M")?.[0];
      return mode !== undefined && "dD-".includes(mode) ? Operation.decr : Operation.incr;
    }
    default:
      return request.operation;
  }
}

const setModes: ReadonlyMap<string, Operation> = new Map([
  ["S", Operation.set],
  ["E", Operation.add],
  ["A", Operation.append],
  ["P", Operation.prepend],
  ["R", Operation.replace],
]);

/** A meta get that changes the exptime and asks for no part of the item counts as a touch. */
function metaGetOperation(request: Request): Operation {
  let isTouch = false;
  let hasCas = false;
  let wantsItem = false;
  for (const flag of metaFlags(request)) {
    const letter = flag[0]!;
    if (letter === "T") isTouch = true;
    if (letter === "c") hasCas = true;
    if ("vfcsthl".includes(letter)) wantsItem = true;
  }
  if (isTouch) return !wantsItem ? Operation.touch : hasCas ? Operation.gats : Operation.gat;
  return hasCas ? Operation.gets : Operation.get;
}

/** mcrouter's kinds of commands. touch and flush_all belong to "other". */
export type OperationKind = "get" | "update" | "delete" | "arithmetic" | "other";

/** The kind of the request's command. */
export function kindOf(request: Request): OperationKind {
  const operation = classicOperation(request);
  if (isRetrieval(operation) || operation === Operation.metaDebug) return "get";
  if (operation >= Operation.set && operation <= Operation.cas) return "update";
  if (operation === Operation.delete) return "delete";
  return operation === Operation.incr || operation === Operation.decr ? "arithmetic" : "other";
}
