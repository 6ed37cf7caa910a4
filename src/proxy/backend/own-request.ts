import type { Reply } from "../reply.ts";
import type { Operation, Request } from "../request.ts";
import { type FrameKey, writtenRequest } from "../wire/written-frame.ts";

/** A request that Platypus itself sends to a server. `line` and `data` have no CRLF; `data` is `null` if absent. */
export function ownRequest(
  operation: Operation,
  line: string,
  data: string | null,
  onReply: (reply: Reply) => void,
  key?: FrameKey,
): Request {
  const value = data === null ? null : Buffer.from(data, "latin1");
  return writtenRequest(operation, { onReply: (_request, reply) => onReply(reply) }, line, value, key);
}
