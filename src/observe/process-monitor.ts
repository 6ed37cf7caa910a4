/** Numbers of this process: event loop, garbage collector, memory, CPU. */
import { constants, type PerformanceEntry, PerformanceObserver, performance } from "node:perf_hooks";
import { type BucketCounts, LatencyHistogram } from "../telemetry/latency-histogram.ts";

const LOOK_MS = 100;

/** Since the start of the process or of the monitor; memory as it is now. */
export interface ProcessNumbers {
  readonly uptimeSeconds: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly activeSeconds: number;
  readonly idleSeconds: number;
  readonly loopDelay: BucketCounts;
  /** By kind. */
  readonly collections: ReadonlyMap<string, BucketCounts>;
}

const kinds: Readonly<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: "major",
  [constants.NODE_PERFORMANCE_GC_MINOR]: "minor",
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: "incremental",
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: "weakcb",
};

/** Watches from when it is made until `stop`. */
export class ProcessMonitor {
  readonly loopDelay = new LatencyHistogram();
  private readonly collections = new Map(Object.values(kinds).map((kind) => [kind, new LatencyHistogram()]));
  private readonly timer: NodeJS.Timeout;
  private readonly observer: PerformanceObserver;

  constructor() {
    let expectedMs = performance.now() + LOOK_MS;
    this.timer = setInterval(() => {
      const nowMs = performance.now();
      this.loopDelay.add(Math.max(0, Math.round((nowMs - expectedMs) * 1000)));
      expectedMs = nowMs + LOOK_MS;
    }, LOOK_MS).unref();
    this.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { kind } = (entry as GcEntry).detail;
        this.collections.get(kinds[kind] ?? "")?.add(Math.round(entry.duration * 1000));
      }
    });
    this.observer.observe({ entryTypes: ["gc"] });
  }

  read(): ProcessNumbers {
    const { rss, heapUsed, external } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const { active, idle } = performance.eventLoopUtilization();
    return {
      uptimeSeconds: process.uptime(),
      userSeconds: user / 1e6,
      systemSeconds: system / 1e6,
      residentBytes: rss,
      heapBytes: heapUsed,
      externalBytes: external,
      activeSeconds: active / 1000,
      idleSeconds: idle / 1000,
      loopDelay: this.loopDelay.read(),
      collections: new Map([...this.collections].map(([kind, pauses]) => [kind, pauses.read()])),
    };
  }

  stop(): void {
    clearInterval(this.timer);
    this.observer.disconnect();
  }
}

/** An entry of the garbage collector (Node's documentation of PerformanceObserver). */
interface GcEntry extends PerformanceEntry {
  readonly detail: { readonly kind: number };
}
