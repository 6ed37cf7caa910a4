/** What is counted of all clients of a process. */
import { RequestMetrics } from "../../telemetry/request-metrics.ts";
import { STATUS_COUNT, type Status } from "../reply.ts";
import { OPERATION_COUNT, type Operation } from "../request.ts";
import type { AccessCounters } from "./gate.ts";

/** Numbers over all clients since the start, except `connections`: those of now. */
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
  commands: number;
  /** By operation, index `Operation`. */
  operations: Float64Array;
  /** Answers by operation and how they ended: see `resultsOf`. */
  results: Float64Array;
  /** Keys of gets that were answered: numbers that only grow, whatever is under way. */
  getHits: number;
  getMisses: number;
  /** Requests whose reply was a failure, whatever the client was told. */
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
    commands: 0,
    operations: new Float64Array(OPERATION_COUNT),
    results: new Float64Array(OPERATION_COUNT * STATUS_COUNT),
    getHits: 0,
    getMisses: 0,
    failures: 0,
    requests: new RequestMetrics(),
  };
}

/** Answers to an operation that ended so; those to a meta command as the classic ones that say the same. */
export function resultsOf({ results }: ClientCounters, operation: Operation, status: Status): number {
  return results[operation * STATUS_COUNT + status]!;
}

/** What was counted since `base` was. */
export function countersSince(counters: ClientCounters, base: ClientCounters): ClientCounters {
  return {
    ...counters,
    accepted: counters.accepted - base.accepted,
    rejected: counters.rejected - base.rejected,
    cutOff: counters.cutOff - base.cutOff,
    silent: counters.silent - base.silent,
    authCommands: counters.authCommands - base.authCommands,
    authErrors: counters.authErrors - base.authErrors,
    denied: counters.denied - base.denied,
    bytesRead: counters.bytesRead - base.bytesRead,
    bytesWritten: counters.bytesWritten - base.bytesWritten,
    commands: counters.commands - base.commands,
    operations: counters.operations.map((count, operation) => count - base.operations[operation]!),
    results: counters.results.map((count, at) => count - base.results[at]!),
    getHits: counters.getHits - base.getHits,
    getMisses: counters.getMisses - base.getMisses,
    failures: counters.failures - base.failures,
  };
}
