/**
 * mcrouter's names for results of requests, and for commands.
 *
 * Source: mcrouter lib/mc/protocol.h and lib/McResUtil.h, as facts.
 */

/** Severity by result, in mcrouter's order: the reply to a broadcast is the worst result. */
export const severities = {
  unknown: 7,
  deleted: 1,
  touched: 10,
  found: 1,
  notfound: 4,
  notstored: 4,
  ok: 1,
  stored: 1,
  exists: 1,
  ooo: 5,
  timeout: 5,
  connect_timeout: 5,
  connect_error: 5,
  busy: 5,
  try_again: 5,
  shutdown: 5,
  tko: 5,
  bad_command: 10,
  bad_key: 6,
  bad_flags: 10,
  bad_exptime: 10,
  bad_lease_id: 10,
  bad_cas_id: 10,
  bad_value: 6,
  aborted: 6,
  client_error: 9,
  local_error: 8,
  remote_error: 7,
  deadline_exceeded: 6,
  permission_denied: 10,
  hot_key: 10,
  overloaded: 6,
} as const satisfies Record<string, number>;

/** A result, by mcrouter's name without `mc_res_`. */
export type Result = keyof typeof severities;

/** A command, by mcrouter's name. */
export type OperationName =
  | "get"
  | "gets"
  | "gat"
  | "gats"
  | "metaget"
  | "set"
  | "add"
  | "replace"
  | "append"
  | "prepend"
  | "cas"
  | "delete"
  | "incr"
  | "decr"
  | "touch";
