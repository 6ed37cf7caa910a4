/**
 * Requests for another key, exptime or value that routes derive from a request. The reply goes to the original request
 * and has the key that its client asked for.
 *
 * All derived requests are retained: they own their bytes.
 */
import { MAX_KEY_BYTES } from "../../proxy/key.ts";
import { Reply, Status } from "../../proxy/reply.ts";
import { isMeta, isRetrieval, Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { firstFlagOf, hasDecodedKey, lineWords, renameKey } from "../../proxy/wire/meta-line.ts";
import { decodedKey, keyAfter, writeFrame } from "../../proxy/wire/written-frame.ts";

const CRLF = Buffer.from("\r\n", "latin1");
const VALUE = Buffer.from("VALUE ", "latin1");

/**
 * True if a server accepts a key of this length in the command. After a refused line, a server would read the data as
 * commands.
 */
export function canHaveKey(request: Request, keyBytes: number): boolean {
  return keyBytes > 0 && (hasDecodedKey(request) ? Math.ceil(keyBytes / 3) * 4 : keyBytes) <= MAX_KEY_BYTES;
}

/** The command for `key`, which must satisfy `canHaveKey`. Its reply completes `request`. */
export function withKey(request: Request, key: Buffer): Request {
  request.retain();
  return copyWithKey(request, key, new Renamed(request));
}

/** The command for `key`. `owner` gets the server's reply unchanged. `request` must be retained. */
export function copyWithKey(request: Request, key: Buffer, owner: ReplyOwner): Request {
  if (isFrameless(request)) return traced(request, frameless(request, key, request.exptime, owner));
  const words = lineWords(request);
  words[1] = key.toString(hasDecodedKey(request) ? "base64" : "latin1");
  return traced(request, rebuilt(request, words, key, owner));
}

/** Adds the derived request to the trace of its original. */
function traced(request: Request, derived: Request): Request {
  derived.span = request.span;
  return derived;
}

/** The reply to `sent`, as a reply to `request`: both name one item by different keys. */
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

/** The exptime in a request, as memcached reads it. `null` if absent, or if it is not a number. */
export function exptimeOf(request: Request): number | null {
  if (isTouchingRetrieval(request.operation)) return request.exptime;
  if (isFrameless(request)) return null;
  const words = lineWords(request);
  const [place] = exptimePlaces(request.operation, words);
  if (place === undefined) return request.operation === Operation.metaSet ? 0 : null;
  return numberAt(words, place);
}

/**
 * The command with its exptimes changed by `change`; a meta set without one counts as 0. `owner` gets the reply. Call
 * while `request` still has its bytes. `null` if there is no exptime, or if none changes. An exptime that is not a
 * number stays; the server refuses it.
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

/** Position of a number: in a word, from character `start`. */
interface Place {
  readonly word: number;
  readonly start: number;
}

/** Positions of the exptimes in a line. */
function exptimePlaces(operation: Operation, words: readonly string[]): readonly Place[] {
  if (operation === Operation.touch) return [{ word: 2, start: 0 }];
  if (operation >= Operation.set && operation <= Operation.cas) return [{ word: 3, start: 0 }];
  // T is the new TTL of an item; N is the TTL of an item that the command creates.
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

/**
 * The well-formed storage command with another value and with `flag` set in its client flags. `owner` gets the reply.
 * `request` is retained.
 */
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

/** True for retrievals that only need key and exptime. */
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

/**
 * Builds a request from the `words` of its line; the second word is the key. For a base64 key, the bytes of `key`
 * follow the frame.
 */
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
