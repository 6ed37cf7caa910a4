/**
 * For routes that copy values between places: reads a value from a reply, and makes a reply from a value.
 */
import { MetaCode, Reply, Status, valueReply } from "../reply.ts";
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

/** `reply` to `request`, which has a value, with another value and changed client flags. The other fields are kept. */
export function withValue(request: Request, reply: Reply, value: Buffer, changed: (flags: number) => number): Reply {
  const isMeta = reply.status === Status.meta;
  const flags = changed(reply.flags);
  const plain = isMeta ? null : answerWith(request, { value, flags });
  if (plain !== null) return plain;
  const words = reply.chunk.toString("latin1", reply.start, reply.valueStart - 2).split(" ");
  const oldLength = String(reply.valueEnd - reply.valueStart);
  words[isMeta ? 1 : 3] = String(value.length);
  if (!isMeta) words[2] = String(flags);
  const metaWord = (word: string) => {
    if (word === `s${oldLength}`) return `s${value.length}`;
    return /^f\d+$/.test(word) ? `f${changed(Number(word.slice(1)))}` : word;
  };
  const text = words.map((word, i) => (isMeta && i > 1 ? metaWord(word) : word)).join(" ");
  const head = Buffer.from(`${text}\r\n`, "latin1");
  const own = Object.assign(new Reply(), reply);
  own.replaceHead(Buffer.concat([head, value]), reply.valueEnd);
  own.valueStart = head.length;
  own.valueEnd = head.length + value.length;
  own.flags = flags;
  return own;
}
