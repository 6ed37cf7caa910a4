/**
 * The memory limit of a process (`max_memory`). When the memory in use approaches the limit, memory is released in steps,
 * the least important first:
 *
 *     share of the limit   0.65 copies of hot keys · 0.70 held values · 0.75 tracked keys · 0.80 fills · 0.83 clients · 0.86 connections
 *
 * A step ends when the memory in use has decreased by `HYSTERESIS`. The memory in use is V8's heap, buffers, and the other
 * memory of the process. The resident set is larger: the C library keeps freed memory for reuse. That memory only counts
 * as far as the resident set exceeds nine tenths of the limit, so that a process that was full can recover. Released
 * memory counts as free until the garbage collector, which is called for it, has run.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock, Timer } from "../clock.ts";
import { watchAllocations } from "../proxy/wire/allocations.ts";
import type { BurstLog } from "../telemetry/burst-log.ts";

/** The steps in order, and the share of the limit at which each begins. */
export const memorySteps = {
  near: 0.65,
  held: 0.7,
  tracked: 0.75,
  fills: 0.8,
  clients: 0.83,
  connections: 0.86,
} as const;
export type MemoryStep = keyof typeof memorySteps;
const stepNames = Object.keys(memorySteps) as readonly MemoryStep[];

const HYSTERESIS = 0.05;
/** Freed memory that the C library keeps counts as used as far as the resident set exceeds this share of the limit. */
const RETAINED_FROM = 0.9;
const CHECK_MS = 100;
/** Interval of checks after the first step (ms). */
const NEAR_CHECK_MS = 20;
/** Minimum time between garbage collections (ms). It doubles after each collection that frees little. */
const LEAST_COLLECT_MS = 50;
const MOST_COLLECT_MS = 10_000;
/** Minimum time between two collections, as a multiple of the duration of the last one. */
const COLLECT_SHARE = 2;
const LITTLE = 0.02;
/** Minimum of the memory outside of heap and buffers, as a share of its first value. */
const LEAST_UNKNOWN = 0.5;

const messages: Readonly<Record<MemoryStep, string>> = {
  near: "the copies of hot keys are dropped",
  held: "values held for the pool are dropped",
  tracked: "the least needed tracked keys are dropped",
  fills: "misses are not filled",
  clients: "the clients with the most unread or unfinished bytes are cut off",
  connections: "new clients and large values are refused",
};

/** Releases memory. Each function returns the approximate number of bytes that it released. */
export interface Sheds {
  /** Drops all copies of hot keys. */
  near(): number;
  /** Drops all held values. */
  held(): number;
  /** Drops tracked keys of about this size. */
  tracked(bytes: number): number;
  /** Closes clients with about this size. */
  clients(bytes: number): number;
}

/** Source of the memory numbers; replaced in tests. */
export interface MemoryReading {
  /** The resident set, and the part of it that V8 reports: its heap and external buffers. */
  read(): { readonly residentBytes: number; readonly knownBytes: number };
  /** Calls the garbage collector. */
  collect(): void;
}

/** The memory limit of one process. */
export class MemoryBound {
  /** Number of times that each step was taken; for `fills` and `connections`, the number of refusals. */
  readonly counts: Record<MemoryStep, number> = { near: 0, held: 0, tracked: 0, fills: 0, clients: 0, connections: 0 };
  private readonly maxBytes: () => number;
  private readonly sheds: Sheds;
  private readonly clock: Clock;
  private readonly bursts: BurstLog;
  private readonly reading: MemoryReading;
  private readonly active = new Set<MemoryStep>();
  private timer: Timer | null = null;
  private unwatch: (() => void) | null = null;
  private isCheckDue = false;
  /**
   * The memory outside of heap and buffers: the observed minimum, with a lower bound. Buffers without written data are
   * reported but not resident, so the observed value may be too small, even negative.
   */
  private unknownBytes = Number.POSITIVE_INFINITY;
  private leastUnknownBytes = Number.NEGATIVE_INFINITY;
  /** Bytes released since the last garbage collection. */
  private shedBytes = 0;
  private collectedMs = Number.NEGATIVE_INFINITY;
  private collectEveryMs = LEAST_COLLECT_MS;
  /** Duration of the last collection. */
  private collectTookMs = 0;

  /** `maxBytes` returns the configured limit. 0 means no limit. */
  constructor(
    maxBytes: () => number,
    sheds: Sheds,
    clock: Clock,
    bursts: BurstLog,
    reading: MemoryReading = processReading,
  ) {
    this.maxBytes = maxBytes;
    this.sheds = sheds;
    this.clock = clock;
    this.bursts = bursts;
    this.reading = reading;
  }

  start(): void {
    this.noteUnknown(this.reading.read());
    this.unwatch = watchAllocations(() => this.checkSoon());
    this.waitForCheck();
  }

  stop(): void {
    this.unwatch?.();
    this.unwatch = null;
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }

  /** True if a miss must not be filled now. Counts the refusal. */
  refusesFill(): boolean {
    return this.refuses("fills");
  }

  /** True if a client must not be accepted now. Counts the refusal. */
  refusesConnection(): boolean {
    return this.refuses("connections");
  }

  /** True while clients may only store small values. */
  get refusesLargeValues(): boolean {
    return this.active.has("connections");
  }

  /** Checks the memory in use, and takes or ends steps. */
  check(): void {
    const max = this.maxBytes();
    if (max === 0) {
      this.active.clear();
      return;
    }
    let used = this.usedBytes(max) - this.shedBytes;
    for (const step of stepNames) {
      const from = memorySteps[step] * max;
      if (used >= from) used -= this.take(step, used - from);
      else if (used < from - HYSTERESIS * max) this.active.delete(step);
    }
    if (this.shedBytes > 0 || used >= memorySteps.held * max) this.collect(max);
  }

  private refuses(step: MemoryStep): boolean {
    if (!this.active.has(step)) return false;
    this.counts[step]++;
    return true;
  }

  /** Takes a step. Returns the number of released bytes. */
  private take(step: MemoryStep, overBytes: number): number {
    if (!this.active.has(step)) {
      this.active.add(step);
      this.bursts.say("warn", "serve", `memory ${step}`, `near max_memory: ${messages[step]}`);
    }
    if (step === "fills" || step === "connections") return 0;
    const bytes = this.sheds[step](overBytes);
    if (bytes > 0) this.counts[step]++;
    this.shedBytes += bytes;
    return bytes;
  }

  private usedBytes(max: number): number {
    const reading = this.reading.read();
    this.noteUnknown(reading);
    const { residentBytes, knownBytes } = reading;
    const used = this.unknownBytes + knownBytes;
    const retained = Math.max(0, residentBytes - used);
    return used + Math.min(retained, Math.max(0, residentBytes - RETAINED_FROM * max));
  }

  private noteUnknown({ residentBytes, knownBytes }: ReturnType<MemoryReading["read"]>): void {
    const bytes = Math.max(0, residentBytes - knownBytes);
    if (this.unknownBytes === Number.POSITIVE_INFINITY) this.leastUnknownBytes = bytes * LEAST_UNKNOWN;
    this.unknownBytes = Math.max(this.leastUnknownBytes, Math.min(this.unknownBytes, bytes));
  }

  private collect(max: number): void {
    const nowMs = this.clock.nowMs();
    const everyMs = this.shedBytes > 0 ? LEAST_COLLECT_MS : this.collectEveryMs;
    if (nowMs - this.collectedMs < Math.max(everyMs, COLLECT_SHARE * this.collectTookMs)) return;
    const before = this.usedBytes(max);
    this.reading.collect();
    this.collectedMs = this.clock.nowMs();
    this.collectTookMs = this.collectedMs - nowMs;
    this.shedBytes = 0;
    const freed = before - this.usedBytes(max);
    this.collectEveryMs =
      freed < LITTLE * before ? Math.min(2 * this.collectEveryMs, MOST_COLLECT_MS) : LEAST_COLLECT_MS;
  }

  private checkSoon(): void {
    if (this.isCheckDue || this.maxBytes() === 0) return;
    this.isCheckDue = true;
    // Not during an allocation: a client's bytes must not be in use when the client is closed.
    setImmediate(() => {
      this.isCheckDue = false;
      if (this.timer !== null) this.check();
    });
  }

  private waitForCheck(): void {
    this.timer = this.clock.setTimer(this.active.size > 0 ? NEAR_CHECK_MS : CHECK_MS, () => {
      this.check();
      this.waitForCheck();
    });
  }
}

let collector: (() => void) | null = null;

const processReading: MemoryReading = {
  read: () => {
    const { rss, heapTotal, external } = process.memoryUsage();
    return { residentBytes: rss, knownBytes: heapTotal + external };
  },
  collect: () => {
    if (collector === null) {
      setFlagsFromString("--expose-gc");
      collector = runInNewContext("gc") as () => void;
    }
    collector();
  },
};
