/**
 * Answers that no server gave: those of routes that ask none.
 */
import { fixedReply, type Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { replyTo } from "../wire/command.ts";
import { classicOperation, kindOf, type Result } from "./result.ts";

/** As if there were nothing: a get misses, a store is not stored, everything else finds no item. */
export function defaultReply(request: Request): Reply {
  switch (kindOf(request)) {
    case "get":
      return replyTo(request, { status: Status.missing });
    case "update":
      return replyTo(request, { status: Status.notStored });
    default:
      return replyTo(request, {
        status: classicOperation(request) === Operation.flushAll ? Status.ok : Status.notFound,
      });
  }
}

/** What the client is told of an error that has no text of its own, after mcrouter's. */
const errorTexts: Partial<Record<Result, string>> = {
  timeout: "timeout",
  connect_timeout: "connection timeout",
  connect_error: "connection error",
  tko: "unavailable",
  remote_error: "remote error",
  local_error: "local error",
  busy: "307 busy",
  try_again: "302 try again",
  shutdown: "301 shutdown",
  bad_value: "bad value",
  aborted: "aborted",
  deadline_exceeded: "request deadline exceeded",
  unknown: "unexpected result mc_res_unknown (0)",
};

const errorStatuses: Partial<Record<Result, Status>> = {
  timeout: Status.timeout,
  connect_timeout: Status.connectTimeout,
  connect_error: Status.connectError,
  tko: Status.tko,
  remote_error: Status.connectionLost,
  busy: Status.serverError,
  try_again: Status.serverError,
  shutdown: Status.serverError,
  client_error: Status.clientError,
};

/** An error as a route's own answer; `message` "": what the result is usually called. It can be used for ever. */
export function errorReply(result: Result, message: string): Reply {
  const status = errorStatuses[result] ?? Status.localError;
  if (status === Status.clientError)
    return fixedReply(status, message === "" ? "CLIENT_ERROR" : `CLIENT_ERROR ${message}`);
  return fixedReply(status, `SERVER_ERROR ${message === "" ? (errorTexts[result] ?? result) : message}`);
}
