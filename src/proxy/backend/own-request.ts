import type { Reply } from "../reply.ts";
import { type Operation, Request } from "../request.ts";

/** A request that Platypus itself makes of a server, not for a key: `line` and `data` with their CRLF, "" for no data. */
export function ownRequest(operation: Operation, line: string, data: string, onReply: (reply: Reply) => void): Request {
  const frame = Buffer.from(line + data, "latin1");
  const request = new Request(operation, { onReply: (_request, reply) => onReply(reply) }, frame);
  request.lineEnd = line.length - 2;
  request.dataStart = line.length;
  request.frameEnd = frame.length;
  request.hasData = data !== "";
  request.isKept = true;
  return request;
}
