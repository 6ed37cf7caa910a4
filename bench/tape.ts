/**
 * Requests and the replies they must get, laid out before the measuring starts as two tapes that are read in step:
 *
 *     requests  | get bench:004711 | get bench:000042 | …        requestEnds  [18, 36, …]
 *     replies   | VALUE … END      | VALUE … END      | …        replyEnds    [137, 274, …]
 *
 * Several requests in a row are one slice, and checking a chunk of replies is one comparison with the tape. Both tapes
 * are endless: after the last request comes the first. A multiget must be answered in the order of its keys; memcached,
 * twemproxy and mcrouter all do so.
 */

import type { Job } from "./job.ts";

/** Keys `bench:000000` and up; every competitor is preloaded with all of them. */
export const keyCount = 10_000;
const valueBytes = 100;

/** Ends are byte offsets just past each request or reply. */
export interface Tape {
  readonly requests: Buffer;
  readonly requestEnds: Uint32Array;
  readonly replies: Buffer;
  readonly replyEnds: Uint32Array;
}

/** The tape of a job. Every key is on it once, in an order that is shuffled but the same in every run. */
export function buildTape(job: Pick<Job, "operation" | "keysPerRequest">): Tape {
  const order = shuffledKeys();
  const requests: string[] = [];
  const replies: string[] = [];
  for (let first = 0; first + job.keysPerRequest <= order.length; first += job.keysPerRequest) {
    const numbers = order.slice(first, first + job.keysPerRequest);
    if (job.operation === "set") {
      requests.push(...numbers.map((n) => `set ${key(n)} 0 0 ${valueBytes}\r\n${value(n)}\r\n`));
      replies.push(...numbers.map(() => "STORED\r\n"));
    } else {
      requests.push(`get ${numbers.map(key).join(" ")}\r\n`);
      replies.push(`${numbers.map((n) => `VALUE ${key(n)} 0 ${valueBytes}\r\n${value(n)}\r\n`).join("")}END\r\n`);
    }
  }
  return {
    requests: Buffer.from(requests.join(""), "latin1"),
    requestEnds: ends(requests),
    replies: Buffer.from(replies.join(""), "latin1"),
    replyEnds: ends(replies),
  };
}

function key(n: number): string {
  return `bench:${String(n).padStart(6, "0")}`;
}

/** Letters that follow from the key's number alone, so that a value under the wrong key is noticed. */
function value(n: number): string {
  const next = randomFrom(n + 1);
  let text = "";
  while (text.length < valueBytes) text += String.fromCharCode(97 + (next() % 26));
  return text;
}

function shuffledKeys(): number[] {
  const next = randomFrom(keyCount);
  const order = Array.from({ length: keyCount }, (_, n) => n);
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

function ends(parts: readonly string[]): Uint32Array {
  const offsets = new Uint32Array(parts.length);
  let end = 0;
  for (let i = 0; i < parts.length; i++) {
    end += parts[i]!.length;
    offsets[i] = end;
  }
  return offsets;
}
