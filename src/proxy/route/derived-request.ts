/**
 * The same command for another key, or with another exptime: what routes pass on that change a request. The answer goes
 * to the request that it was made of, and names the key that its client asked for.
 *
 * All of these are retained: their bytes are their own.
 */
import { Reply, Status } from "../reply.ts";
import { isMeta, isRetrieval, Operation, type ReplyOwner, type Request } from "../request.ts";
import { hasDecodedKey, renameKey } from "../wire/meta-line.ts";

const EMPTY = Buffer.alloc(0);
const CRLF = Buffer.from("\r\n", "latin1");
const VALUE = Buffer.from("VALUE ", "latin1");

/** The command for `key`, whose answer completes `request`. */
export function withKey(request: Request, key: Buffer): Request {
  request.retain();
  return copyWithKey(request, key, new Renamed(request));
}

/** The command for `key`, answered to `owner` as the server answers it; `request` must be retained. */
export function copyWithKey(request: Request, key: Buffer, owner: ReplyOwner): Request {
  if (isFrameless(request)) return traced(request, frameless(request, key, request.exptime, owner));
  const words = wordsOf(request);
  words[1] = key.toString(hasDecodedKey(request) ? "base64" : "latin1");
  return traced(request, rebuilt(request, words, key, owner));
}

/** What stands for a request belongs to its trace. */
function traced(request: Request, derived: Request): Request {
  derived.span = request.span;
  return derived;
}

/** `reply`, which answers `sent`, as the answer to `request`: they name one thing by two keys. */
export function renamed(request: Request, sent: Request, reply: Reply): Reply {
  if (reply.status === Status.meta) {
    const copy = Object.assign(new Reply(), reply);
    renameKey(copy, request);
    return copy;
  }
  if (reply.status !== Status.found) return reply;
  const nameEnd = reply.start + VALUE.length + sent.keyEnd - sent.keyStart;
  const key = request.chunk.subarray(request.keyStart, request.keyEnd);
  const shift = VALUE.length + key.length - nameEnd;
  const own = Object.assign(new Reply(), reply);
  own.chunk = Buffer.concat([VALUE, key, reply.chunk.subarray(nameEnd, reply.end)]);
  own.start = 0;
  own.end = own.chunk.length;
  own.valueStart += shift;
  own.valueEnd += shift;
  own.isKept = true;
  return own;
}

class Renamed implements ReplyOwner {
  private readonly request: Request;

  constructor(request: Request) {
    this.request = request;
  }

  onReply(sent: Request, reply: Reply): void {
    this.request.complete(renamed(this.request, sent, reply));
  }
}

/** The exptime that a request gives its item, as memcached takes it; null: it gives none. */
export function exptimeOf(request: Request): number | null {
  const { operation } = request;
  if (operation === Operation.gat || operation === Operation.gats) return request.exptime;
  if (isFrameless(request)) return null;
  const words = wordsOf(request);
  const flag = (letter: string) => words.find((word, index) => index > 1 && word[0] === letter)?.slice(1);
  switch (operation) {
    case Operation.touch:
      return Number(words[2]);
    case Operation.metaSet:
      return Number(flag("T") ?? 0);
    case Operation.metaGet: {
      const exptime = flag("T");
      return exptime === undefined ? null : Number(exptime);
    }
    case Operation.metaArithmetic: {
      const exptime = flag("T") ?? flag("N");
      return exptime === undefined ? null : Number(exptime);
    }
    default:
      return operation >= Operation.set && operation <= Operation.cas ? Number(words[3]) : null;
  }
}

/** The command with another exptime, answered to `owner`; `request` must be retained and give one (`exptimeOf`). */
export function withExptime(request: Request, exptime: number, owner: ReplyOwner): Request {
  const key = Buffer.from(request.chunk.subarray(request.keyStart, request.keyEnd));
  const { operation } = request;
  if (isFrameless(request)) return frameless(request, key, exptime, owner);
  const words = wordsOf(request);
  if (isMeta(operation)) {
    const first = operation === Operation.metaSet ? 3 : 2;
    let isSet = false;
    for (let i = first; i < words.length; i++) {
      const letter = words[i]![0]!;
      if (letter !== "T" && !(letter === "N" && operation === Operation.metaArithmetic)) continue;
      words[i] = `${letter}${exptime}`;
      isSet = true;
    }
    if (!isSet) words.push(`T${exptime}`);
  } else {
    words[operation === Operation.touch ? 2 : 3] = String(exptime);
  }
  return rebuilt(request, words, key, owner);
}

/** The storage command with another value, and `flag` set in its client flags, answered to `owner`; `request` is retained. */
export function withData(request: Request, value: Buffer, flag: number, owner: ReplyOwner): Request {
  const key = Buffer.from(request.chunk.subarray(request.keyStart, request.keyEnd));
  const words = wordsOf(request);
  if (request.operation === Operation.metaSet) {
    words[2] = String(value.length);
    const at = words.findIndex((word, index) => index > 2 && word[0] === "F");
    if (at < 0) words.push(`F${flag}`);
    else words[at] = `F${(Number(words[at]!.slice(1)) | flag) >>> 0}`;
  } else {
    words[2] = String((Number(words[2]) | flag) >>> 0);
    words[4] = String(value.length);
  }
  return rebuilt(request, words, key, owner, Buffer.concat([value, CRLF]));
}

/** A retrieval of which only key and exptime are known, or are enough. */
function isFrameless(request: Request): boolean {
  return request.frameEnd === request.frameStart || isRetrieval(request.operation);
}

function wordsOf({ chunk, frameStart, lineEnd }: Request): string[] {
  return chunk
    .toString("latin1", frameStart, lineEnd)
    .split(" ")
    .filter((word) => word !== "");
}

function frameless(request: Request, key: Buffer, exptime: number, owner: ReplyOwner): Request {
  const copy = request.again(owner);
  copy.forgetFrame();
  copy.chunk = key;
  copy.keyStart = 0;
  copy.keyEnd = key.length;
  copy.exptime = exptime;
  copy.isKept = true;
  return copy;
}

/** `words` are the line, the key its second; of one in base64 the bytes `key` stand behind the frame. */
function rebuilt(
  request: Request,
  words: readonly string[],
  key: Buffer,
  owner: ReplyOwner,
  data = request.hasData ? request.chunk.subarray(request.dataStart, request.frameEnd) : EMPTY,
): Request {
  const isDecoded = hasDecodedKey(request);
  const head = Buffer.from(`${words.join(" ")}\r\n`, "latin1");
  const copy = request.again(owner);
  copy.chunk = Buffer.concat([head, data, isDecoded ? key : EMPTY]);
  copy.frameStart = 0;
  copy.lineEnd = head.length - 2;
  copy.dataStart = head.length;
  copy.frameEnd = head.length + data.length;
  copy.keyStart = isDecoded ? copy.frameEnd : words[0]!.length + 1;
  copy.keyEnd = copy.keyStart + key.length;
  copy.isVerbatim = true;
  copy.isKept = true;
  return copy;
}
