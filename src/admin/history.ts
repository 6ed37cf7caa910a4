/**
 * What the page's plots show: a sample a second of the last hour, in memory.
 */
import type { Clock, Timer } from "../clock.ts";
import type { ClientCounters } from "../proxy/client/client-counters.ts";
import type { Rule } from "../refresh/rules.ts";
import type { Limiter } from "../sources/limiter.ts";
import { bucketBoundsMs as lagBoundsMs } from "../telemetry/histogram.ts";
import { LatencyHistogram } from "../telemetry/latency-histogram.ts";
import { quantileSince } from "../telemetry/recent-quantiles.ts";

const SECONDS = 3600;
const SAMPLE_MS = 1_000;

/** Of one second: amounts a second, times in ms; null: there was nothing to take the time of. */
export interface Sample {
  readonly unixSeconds: number;
  readonly requests: number;
  readonly errors: number;
  readonly hits: number;
  readonly misses: number;
  /** Of the hits those that came from a fill. */
  readonly filled: number;
  readonly fetches: number;
  readonly refreshes: number;
  readonly clients: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** By how much refreshes began late, the 99th percentile. */
  readonly lagMs: number | null;
}

/** What samples are taken of. */
export interface SampledFacts {
  readonly clients: ClientCounters;
  readonly rules: readonly Rule[];
  readonly sources: readonly Limiter[];
}

/** Amounts that only grow. */
interface Totals {
  readonly atMs: number;
  readonly requests: number;
  readonly errors: number;
  readonly hits: number;
  readonly misses: number;
  readonly filled: number;
  readonly fetches: number;
  readonly refreshes: number;
  readonly latency: Float64Array;
  readonly lag: Float64Array;
}

/** Takes samples from when it is made until `stop`. */
export class History {
  private readonly clock: Clock;
  private readonly facts: () => SampledFacts;
  private readonly samples: Sample[] = [];
  /** Where the next one goes once there is an hour of them. */
  private next = 0;
  private before: Totals;
  private timer: Timer;

  constructor(clock: Clock, facts: () => SampledFacts) {
    this.clock = clock;
    this.facts = facts;
    this.before = totalsOf(facts(), clock.nowMs());
    this.timer = this.setTimer();
  }

  /** Oldest first. */
  all(): Sample[] {
    return [...this.samples.slice(this.next), ...this.samples.slice(0, this.next)];
  }

  /** The newest; null: there is none yet. */
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
    const facts = this.facts();
    const now = totalsOf(facts, this.clock.nowMs());
    const sample = sampleOf(this.before, now, facts.clients.connections, this.clock.unixSeconds());
    this.before = now;
    if (this.samples.length < SECONDS) {
      this.samples.push(sample);
    } else {
      this.samples[this.next] = sample;
      this.next = (this.next + 1) % SECONDS;
    }
  }
}

/** Samples of several workers as one's: those of a second together. Times are those of the slowest. */
export function mergeSamples(workers: readonly (readonly Sample[])[]): Sample[] {
  const [first = [], ...others] = workers;
  const bySecond = others.map((samples) => new Map(samples.map((sample) => [sample.unixSeconds, sample])));
  return first.map((sample) => {
    const { unixSeconds } = sample;
    // Timers are not to the second.
    const same = bySecond.flatMap((samples) => samples.get(unixSeconds) ?? samples.get(unixSeconds - 1) ?? []);
    return same.reduce(together, sample);
  });
}

function together(one: Sample, other: Sample): Sample {
  return {
    unixSeconds: one.unixSeconds,
    requests: one.requests + other.requests,
    errors: one.errors + other.errors,
    hits: one.hits + other.hits,
    misses: one.misses + other.misses,
    filled: one.filled + other.filled,
    fetches: one.fetches + other.fetches,
    refreshes: one.refreshes + other.refreshes,
    clients: one.clients + other.clients,
    p50Ms: greater(one.p50Ms, other.p50Ms),
    p99Ms: greater(one.p99Ms, other.p99Ms),
    lagMs: greater(one.lagMs, other.lagMs),
  };
}

/** Null is less than any number. */
export function greater(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.max(one, other);
}

function totalsOf({ clients, rules, sources }: SampledFacts, atMs: number): Totals {
  const latency = new Float64Array(LatencyHistogram.boundsMs.length);
  let [requests, errors] = [0, 0];
  for (const { latency: own, serverErrors } of clients.requests.all()) {
    for (let bucket = 0; bucket < latency.length; bucket++) latency[bucket]! += own.counts[bucket]!;
    requests += own.count;
    errors += serverErrors;
  }
  const lag = new Float64Array(lagBoundsMs.length + 1);
  for (const { timings } of rules) {
    for (let bucket = 0; bucket < lag.length; bucket++) lag[bucket]! += timings.lag.counts[bucket]!;
  }
  const sum = (amount: (rule: Rule) => number) => rules.reduce((total, rule) => total + amount(rule), 0);
  return {
    atMs,
    requests,
    errors,
    hits: clients.getHits,
    misses: clients.getMisses,
    filled: sum(({ counters }) => counters.answered),
    fetches: sources.reduce((total, { counters }) => total + counters.fetches, 0),
    refreshes: sum(({ counters }) => counters.refreshed + counters.unchanged),
    latency,
    lag,
  };
}

function sampleOf(before: Totals, now: Totals, clients: number, unixSeconds: number): Sample {
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000);
  // A rule or a source that a reload has taken away takes its numbers along.
  const perSecond = (name: "requests" | "errors" | "hits" | "misses" | "filled" | "fetches" | "refreshes") =>
    rounded(Math.max(0, now[name] - before[name]) / seconds);
  const latency = { boundsMs: LatencyHistogram.boundsMs, counts: now.latency };
  const lag = { boundsMs: lagBoundsMs, counts: now.lag };
  return {
    unixSeconds,
    requests: perSecond("requests"),
    errors: perSecond("errors"),
    hits: perSecond("hits"),
    misses: perSecond("misses"),
    filled: perSecond("filled"),
    fetches: perSecond("fetches"),
    refreshes: perSecond("refreshes"),
    clients,
    p50Ms: quantileSince(latency, before.latency, 0.5),
    p99Ms: quantileSince(latency, before.latency, 0.99),
    lagMs: quantileSince(lag, before.lag, 0.99),
  };
}

function rounded(amount: number): number {
  return Math.round(amount * 10) / 10;
}
