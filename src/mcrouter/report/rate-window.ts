/**
 * Monotonic counters → their recent rates. As in mcrouter, there is one sample per second, over four minutes.
 */
import type { Clock, Timer } from "../../clock.ts";

const SAMPLES = 240;
const SAMPLE_MS = 1_000;

/** Samples the counters of `read`. */
export class RateWindow {
  private readonly clock: Clock;
  private readonly read: () => ReadonlyMap<string, number>;
  private readonly samples: { readonly atMs: number; readonly totals: ReadonlyMap<string, number> }[] = [];
  private timer: Timer | null = null;

  constructor(clock: Clock, read: () => ReadonlyMap<string, number>) {
    this.clock = clock;
    this.read = read;
    this.sample();
  }

  stop(): void {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }

  /** Rates per second by name, over the window or since the start. */
  rates(): ReadonlyMap<string, number> {
    const first = this.samples[0]!;
    const seconds = Math.max(1, (this.clock.nowMs() - first.atMs) / 1000);
    return new Map([...this.read()].map(([name, total]) => [name, (total - (first.totals.get(name) ?? 0)) / seconds]));
  }

  private sample(): void {
    this.samples.push({ atMs: this.clock.nowMs(), totals: this.read() });
    if (this.samples.length > SAMPLES) this.samples.shift();
    this.timer = this.clock.setTimer(SAMPLE_MS, () => this.sample());
  }
}
