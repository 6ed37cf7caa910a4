/**
 * Request → backend bytes. A command goes out as the client's own bytes when nothing about it has changed; else its
 * line is put together again from its parts: a `noreply` is left out (so that the backend always answers and stays in
 * step), the pool's prefix goes before the key.
 */
import { Operation, type Request } from "../request.ts";
import { CR, LF, SPACE } from "./ascii.ts";
import type { OutputBatch } from "./output-batch.ts";

const GUARD = Buffer.from("mn\r\n", "latin1");

const verbs = new Map<Operation, Buffer>(
  (["get", "gets", "gat", "gats"] as const).map((name) => [Operation[name], Buffer.from(`${name} `, "latin1")]),
);

/** Appends what a backend must be sent for `request`. Copies everything but large values that are `isKept`. */
export function writeRequest(request: Request, prefix: Buffer, batch: OutputBatch): void {
  writeCommand(request, prefix, batch);
  if (request.isGuarded) batch.copy(GUARD, 0, GUARD.length);
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
  batch.byte(CR);
  batch.byte(LF);
  if (request.isKept) batch.reference(chunk, request.dataStart, frameEnd);
  else batch.copy(chunk, request.dataStart, frameEnd);
}

/** A retrieval from its parts: for some of many keys, or for a key whose command line is gone. */
function writeRetrieval(request: Request, prefix: Buffer, batch: OutputBatch): void {
  const verb = verbs.get(request.operation)!;
  const keys = request.keys;
  const isTouch = request.operation === Operation.gat || request.operation === Operation.gats;
  batch.copy(verb, 0, verb.length - 1);
  if (isTouch) {
    const exptime = Buffer.from(` ${request.exptime}`, "latin1");
    batch.copy(exptime, 0, exptime.length);
  }
  if (keys === null) {
    writeKey(request.chunk, request.keyStart, request.keyEnd, prefix, batch);
  } else {
    const indexes = request.indexes;
    const count = indexes === null ? keys.count : indexes.length;
    for (let i = 0; i < count; i++) {
      const index = indexes === null ? i : indexes[i]!;
      writeKey(keys.bytes, keys.starts[index]!, keys.ends[index]!, prefix, batch);
    }
  }
  batch.byte(CR);
  batch.byte(LF);
}

function writeKey(chunk: Buffer, start: number, end: number, prefix: Buffer, batch: OutputBatch): void {
  batch.byte(SPACE);
  if (prefix.length > 0) batch.copy(prefix, 0, prefix.length);
  batch.copy(chunk, start, end);
}
