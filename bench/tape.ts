/**
 * Requests and their expected replies, prepared before the measurement as two tapes that are read in parallel:
 *
 *     requests  | get bench:004711 | get bench:000042 | …        requestEnds  [18, 36, …]
 *     replies   | VALUE … END      | VALUE … END      | …        replyEnds    [137, 274, …]
 *
 * Several consecutive requests are one slice, and a chunk of replies is checked with one comparison. Both tapes are
 * endless: the first request follows the last. A multiget must be answered in the order of its keys; memcached,
 * twemproxy and mcrouter do that.
 */

import { ZipfSampler } from "../src/refresh/zipf.ts";
import type { Job } from "./job.ts";

/** Number of keys for values of the usual size. Larger values have fewer keys. */
const MAX_KEYS = 10_000;
const MAX_STORED_BYTES = 48 * 2 ** 20;
const GETS_FOR_A_SET = 9;
const USUAL_VALUE_BYTES = 100;

/** Ends are the byte offsets after each request or reply. */
export interface Tape {
  readonly requests: Buffer;
  readonly requestEnds: Uint32Array;
  readonly replies: Buffer;
  readonly replyEnds: Uint32Array;
}

const ZIPF_KEYS = 1_000_000;
const ZIPF_REQUESTS = 200_000;
const ONE_KEY_REQUESTS = 10_000;

/** Number of keys for values of this size. Each competitor is preloaded with all of them. */
export function keyCountFor(valueBytes: number): number {
  return Math.max(8, Math.min(MAX_KEYS, Math.floor(MAX_STORED_BYTES / valueBytes)));
}

/** The tape of a job. Each key occurs once, in a shuffled order that is identical in each run. */
export function buildTape(job: Pick<Job, "operation" | "keysPerRequest" | "valueBytes">): Tape {
  const { operation, keysPerRequest, valueBytes } = job;
  const order = orderOf(operation, valueBytes);
  const requests: Buffer[] = [];
  const replies: Buffer[] = [];
  for (let first = 0; first + keysPerRequest <= order.length; first += keysPerRequest) {
    const numbers = order.slice(first, first + keysPerRequest);
    const isSet =
      operation === "set" || operation === "zipf set" || (operation === "mix" && first % (GETS_FOR_A_SET + 1) === 0);
    const [request, reply] = isSet ? setOf(numbers[0]!, valueBytes) : getOf(operation, numbers, valueBytes);
    requests.push(request);
    replies.push(reply);
  }
  return {
    requests: Buffer.concat(requests),
    requestEnds: ends(requests),
    replies: Buffer.concat(replies),
    replyEnds: ends(replies),
  };
}

function setOf(n: number, valueBytes: number): [Buffer, Buffer] {
  const text = `set ${key(n, valueBytes)} 0 0 ${valueBytes}\r\n${value(n, valueBytes)}\r\n`;
  return [Buffer.from(text, "latin1"), Buffer.from("STORED\r\n", "latin1")];
}

function getOf(operation: Job["operation"], numbers: readonly number[], valueBytes: number): [Buffer, Buffer] {
  const [first] = numbers as [number];
  switch (operation) {
    case "meta":
      return [
        Buffer.from(`mg ${key(first, valueBytes)} v\r\n`, "latin1"),
        Buffer.from(`VA ${valueBytes}\r\n${value(first, valueBytes)}\r\n`, "latin1"),
      ];
    case "binary":
      return binaryGet(key(first, valueBytes), value(first, valueBytes));
    case "fill": {
      // The source returns the key.
      const name = fillKey(first);
      const block = `VALUE ${name} 0 ${name.length}\r\n${name}\r\nEND\r\n`;
      return [Buffer.from(`get ${name}\r\n`, "latin1"), Buffer.from(block, "latin1")];
    }
    default: {
      const text = `get ${numbers.map((n) => key(n, valueBytes)).join(" ")}\r\n`;
      const blocks = numbers.map((n) => `VALUE ${key(n, valueBytes)} 0 ${valueBytes}\r\n${value(n, valueBytes)}\r\n`);
      return [Buffer.from(text, "latin1"), Buffer.from(`${blocks.join("")}END\r\n`, "latin1")];
    }
  }
}

const BINARY_HEADER_BYTES = 24;
/** getk: its reply contains the key. */
const GETK = 0x0c;

/** A getk and its reply. The reply's cas comes from the server and is not compared. */
function binaryGet(name: string, text: string): [Buffer, Buffer] {
  const request = Buffer.alloc(BINARY_HEADER_BYTES + name.length);
  request[0] = 0x80;
  request[1] = GETK;
  request.writeUInt16BE(name.length, 2);
  request.writeUInt32BE(name.length, 8);
  request.write(name, BINARY_HEADER_BYTES, "latin1");
  const reply = Buffer.alloc(BINARY_HEADER_BYTES + 4 + name.length + text.length);
  reply[0] = 0x81;
  reply[1] = GETK;
  reply.writeUInt16BE(name.length, 2);
  reply[4] = 4;
  reply.writeUInt32BE(4 + name.length + text.length, 8);
  reply.write(name, BINARY_HEADER_BYTES + 4, "latin1");
  reply.write(text, BINARY_HEADER_BYTES + 4 + name.length, "latin1");
  return [request, reply];
}

/** Position of the cas in the header of a binary reply. */
export const BINARY_CAS = { start: 16, end: 24 } as const;

/** A key of the operation "fill". */
export function fillKey(n: number): string {
  return `fill:${String(n).padStart(6, "0")}`;
}

function key(n: number, valueBytes: number): string {
  const group = valueBytes === USUAL_VALUE_BYTES ? "bench" : `bench${valueBytes}`;
  return `${group}:${String(n).padStart(6, "0")}`;
}

/** Letters that derive only from the key's number, so that a value under the wrong key is detected. */
function value(n: number, valueBytes: number): string {
  const next = randomFrom(n + 1);
  const length = Math.min(valueBytes, USUAL_VALUE_BYTES);
  let text = "";
  while (text.length < length) text += String.fromCharCode(97 + (next() % 26));
  return text.repeat(Math.ceil(valueBytes / length)).slice(0, valueBytes);
}

/** The numbers of the requested keys, in order. */
function orderOf(operation: Job["operation"], valueBytes: number): number[] {
  switch (operation) {
    case "zipf":
      return zipfKeys();
    case "zipf set":
      return [...new Set(zipfKeys())];
    case "one":
      return new Array(ONE_KEY_REQUESTS).fill(0);
    default:
      return shuffledKeys(keyCountFor(valueBytes));
  }
}

/** Number of keys that "zipf" requests. */
export function zipfKeyCount(): number {
  return new Set(zipfKeys()).size;
}

function zipfKeys(): number[] {
  const next = randomFrom(1);
  const sampler = new ZipfSampler(ZIPF_KEYS, 1, () => next() / 2 ** 32);
  return Array.from({ length: ZIPF_REQUESTS }, () => sampler.next());
}

function shuffledKeys(count: number): number[] {
  const next = randomFrom(count);
  const order = Array.from({ length: count }, (_, n) => n);
  for (let i = order.length - 1; i > 0; i--) {
    const j = next() % (i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** Marsaglia's xorshift32, after a multiplication that spreads neighbouring seeds. `seed` is not 0. */
function randomFrom(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1);
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function ends(parts: readonly Buffer[]): Uint32Array {
  const offsets = new Uint32Array(parts.length);
  let end = 0;
  for (let i = 0; i < parts.length; i++) {
    end += parts[i]!.length;
    offsets[i] = end;
  }
  return offsets;
}
