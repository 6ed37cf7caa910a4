/**
 * For routes that copy values between places: reads a value from a reply, and makes a reply from a value.
 */
import { MetaCode, type Reply, Status, valueReply } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { hasMetaFlag, metaFound, returnedToken } from "../wire/meta-line.ts";
import type { StoredValue } from "./keyed-request.ts";

/** A copy of the value in a reply to `getOf`. `null` if absent. */
export function storedValue(reply: Reply): StoredValue | null {
  const isMeta = reply.status === Status.meta && reply.code === MetaCode.VA;
  if (reply.status !== Status.found && !isMeta) return null;
  const value = Buffer.from(reply.chunk.subarray(reply.valueStart, reply.valueEnd));
  return { value, flags: isMeta ? Number(returnedToken(reply, "f") ?? 0) : reply.flags };
}

/**
 * The value as the reply to a get of one key. `null` if the request asks for data that only a server knows (cas,
 * remaining TTL, last access), or changes the item.
 */
export function answerWith(request: Request, { value, flags }: StoredValue): Reply | null {
  switch (request.operation) {
    case Operation.get:
    case Operation.gat:
      return valueReply(request.keyText(), value, flags);
    case Operation.metaGet:
      return hasMetaFlag(request, "cthlTNER") ? null : metaFound(request, value, flags, null);
    default:
      return null;
  }
}
