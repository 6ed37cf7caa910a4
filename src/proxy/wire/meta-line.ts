/**
 * Lines of meta commands and replies, where Platypus must read or write parts of them: a miss without a server's reply,
 * a value that the pool could not store, a prefix that the client does not know. This is not the path of a hit, which
 * is passed on unchanged.
 *
 * Source: memcached doc/protocol.txt, "Meta Get"; the order of flags and the empty reply follow memcached 1.6.
 */
import { MetaCode, Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { CR, equalBytes, LF, SPACE } from "./ascii.ts";
import { decodedKey, writtenRequest } from "./written-frame.ts";

const LOWER_K = 0x6b;

const CRLF = Buffer.from("\r\n", "latin1");
const NO_BYTES = Buffer.alloc(0);

/** Words of a request's line, which it must still have. Only blanks separate words. */
export function lineWords({ chunk, frameStart, lineEnd }: Request): string[] {
  return wordsOf(chunk, frameStart, lineEnd);
}

function wordsOf(chunk: Buffer, start: number, end: number): string[] {
  return wordsIn(chunk.toString("latin1", start, end));
}

function wordsIn(line: string): string[] {
  return line.split(" ").filter((word) => word !== "");
}

/** Index of the first flag in the words of a meta line: after verb and key; for `ms`, also after the length. */
export function firstFlagOf(operation: Operation): number {
  return operation === Operation.metaSet ? 3 : 2;
}

/** Flags of a meta request, which must still have its line. */
export function metaFlags(request: Request): string[] {
  return lineWords(request).slice(firstFlagOf(request.operation));
}

/** True if the request has one of these flags, with any token. */
export function hasMetaFlag(request: Request, letters: string): boolean {
  return metaFlags(request).some((flag) => letters.includes(flag[0]!));
}

/** The token of the request's flag; "" if the flag has none. `null` if the request does not have the flag. */
export function metaToken(request: Request, letter: string): string | null {
  return tokenOf(metaFlags(request), letter);
}

/** The line of a meta reply without its end. */
export function replyLine({ chunk, start, end, code, valueStart }: Reply): string {
  return chunk.toString("latin1", start, (code === MetaCode.VA ? valueStart : end) - CRLF.length);
}

/** Flags in a meta reply. The reply must not contain a key. */
export function returnedFlags(reply: Reply): string[] {
  return wordsIn(replyLine(reply)).slice(reply.code === MetaCode.VA ? 2 : 1);
}

/** The token of a flag in a meta reply. `null` if it is absent. The reply must not contain a key. */
export function returnedToken(reply: Reply, letter: string): string | null {
  return reply.status === Status.meta ? tokenOf(returnedFlags(reply), letter) : null;
}

/** The token of a flag in `flags`. `null` if it is absent. */
export function tokenOf(flags: readonly string[], letter: string): string | null {
  return flags.find((flag) => flag[0] === letter)?.slice(1) ?? null;
}

/** The reply to an `mg` miss: `EN` with the echoed flags. */
export function metaMiss(request: Request): Reply {
  return metaReply(MetaCode.EN, `EN${echo(request)}`);
}

/**
 * A reply to an `mg` with `value`. `cas` is `null` if it is unknown; then the result is `null` if the request asks for
 * it, because a cas is never invented.
 */
export function metaFound(request: Request, value: Buffer, clientFlags: number, cas: bigint | null): Reply | null {
  let text = "";
  let hasValue = false;
  const flags = metaFlags(request);
  for (const flag of flags) {
    switch (flag[0]) {
      case "v":
        hasValue = true;
        break;
      case "c":
        if (cas === null) return null;
        text += ` c${cas}`;
        break;
      case "f":
        text += ` f${clientFlags}`;
        break;
      case "h":
      case "l":
        text += ` ${flag[0]}0`;
        break;
      case "t":
        text += " t-1";
        break;
      case "s":
        text += ` s${value.length}`;
        break;
      case "k":
        text += keyEcho(request);
        break;
      case "O":
        text += ` ${flag}`;
        break;
    }
  }
  if (!hasValue) return metaReply(MetaCode.HD, `HD${text}`);
  return metaReply(MetaCode.VA, `VA ${value.length}${text}`, value);
}

/** Removes `prefix` from the key in the first line of a meta reply to `request`, if it has a key. */
export function dropKeyPrefix(request: Request, reply: Reply, prefix: Buffer): void {
  changeReturnedKey(reply, (text) => {
    const key = request.chunk.subarray(request.keyStart, request.keyEnd);
    // The reply to `me` does not mark base64, and such a key may begin like the prefix.
    if (text === Buffer.concat([prefix, key]).toString("base64")) return key.toString("base64");
    return text.startsWith(prefix.toString("latin1")) ? text.slice(prefix.length) : text;
  });
}

/**
 * Replaces the key of `sent` in a meta reply by the key of `request`, in the form of the server: an item stored with a
 * base64 key has it in each reply, others have the bytes, including blanks.
 */
export function renameKey(reply: Reply, sent: Request, request: Request): void {
  const { chunk, start } = reply;
  const at = returnedKeyAt(reply);
  if (at < 0) return;
  const length = sent.keyEnd - sent.keyStart;
  const isPlain = isEndOfWord(chunk, at + length) && equalBytes(chunk, at, at + length, sent.chunk, sent.keyStart);
  let end = at + length;
  if (!isPlain) for (end = at; !isEndOfWord(chunk, end); ) end++;
  const key = request.chunk.subarray(request.keyStart, request.keyEnd);
  const head = chunk.subarray(start, at);
  const name = isPlain ? key : Buffer.from(key.toString("base64"), "latin1");
  reply.replaceHead(Buffer.concat([head, name]), end);
}

/** Replaces the returned key by the result of `change`, in a new buffer. */
function changeReturnedKey(reply: Reply, change: (text: string) => string): void {
  const at = returnedKeyAt(reply);
  if (at < 0) return;
  const { chunk, start } = reply;
  let end = at;
  while (!isEndOfWord(chunk, end)) end++;
  const head = chunk.toString("latin1", start, at) + change(chunk.toString("latin1", at, end));
  reply.replaceHead(Buffer.from(head, "latin1"), end);
}

/** Position of the key in the first line. −1 if absent. */
function returnedKeyAt({ chunk, start, code }: Reply): number {
  if (code === MetaCode.ME) return start + "ME ".length;
  for (let i = start; chunk[i] !== LF; i++) if (chunk[i] === SPACE && chunk[i + 1] === LOWER_K) return i + 2;
  return -1;
}

function isEndOfWord(chunk: Buffer, at: number): boolean {
  return chunk[at] === SPACE || chunk[at] === CR;
}

/** The echoed flags of a miss: opaque and key, in the order of the request. */
function echo(request: Request): string {
  let text = "";
  for (const flag of metaFlags(request)) {
    if (flag[0] === "O") text += ` ${flag}`;
    if (flag[0] === "k") text += keyEcho(request);
  }
  return text;
}

/** The key as given. A base64 key is followed by the flag that marks it. */
export function keyEcho(request: Request): string {
  const { chunk, keyStart, keyEnd } = request;
  return hasDecodedKey(request) ? ` k${chunk.toString("base64", keyStart, keyEnd)} b` : ` k${request.keyText()}`;
}

/** True for a key that arrived in base64: its bytes follow the frame. */
export function hasDecodedKey(request: Request): boolean {
  return request.frameEnd > 0 && request.keyStart >= request.frameEnd;
}

/** True if the request asks for its key, which has a line feed: see `withoutKeyFlag`. */
function returnsLineFeed(request: Request): boolean {
  if (!hasDecodedKey(request) || request.operation === Operation.metaDebug) return false;
  const inKey = request.chunk.indexOf(LF, request.keyStart);
  return inKey >= 0 && inKey < request.keyEnd && hasMetaFlag(request, "k");
}

/**
 * The request for a server: `request` itself, or a copy that does not ask for the key. A memcached that has forgotten
 * that a key must be written in base64 (1.6.18: items created by `N`, or counters) would end its reply within the key.
 */
export function withoutKeyFlag(request: Request): Request {
  if (!returnsLineFeed(request)) return request;
  const { chunk, operation, dataStart, frameEnd } = request;
  const first = firstFlagOf(operation);
  const line = lineWords(request)
    .filter((word, i) => i < first || word !== "k")
    .join(" ");
  const value = request.hasData ? chunk.subarray(dataStart, frameEnd - CRLF.length) : null;
  // The server does not get the bytes of the key: the line already has it, with the prefix.
  const sent = writtenRequest(operation, request.owner, line, value, decodedKey(NO_BYTES));
  sent.opaque = request.opaque;
  return sent;
}

/** Adds the key that the server was not asked for, if the client asked for it. The first line ends at `lineEnd`. */
export function addKey(request: Request, reply: Reply, lineEnd: number): void {
  if (!returnsLineFeed(request)) return;
  const asked = metaFlags(request).map((flag) => flag[0]);
  const words = reply.chunk.toString("latin1", reply.start, lineEnd - CRLF.length).split(" ");
  const isBefore = (word: string | undefined) => asked.slice(0, asked.indexOf("k")).includes(word?.[0]);
  let at = reply.code === MetaCode.VA ? 2 : 1;
  while (isBefore(words[at])) at++;
  words.splice(at, 0, keyEcho(request).trim());
  reply.replaceHead(Buffer.from(words.join(" "), "latin1"), lineEnd - CRLF.length);
}

/**
 * True if the line at `start` ends within the key, which has a line feed: such a reply can be forged. A memcached has
 * forgotten of some items that their key must be written in base64 (1.6.18: created by `N`, or counters).
 */
export function isCutByKey(request: Request, prefix: Buffer, chunk: Buffer, start: number, end: number): boolean {
  if (!hasDecodedKey(request)) return false;
  const inKey = request.chunk.indexOf(LF, request.keyStart);
  if (inKey < 0 || inKey >= request.keyEnd) return false;
  const lineFeed = chunk.indexOf(LF, start);
  if (lineFeed < 0 || lineFeed >= end) return false;
  const mark = request.operation === Operation.metaDebug ? "ME " : " k";
  const written = mark + prefix.toString("latin1") + request.chunk.toString("latin1", request.keyStart, inKey + 1);
  return chunk.toString("latin1", start, lineFeed + 1).endsWith(written);
}

/**
 * True if the complete line at `start` contains a key (flag `k`) other than the requested one. An item stored with a
 * base64 key has it in each reply, whatever the form of the request.
 */
export function isOfOtherKey(request: Request, prefix: Buffer, chunk: Buffer, start: number): boolean {
  if (request.operation === Operation.metaDebug) return false;
  let at = start;
  while (chunk[at] !== LF && !(chunk[at] === SPACE && chunk[at + 1] === LOWER_K)) at++;
  if (chunk[at] === LF) return false;
  const keyStart = at + 2 + prefix.length;
  const keyEnd = keyStart + request.keyEnd - request.keyStart;
  const isPlain =
    (chunk[keyEnd] === SPACE || chunk[keyEnd] === CR) &&
    equalBytes(prefix, 0, prefix.length, chunk, at + 2) &&
    equalBytes(request.chunk, request.keyStart, request.keyEnd, chunk, keyStart);
  if (isPlain) return false;
  const key = Buffer.concat([prefix, request.chunk.subarray(request.keyStart, request.keyEnd)]).toString("base64");
  return !startsWithWord(chunk, at + 2, key);
}

function startsWithWord(chunk: Buffer, at: number, word: string): boolean {
  const end = chunk[at + word.length];
  return (end === SPACE || end === CR) && chunk.toString("latin1", at, at + word.length) === word;
}

/** A meta reply of `line` and, for `VA`, the value. */
export function metaReply(code: number, line: string, value: Buffer | null = null): Reply {
  const reply = new Reply();
  reply.status = Status.meta;
  reply.code = code;
  const head = Buffer.from(`${line}\r\n`, "latin1");
  reply.chunk = value === null ? head : Buffer.concat([head, value, CRLF]);
  reply.end = reply.chunk.length;
  if (value !== null) {
    reply.valueStart = head.length;
    reply.valueEnd = head.length + value.length;
  }
  reply.isKept = true;
  return reply;
}
