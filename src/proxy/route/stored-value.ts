/**
 * What routes that copy values between places read of an answer, and how they give a value to whoever asked.
 */
import { MetaCode, type Reply, Status, valueReply } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { hasMetaFlag, metaFound, returnedToken } from "../wire/meta-line.ts";
import type { StoredValue } from "./keyed-request.ts";

/** The value of an answer to `getOf`, in bytes of its own; null: there is none. */
export function storedValue(reply: Reply): StoredValue | null {
  const isMeta = reply.status === Status.meta && reply.code === MetaCode.VA;
  if (reply.status !== Status.found && !isMeta) return null;
  const value = Buffer.from(reply.chunk.subarray(reply.valueStart, reply.valueEnd));
  return { value, flags: isMeta ? Number(returnedToken(reply, "f") ?? 0) : reply.flags };
}

/**
 * The value as the answer to a get of one key. Null: what is asked for besides (cas, what is left of its time, when it was
 * read last) is known to a server alone, or is to be changed there.
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
