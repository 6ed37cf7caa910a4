/** Measures delays of this process: its event loop and the garbage collector. */
import { constants, type PerformanceEntry, PerformanceObserver, performance } from "node:perf_hooks";
import type { Durations } from "../telemetry/durations.ts";
import { LatencyHistogram } from "../telemetry/latency-histogram.ts";

const LOOK_MS = 100;

const kinds: Readonly<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: "major",
  [constants.NODE_PERFORMANCE_GC_MINOR]: "minor",
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: "incremental",
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: "weakcb",
};

export class ProcessMonitor {
  private readonly delays = new LatencyHistogram();
  private readonly pauses = new Map(Object.values(kinds).map((kind) => [kind, new LatencyHistogram()]));
  private timer: NodeJS.Timeout | null = null;
  private observer: PerformanceObserver | null = null;

  start(): void {
    if (this.timer !== null) return;
    let expectedMs = performance.now() + LOOK_MS;
    this.timer = setInterval(() => {
      const nowMs = performance.now();
      this.delays.add(Math.max(0, Math.round((nowMs - expectedMs) * 1000)));
      expectedMs = nowMs + LOOK_MS;
    }, LOOK_MS).unref();
    this.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { kind } = (entry as GcEntry).detail;
        this.pauses.get(kinds[kind] ?? "")?.add(Math.round(entry.duration * 1000));
      }
    });
    this.observer.observe({ entryTypes: ["gc"] });
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.observer?.disconnect();
  }

  /** Delay of timers. */
  get loopDelay(): Durations {
    return this.delays.read();
  }

  /** Garbage collections by kind. */
  get collections(): Readonly<Record<string, Durations>> {
    return Object.fromEntries([...this.pauses].map(([kind, pauses]) => [kind, pauses.read()]));
  }
}

/** An entry of the garbage collector (Node's documentation of PerformanceObserver). */
interface GcEntry extends PerformanceEntry {
  readonly detail: { readonly kind: number };
}
