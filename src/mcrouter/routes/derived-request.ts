/**
 * The same command for another key, or with another exptime: what routes pass on that change a request. The answer goes
 * to the request that it was made of, and names the key that its client asked for.
 *
 * All of these are retained: their bytes are their own.
 */
import { MAX_KEY_BYTES } from "../../proxy/key.ts";
import { Reply, Status } from "../../proxy/reply.ts";
import { isMeta, isRetrieval, Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { firstFlagOf, hasDecodedKey, lineWords, renameKey } from "../../proxy/wire/meta-line.ts";
import { decodedKey, keyAfter, writeFrame } from "../../proxy/wire/written-frame.ts";

const CRLF = Buffer.from("\r\n", "latin1");
const VALUE = Buffer.from("VALUE ", "latin1");

/** Whether a server takes a key of so many bytes in place of the request's: it would take the data of a refused line for commands. */
export function canHaveKey(request: Request, keyBytes: number): boolean {
  return keyBytes > 0 && (hasDecodedKey(request) ? Math.ceil(keyBytes / 3) * 4 : keyBytes) <= MAX_KEY_BYTES;
}

/** The command for `key`, which it can have (`canHaveKey`) and whose answer completes `request`. */
export function withKey(request: Request, key: Buffer): Request {
  request.retain();
  return copyWithKey(request, key, new Renamed(request));
}

/** The command for `key`, answered to `owner` as the server answers it; `request` must be retained. */
export function copyWithKey(request: Request, key: Buffer, owner: ReplyOwner): Request {
  if (isFrameless(request)) return traced(request, frameless(request, key, request.exptime, owner));
  const words = lineWords(request);
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
    renameKey(copy, sent, request);
    return copy;
  }
  if (reply.status !== Status.found) return reply;
  const nameEnd = reply.start + VALUE.length + sent.keyEnd - sent.keyStart;
  const key = request.chunk.subarray(request.keyStart, request.keyEnd);
  const own = Object.assign(new Reply(), reply);
  own.replaceHead(Buffer.concat([VALUE, key]), nameEnd);
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

/** The exptime that a request gives its item, as memcached takes it; null: it gives none, or none that is a number. */
export function exptimeOf(request: Request): number | null {
  if (isTouchingRetrieval(request.operation)) return request.exptime;
  if (isFrameless(request)) return null;
  const words = lineWords(request);
  const [place] = exptimePlaces(request.operation, words);
  if (place === undefined) return request.operation === Operation.metaSet ? 0 : null;
  return numberAt(words, place);
}

/**
 * The command with the exptimes that `change` makes of its own (of a meta set that has none, of 0), answered to `owner`,
 * while `request` still has its bytes. Null: it has none, or they stay. What is no number is left to the server to refuse.
 */
export function withExptimes(request: Request, change: (exptime: number) => number, owner: ReplyOwner): Request | null {
  const { operation } = request;
  if (isTouchingRetrieval(operation)) {
    const exptime = change(request.exptime);
    if (exptime === request.exptime) return null;
    return frameless(request, Buffer.from(request.chunk.subarray(request.keyStart, request.keyEnd)), exptime, owner);
  }
  if (isFrameless(request)) return null;
  const words = lineWords(request);
  let isChanged = false;
  const places = exptimePlaces(operation, words);
  for (const place of places) {
    const before = numberAt(words, place);
    if (before === null || change(before) === before) continue;
    words[place.word] = `${words[place.word]!.slice(0, place.start)}${change(before)}`;
    isChanged = true;
  }
  if (places.length === 0 && operation === Operation.metaSet && change(0) !== 0) {
    words.push(`T${change(0)}`);
    isChanged = true;
  }
  if (!isChanged) return null;
  return rebuilt(request, words, request.chunk.subarray(request.keyStart, request.keyEnd), owner);
}

/** Where a number stands: from character `start` of a word on. */
interface Place {
  readonly word: number;
  readonly start: number;
}

/** Where the line has its exptimes. */
function exptimePlaces(operation: Operation, words: readonly string[]): readonly Place[] {
  if (operation === Operation.touch) return [{ word: 2, start: 0 }];
  if (operation >= Operation.set && operation <= Operation.cas) return [{ word: 3, start: 0 }];
  // Of what is there, and of what is made where nothing is.
  const letters = operation === Operation.metaGet || operation === Operation.metaArithmetic ? "TN" : "T";
  const isGiven = isMeta(operation) && operation !== Operation.metaDelete && operation !== Operation.metaDebug;
  if (!isGiven) return [];
  const first = firstFlagOf(operation);
  return words.flatMap((text, word) => (word >= first && letters.includes(text[0]!) ? [{ word, start: 1 }] : []));
}

function numberAt(words: readonly string[], { word, start }: Place): number | null {
  const text = words[word]?.slice(start) ?? "";
  return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : null;
}

function isTouchingRetrieval(operation: Operation): boolean {
  return operation === Operation.gat || operation === Operation.gats;
}

/** The storage command, which is well formed, with another value, and `flag` set in its client flags, answered to `owner`; `request` is retained. */
export function withData(request: Request, value: Buffer, flag: number, owner: ReplyOwner): Request {
  const key = request.chunk.subarray(request.keyStart, request.keyEnd);
  const words = lineWords(request);
  if (request.operation === Operation.metaSet) {
    words[2] = String(value.length);
    const at = words.findIndex((word, index) => index > 2 && word[0] === "F");
    if (at < 0) words.push(`F${flag}`);
    else words[at] = `F${(Number(words[at]!.slice(1)) | flag) >>> 0}`;
  } else {
    words[2] = String((Number(words[2]) | flag) >>> 0);
    words[4] = String(value.length);
  }
  return rebuilt(request, words, key, owner, value);
}

/** A retrieval of which only key and exptime are known, or are enough. */
function isFrameless(request: Request): boolean {
  return request.frameEnd === request.frameStart || isRetrieval(request.operation);
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
  value = request.hasData ? request.chunk.subarray(request.dataStart, request.frameEnd - CRLF.length) : null,
): Request {
  const copy = request.again(owner);
  const place = hasDecodedKey(request) ? decodedKey(key) : keyAfter(words[0]!, key.length);
  writeFrame(copy, words.join(" "), value, place);
  return copy;
}
