/**
 * Request → backend bytes: the only place that writes to a server. The output is canonical (docs/protocols.md, "What a
 * server receives"): parsers make canonical lines, and this file builds the others. A get is sent unchanged, or as
 * another key of an earlier get. All other commands are sent in a form with a verifiable reply, if the server's dialect
 * has one: with an opaque, or followed by a marker. `noreply` is left out, so that the server always replies. The
 * pool's prefix precedes the key.
 */
import { MAX_KEY_BYTES } from "../key.ts";
import { isMeta, isRetrieval, isWrite, Operation, type Request } from "../request.ts";
import { CR, LF, SPACE } from "./ascii.ts";
import { isNoreplyKey, isNoreplyKeyOf, MetaForm, metaFormOf, writeMetaForm } from "./meta-form.ts";
import { withoutKeyFlag } from "./meta-line.ts";
import { hasRoomForOpaque, writeWithOpaque } from "./meta-proof.ts";
import type { OutputBatch } from "./output-batch.ts";
import { Marker, type ServerDialect } from "./server-dialect.ts";

const GET_BYTES = "get ".length;
const GETS_BYTES = "gets ".length;
const CRLF = Buffer.from("\r\n", "latin1");
const META_NOOP = Buffer.from("mn\r\n", "latin1");
const VERSION = Buffer.from("version\r\n", "latin1");

const verbs = new Map<Operation, Buffer>(
  (["get", "gets", "gat", "gats"] as const).map((name) => [Operation[name], Buffer.from(`${name} `, "latin1")]),
);

/**
 * Appends the bytes of `request` for a backend, and records how its reply is verified. Copies all bytes except large
 * values with `isKept`.
 */
export function writeRequest(request: Request, prefix: Buffer, batch: OutputBatch, dialect: ServerDialect): void {
  chooseProof(request, prefix, dialect);
  if (request.form !== MetaForm.none) writeMetaForm(request, prefix, batch);
  else writeCommand(isMeta(request.operation) ? withoutKeyFlag(request) : request, prefix, batch);
  if (request.marker === Marker.none) return;
  const marker = request.marker === Marker.metaNoop ? META_NOOP : VERSION;
  batch.copy(marker, 0, marker.length);
}

/** Selects the form in which `request` is sent, and the proof of its reply. */
function chooseProof(request: Request, prefix: Buffer, dialect: ServerDialect): void {
  const { operation } = request;
  if (dialect.hasOpaques) {
    request.form = metaFormOf(request, prefix);
    const takesOpaque = isMeta(operation) && operation !== Operation.metaDebug && hasRoomForOpaque(request);
    if (request.form !== MetaForm.none || takesOpaque) {
      request.opaque = dialect.nextOpaque();
      if (request.isGuarded) request.marker = Marker.metaNoop;
      return;
    }
  }
  // A VALUE line has its key.
  if (isRetrieval(operation)) return;
  const isProven = operation !== Operation.touch && operation !== Operation.flushAll && !isWrite(operation);
  if (!isProven || isMeta(operation)) request.marker = dialect.marker;
}

/**
 * Number of keys of a get that can share a command with other gets. 0 if it cannot. The line of such a get is known to
 * all servers and may be long (`bget` may not), and it has no key that a server refuses: an error would apply to all
 * keys.
 */
export function keysToShare(request: Request, prefix: Buffer): number {
  const { operation, chunk, keys, indexes, keyStart, keyEnd } = request;
  if (operation !== Operation.get && operation !== Operation.gets) return 0;
  const most = MAX_KEY_BYTES - prefix.length;
  if (keys !== null) {
    if (indexes === null || (indexes.length === 1 && isNoreplyKeyOf(keys, indexes[0]!))) return 0;
    for (let i = 0; i < indexes.length; i++) if (keys.ends[indexes[i]!]! - keys.starts[indexes[i]!]! > most) return 0;
    return indexes.length;
  }
  if (isNoreplyKey(chunk, keyStart, keyEnd)) return 0;
  return keyEnd - keyStart <= most && isPlainLine(request) ? 1 : 0;
}

/** True for verb, blank, key and CR LF, and for lines that Platypus builds. */
function isPlainLine({ operation, chunk, keyStart, keyEnd, frameStart, frameEnd }: Request): boolean {
  if (frameStart === frameEnd) return true;
  if (keyStart - frameStart !== (operation === Operation.get ? GET_BYTES : GETS_BYTES)) return false;
  return frameEnd === keyEnd + CRLF.length && chunk[keyEnd] === CR && chunk[keyEnd + 1] === LF;
}

/** Appends the keys of `request` to the get at the end of `batch`. */
export function extendGet(request: Request, prefix: Buffer, batch: OutputBatch): void {
  batch.unwrite(CRLF.length);
  writeKeys(request, prefix, batch);
}

function writeCommand(request: Request, prefix: Buffer, batch: OutputBatch): void {
  if (request.indexes !== null || request.frameEnd === request.frameStart) {
    writeRetrieval(request, prefix, batch);
    return;
  }
  const { chunk, frameStart, frameEnd, opaque } = request;
  // A base64 key follows its frame, which has it with the prefix already.
  const hasPrefix = prefix.length > 0 && request.keyEnd > request.keyStart && request.keyEnd <= request.lineEnd;
  if (request.isVerbatim && !hasPrefix && opaque === 0) {
    if (request.isKept) batch.reference(chunk, frameStart, frameEnd);
    else batch.copy(chunk, frameStart, frameEnd);
    return;
  }
  let from = frameStart;
  if (hasPrefix) {
    batch.copy(chunk, frameStart, request.keyStart);
    batch.copy(prefix, 0, prefix.length);
    from = request.keyStart;
  }
  if (opaque === 0) batch.copy(chunk, from, request.lineEnd);
  else writeWithOpaque(request, from, batch);
  batch.copy(CRLF, 0, CRLF.length);
  if (request.isKept) batch.reference(chunk, request.dataStart, frameEnd);
  else batch.copy(chunk, request.dataStart, frameEnd);
}

/** Builds a retrieval: for some of many keys, or for a key without its command line. */
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

/** Appends the keys and the end of the line. */
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
