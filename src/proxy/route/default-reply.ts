/**
 * Replies without a server, for routes that ask none.
 */

import type { Result } from "../../config/results.ts";
import { fixedReply, type Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { replyTo } from "../wire/command.ts";
import { classicOperation, kindOf, resultNumber } from "./result.ts";

/** A reply as for an absent item: a get misses, a store is not stored, other commands find no item. */
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

/** Texts of errors without a message, similar to mcrouter's. */
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
  ooo: "out of order",
  bad_command: "bad command",
  bad_key: "bad key",
  bad_flags: "bad flags",
  bad_exptime: "bad exptime",
  bad_lease_id: "bad lease_id",
  bad_cas_id: "bad cas_id",
  bad_value: "bad value",
  aborted: "aborted",
  deadline_exceeded: "request deadline exceeded",
  permission_denied: "permission denied",
  hot_key: "hot key",
  overloaded: "overloaded",
};

/** Errors without a message that tell the client that its request is wrong. */
const clientErrors: ReadonlySet<Result> = new Set<Result>([
  "client_error",
  "bad_command",
  "bad_key",
  "bad_flags",
  "bad_exptime",
  "bad_lease_id",
  "bad_cas_id",
]);

const errorStatuses: Partial<Record<Result, Status>> = {
  timeout: Status.timeout,
  connect_timeout: Status.connectTimeout,
  connect_error: Status.connectError,
  tko: Status.tko,
  remote_error: Status.connectionLost,
  client_error: Status.clientError,
};

/** An error as a route's reply. `message` "" uses the usual text of the result. The reply may be kept. */
export function errorReply(result: Result, message: string): Reply {
  const isClients = message === "" ? clientErrors.has(result) : result === "client_error";
  const text = message === "" ? (errorTexts[result] ?? "") : message;
  const line = `${isClients ? "CLIENT_ERROR" : "SERVER_ERROR"} ${text}`.trimEnd();
  const reply = fixedReply(errorStatuses[result] ?? Status.localError, line);
  if (reply.status === Status.localError) reply.code = resultNumber(result);
  return reply;
}
