/** Reports answered requests to the backend, which counts them. */
import { type Reply, Status } from "../reply.ts";
import { classicStatus, Operation, type Request } from "../request.ts";
import type { ConnectionEvents } from "./backend-link.ts";

/** Call before `request` is completed. Each key of a retrieval through a tree counts as a request (`Request.weight`). */
export function countAnswer(events: ConnectionEvents, request: Request, reply: Reply): void {
  const { keys, indexes, weight } = request;
  if (weight === 1) {
    events.answered(request, statusToCount(request, reply));
    return;
  }
  for (const index of indexes!) {
    const isMiss = reply.status === Status.found && keys!.blocks[index] === null;
    events.answered(request, isMiss ? Status.missing : reply.status);
  }
}

/** The result of a request for the counters. 0 for a request of the connection itself. */
function statusToCount(request: Request, reply: Reply): Status | 0 {
  return isOwnCommand(request) ? 0 : classicStatus(request.operation, reply);
}

/** True for probes, first commands of a connection, markers, and `stats`, which Platypus asks of each server. */
export function isOwnCommand({ operation }: { readonly operation: Operation }): boolean {
  return operation === Operation.version || operation === Operation.metaNoop || operation === Operation.stats;
}
