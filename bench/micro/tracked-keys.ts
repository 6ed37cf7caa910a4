/**
 * The cost of a million tracked keys, in a separate process: bytes in addition to key and tag, resident memory, and the
 * time of steps that run for each key. Prints one line of JSON.
 *
 *     node --expose-gc bench/micro/tracked-keys.ts [KEYS]
 */

import { keyHash } from "../../src/proxy/hash/key-bytes-hash.ts";
import { TimingWheel } from "../../src/refresh/timing-wheel.ts";
import { Tracker } from "../../src/refresh/tracker.ts";

const count = Number(process.argv[2] ?? 1_000_000);
const KEY_BYTES = 30;
const TICK_MS = 100;

const collect = (globalThis as { gc?: () => void }).gc;
if (collect === undefined) throw new Error("run with --expose-gc");

/** Like the first get of a key: makes a new string. */
function nameOf(n: number): string {
  return Buffer.from(`key:${n}:`.padEnd(KEY_BYTES, "x"), "latin1").toString("latin1");
}

function heapBytes(): number {
  collect!();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function nanosEach(run: () => void): number {
  const start = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - start) / count;
}

// Subtract the cost of the names.
let names: string[] | null = Array.from({ length: count }, (_, n) => nameOf(n));
collect();
const rssBefore = process.memoryUsage.rss();
const heapBefore = heapBytes();
const wheel = new TimingWheel(TICK_MS, 0, Tracker.firstCapacity);
const tracker = new Tracker(count, (capacity) => wheel.grow(capacity), Math.random);
const trackNanos = nanosEach(() => {
  for (const [n, name] of names!.entries()) {
    const slot = tracker.track(name, 0, 0, () => {});
    tracker.remember(slot, { cas: BigInt(n + 1), digest: BigInt(n + 1), tag: null });
    tracker.setTimes(slot, 600, 600);
    wheel.schedule(slot, (n % 60_000) + 1);
  }
});
const ownBytes = heapBytes() - heapBefore;
const rssBytes = process.memoryUsage.rss() - rssBefore + namesBytes();
const bytes = names.map((name) => Buffer.from(name, "latin1"));
const noteNanos = nanosEach(() => {
  for (const key of bytes) tracker.noteGet(keyHash(key, 0, key.length), 5);
});
names = null;
let due = 0;
const dueNanos = nanosEach(() => {
  for (let ms = 0; ms <= 61_000; ms += TICK_MS) {
    wheel.advance(ms, count, (slot) => {
      due++;
      wheel.schedule(slot, ms + 60_000);
    });
  }
});
process.stdout.write(
  `${JSON.stringify({ count, due, bytesPerKey: ownBytes / count, rssBytes, trackNanos, noteNanos, dueNanos })}\n`,
);

/** The names exist before; a process holds them only to track keys. */
function namesBytes(): number {
  // A string with one byte per character: a header of 16 bytes, rounded up to 8, and a pointer in an array.
  return count * (16 + Math.ceil(KEY_BYTES / 8) * 8);
}
