/**
 * Request → backend bytes. A command goes out as the client's own bytes when nothing about it has changed, or as one more
 * key of a get; else its line is put together again from its parts: a `noreply` is left out (so that the backend always
 * answers and stays in step), the pool's prefix goes before the key.
 */
import { MAX_KEY_BYTES } from "../key.ts";
import { Operation, type Request } from "../request.ts";
import { CR, LF, SPACE } from "./ascii.ts";
import type { OutputBatch } from "./output-batch.ts";

const GET_BYTES = "get ".length;
const GETS_BYTES = "gets ".length;
const CRLF = Buffer.from("\r\n", "latin1");
const GUARD = Buffer.from("mn\r\n", "latin1");

const verbs = new Map<Operation, Buffer>(
  (["get", "gets", "gat", "gats"] as const).map((name) => [Operation[name], Buffer.from(`${name} `, "latin1")]),
);

/** Appends what a backend must be sent for `request`. Copies everything but large values that are `isKept`. */
export function writeRequest(request: Request, prefix: Buffer, batch: OutputBatch): void {
  writeCommand(request, prefix, batch);
  if (request.isGuarded) batch.copy(GUARD, 0, GUARD.length);
}

/**
 * How many keys a get asks for where the keys of others can go with it in one command; 0: not with others. Its line is one
 * that every server knows and that may be long (`bget` is not), and has no key in it that a server refuses: what it says of
 * one would be said of all.
 */
export function keysToShare(request: Request, prefix: Buffer): number {
  const { operation, keys, indexes, keyStart, keyEnd } = request;
  if (operation !== Operation.get && operation !== Operation.gets) return 0;
  const most = MAX_KEY_BYTES - prefix.length;
  if (keys !== null) {
    if (indexes === null) return 0;
    for (let i = 0; i < indexes.length; i++) if (keys.ends[indexes[i]!]! - keys.starts[indexes[i]!]! > most) return 0;
    return indexes.length;
  }
  return keyEnd - keyStart <= most && isPlainLine(request) ? 1 : 0;
}

/** True for verb, blank, key and CR LF, and where the line is made here. */
function isPlainLine({ operation, chunk, keyStart, keyEnd, frameStart, frameEnd }: Request): boolean {
  if (frameStart === frameEnd) return true;
  if (keyStart - frameStart !== (operation === Operation.get ? GET_BYTES : GETS_BYTES)) return false;
  return frameEnd === keyEnd + CRLF.length && chunk[keyEnd] === CR && chunk[keyEnd + 1] === LF;
}

/** Appends the keys of `request` to the get that stands last in `batch`. */
export function extendGet(request: Request, prefix: Buffer, batch: OutputBatch): void {
  batch.unwrite(CRLF.length);
  writeKeys(request, prefix, batch);
}

function writeCommand(request: Request, prefix: Buffer, batch: OutputBatch): void {
  if (request.indexes !== null || request.frameEnd === request.frameStart) {
    writeRetrieval(request, prefix, batch);
    return;
  }
  const { chunk, frameStart, frameEnd } = request;
  // A base64 key stands behind its frame, which has it with the prefix already.
  const hasPrefix = prefix.length > 0 && request.keyEnd > request.keyStart && request.keyEnd <= request.lineEnd;
  if (request.isVerbatim && !hasPrefix) {
    if (request.isKept) batch.reference(chunk, frameStart, frameEnd);
    else batch.copy(chunk, frameStart, frameEnd);
    return;
  }
  const keyEnd = request.keyEnd;
  batch.copy(chunk, frameStart, request.keyStart);
  if (hasPrefix) batch.copy(prefix, 0, prefix.length);
  batch.copy(chunk, request.keyStart, keyEnd);
  batch.copy(chunk, keyEnd, request.lineEnd);
  batch.copy(CRLF, 0, CRLF.length);
  if (request.isKept) batch.reference(chunk, request.dataStart, frameEnd);
  else batch.copy(chunk, request.dataStart, frameEnd);
}

/** A retrieval from its parts: for some of many keys, or for a key whose command line is gone. */
function writeRetrieval(request: Request, prefix: Buffer, batch: OutputBatch): void {
  const verb = verbs.get(request.operation)!;
  const isTouch = request.operation === Operation.gat || request.operation === Operation.gats;
  batch.copy(verb, 0, verb.length - 1);
  if (isTouch) {
    const exptime = Buffer.from(` ${request.exptime}`, "latin1");
    batch.copy(exptime, 0, exptime.length);
  }
  writeKeys(request, prefix, batch);
}

/** The keys and the end of the line. */
function writeKeys(request: Request, prefix: Buffer, batch: OutputBatch): void {
  const { keys, indexes } = request;
  if (keys === null) {
    writeKey(request.chunk, request.keyStart, request.keyEnd, prefix, batch);
  } else {
    const count = indexes === null ? keys.count : indexes.length;
    for (let i = 0; i < count; i++) {
      const index = indexes === null ? i : indexes[i]!;
      writeKey(keys.bytes, keys.starts[index]!, keys.ends[index]!, prefix, batch);
    }
  }
  batch.copy(CRLF, 0, CRLF.length);
}

function writeKey(chunk: Buffer, start: number, end: number, prefix: Buffer, batch: OutputBatch): void {
  batch.byte(SPACE);
  if (prefix.length > 0) batch.copy(prefix, 0, prefix.length);
  batch.copy(chunk, start, end);
}
