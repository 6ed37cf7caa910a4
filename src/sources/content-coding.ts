/**
 * Unpacks the body of a response by its `Content-Encoding`. Sources: RFC 9110 sections 8.4 and 12.5.3.
 *
 * Codings are undone in reverse order. A coding that is listed twice in a row usually comes from two programs that both
 * add the field, so it is undone once; gzip is undone again only if the result is still gzip.
 */
import { pipeline, Readable } from "node:stream";
import { createBrotliDecompress, createGunzip } from "node:zlib";
import type { ResponseFields } from "./response-fields.ts";

const GZIP_MAGIC = [0x1f, 0x8b];
/** Maximum number of codings that are undone, so that a short header cannot cause much work. */
const MAX_CODINGS = 3;

/** The codings of a body in the order of their application, in lower case. */
export function contentCodingsOf(fields: ResponseFields): string[] {
  return fields
    .list("content-encoding")
    .map((coding) => coding.toLowerCase().replace(/^x-gzip$/, "gzip"))
    .filter((coding) => coding !== "identity");
}

/** True if `unpack` supports all of the codings. */
export function canUnpack(codings: readonly string[]): boolean {
  return codings.length <= MAX_CODINGS && codings.every((coding) => coding === "gzip" || coding === "br");
}

/** Maximum size of a coded body that may be this large decoded: a coding adds little to data that it cannot compress. */
export function maxPackedBytes(maxBytes: number): number {
  return maxBytes + Math.ceil(maxBytes / 64) + 1024;
}

/** The decoded body. `null` if it has more than `maxBytes` bytes. Rejects if the body is not in these codings. */
export async function unpack(body: Buffer, codings: readonly string[], maxBytes: number): Promise<Buffer | null> {
  if (codings.length === 0) return body;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of decoded(Readable.from([body]), codings)) {
    length += chunk.length;
    // Leaving the loop ends all stages.
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** An error of one stage, or the end of the iteration, ends all stages. */
function decoded(body: Readable, codings: readonly string[]): AsyncIterable<Buffer> {
  let stream = body;
  let previous: string | null = null;
  for (const coding of codings.toReversed()) {
    if (coding === "br" && previous !== "br") stream = pipeline(stream, createBrotliDecompress(), () => {});
    if (coding === "gzip") {
      stream = previous === "gzip" ? Readable.from(gunzipAgain(stream)) : pipeline(stream, createGunzip(), () => {});
    }
    previous = coding;
  }
  return stream;
}

/** Passes on data that is not gzip. */
async function* gunzipAgain(body: Readable): AsyncGenerator<Buffer> {
  const chunks: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
  async function* following(): AsyncGenerator<Buffer> {
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
  }
  try {
    let start = Buffer.alloc(0);
    while (start.length < GZIP_MAGIC.length) {
      const next = await chunks.next();
      if (next.done === true) break;
      start = Buffer.concat([start, next.value]);
    }
    const whole = Readable.from(concatenated([start], following()));
    yield* GZIP_MAGIC.every((byte, i) => start[i] === byte) ? pipeline(whole, createGunzip(), () => {}) : whole;
  } finally {
    await chunks.return?.();
  }
}

async function* concatenated(start: readonly Buffer[], rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* start;
  yield* rest;
}
