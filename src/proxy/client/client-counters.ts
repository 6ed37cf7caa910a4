/** Counters of all clients of a process. */

import { isFailure, MetaCode, type Reply, STATUS_COUNT, Status } from "../reply.ts";
import { classicStatus, OPERATION_COUNT, type Request, readsKeys } from "../request.ts";
import { RequestMetrics } from "../request-metrics.ts";
import type { AccessCounters } from "./gate.ts";

/** Counters of all clients since the start, except `connections`, which is the current number. */
export interface ClientCounters extends AccessCounters {
  connections: number;
  accepted: number;
  /** Refused because `max_connections` was reached. */
  rejected: number;
  /** Closed because the client did not read its replies. */
  cutOff: number;
  /** Closed because the first byte, the end of the TLS handshake, or the login did not come in time. */
  silent: number;
  bytesRead: number;
  bytesWritten: number;
  /** By operation, with index `Operation`. */
  operations: Float64Array;
  /** Replies by operation and result: index `Operation` × STATUS_COUNT + `Status`. */
  results: Float64Array;
  /** Keys of answered gets. These numbers never decrease. */
  getHits: number;
  getMisses: number;
  /** Requests whose reply was a failure, even if the client saw another reply. */
  failures: number;
  readonly requests: RequestMetrics;
}

/** Counters at the start of a process. */
export function newClientCounters(): ClientCounters {
  return {
    connections: 0,
    accepted: 0,
    rejected: 0,
    cutOff: 0,
    silent: 0,
    authCommands: 0,
    authErrors: 0,
    denied: 0,
    bytesRead: 0,
    bytesWritten: 0,
    operations: new Float64Array(OPERATION_COUNT),
    results: new Float64Array(OPERATION_COUNT * STATUS_COUNT),
    getHits: 0,
    getMisses: 0,
    failures: 0,
    requests: new RequestMetrics(),
  };
}

/** Counts a request that was answered with `reply`, `tookMicros` after it was read. */
export function countReply(counters: ClientCounters, request: Request, reply: Reply, tookMicros: number): void {
  const { operation } = request;
  if (isFailure(reply.status)) counters.failures++;
  if (readsKeys(operation)) countKeys(counters, request, reply);
  const status = classicStatus(operation, reply);
  counters.results[operation * STATUS_COUNT + status]!++;
  counters.requests.record(request, status, tookMicros);
}

function countKeys(counters: ClientCounters, request: Request, reply: Reply): void {
  const { keys } = request;
  if (keys === null) {
    const isHit = reply.status === Status.found || (reply.status === Status.meta && reply.code !== MetaCode.EN);
    if (isHit) counters.getHits++;
    else counters.getMisses++;
    return;
  }
  let hits = 0;
  for (const block of keys.blocks) if (block !== null) hits++;
  counters.getHits += hits;
  counters.getMisses += keys.count - hits;
}
