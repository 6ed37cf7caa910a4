/**
 * Data for the page's plots: one sample per second of the last hour, in memory.
 */
import type { Clock, Timer } from "../../clock.ts";
import { type Durations, durationsTogether, quantileSince } from "../../telemetry/durations.ts";
import type { RuleNumbers, Sample, SampledNumbers } from "../snapshot.ts";

const SECONDS = 3600;
const SAMPLE_MS = 1_000;

/** Takes samples from its creation until `stop`. */
export class History {
  private readonly clock: Clock;
  private readonly read: () => SampledNumbers;
  private readonly samples: Sample[] = [];
  /** Index of the next sample once the buffer is full. */
  private next = 0;
  private before: SampledNumbers;
  private beforeMs: number;
  private timer: Timer;

  constructor(clock: Clock, read: () => SampledNumbers) {
    this.clock = clock;
    this.read = read;
    this.before = read();
    this.beforeMs = clock.nowMs();
    this.timer = this.setTimer();
  }

  all(): Sample[] {
    return [...this.samples.slice(this.next), ...this.samples.slice(0, this.next)];
  }

  /** The newest sample. `null` if absent yet. */
  last(): Sample | null {
    return this.samples.at(this.next - 1) ?? null;
  }

  stop(): void {
    this.clock.clearTimer(this.timer);
  }

  private setTimer(): Timer {
    return this.clock.setTimer(SAMPLE_MS, () => {
      this.take();
      this.timer = this.setTimer();
    });
  }

  private take(): void {
    const now = this.read();
    const nowMs = this.clock.nowMs();
    const seconds = Math.max(0.001, (nowMs - this.beforeMs) / 1000);
    const sample = sampleOf(this.before, now, seconds, this.clock.unixSeconds());
    this.before = now;
    this.beforeMs = nowMs;
    if (this.samples.length < SECONDS) {
      this.samples.push(sample);
    } else {
      this.samples[this.next] = sample;
      this.next = (this.next + 1) % SECONDS;
    }
  }
}

function sampleOf(before: SampledNumbers, now: SampledNumbers, seconds: number, unixSeconds: number): Sample {
  // A reload can remove rules and sources together with their counts.
  const perSecond = (amount: (numbers: SampledNumbers) => number) =>
    Math.round((Math.max(0, amount(now) - amount(before)) / seconds) * 10) / 10;
  const ofRules = (amount: (counters: RuleNumbers["counters"]) => number) =>
    perSecond(({ rules }) => sum(rules, ({ counters }) => amount(counters)));
  const quantile = (of: typeof latencyOf, share: number) => {
    const all = of(now);
    return all === null ? null : quantileSince(all, of(before), share);
  };
  return {
    unixSeconds,
    requests: perSecond(({ clients }) => sum(clients.requests, ({ latency }) => latency.count)),
    errors: perSecond(({ clients }) => sum(clients.requests, ({ serverErrors }) => serverErrors)),
    hits: perSecond(({ clients }) => clients.getHits),
    misses: perSecond(({ clients }) => clients.getMisses),
    filled: ofRules(({ answered }) => answered),
    fetches: perSecond(({ sources }) => sum(sources, ({ counters }) => counters.fetches)),
    refreshes: ofRules(({ refreshed, unchanged }) => refreshed + unchanged),
    clients: now.clients.connections,
    p50Ms: quantile(latencyOf, 0.5),
    p99Ms: quantile(latencyOf, 0.99),
    lagMs: quantile(lagOf, 0.99),
  };
}

/** Latency of all requests. `null` if there were no requests. */
function latencyOf({ clients }: SampledNumbers): Durations | null {
  return clients.requests.map(({ latency }) => latency).reduce<Durations | null>(together, null);
}

/** Refresh delay of all rules. `null` if there are no rules. */
function lagOf({ rules }: SampledNumbers): Durations | null {
  return rules.map(({ lag }) => lag).reduce<Durations | null>(together, null);
}

function together(one: Durations | null, other: Durations): Durations {
  return one === null ? other : durationsTogether(one, other);
}

function sum<Item>(items: readonly Item[], amount: (item: Item) => number): number {
  return items.reduce((total, item) => total + amount(item), 0);
}
