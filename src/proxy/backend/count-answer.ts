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
function statusToCount({ operation }: Request, reply: Reply): Status | 0 {
  const isOwn = operation === Operation.version || operation === Operation.metaNoop || operation === Operation.stats;
  return isOwn ? 0 : classicStatus(operation, reply);
}
