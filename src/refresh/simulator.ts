/**
 * The source calls of a fleet on virtual time: the real Filler, Scheduler and Limiter, over a pool in memory and a
 * source that is only a latency. No policy is duplicated here.
 *
 *     trace or synthetic gets ─► hit? record it ─► else fill ─► … the processes' own actions run on the virtual clock
 */
import type { RuleConfig } from "../config/config.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { SourceError } from "../errors.ts";
import { Status } from "../proxy/reply.ts";
import { Limiter } from "../sources/limiter.ts";
import type { Batching, FetchContext, FetchResult, Source } from "../sources/source.ts";
import { Histogram } from "../telemetry/histogram.ts";
import { FailedKeys } from "./failed-keys.ts";
import { Filler } from "./filler.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import { newRuleCounters, newRuleTimings, type Rule, Rules } from "./rules.ts";
import type { TrackingBounds } from "./schedule.ts";
import { Scheduler } from "./scheduler.ts";
import { Starts } from "./starts.ts";
import { VirtualClock } from "./virtual-clock.ts";

const START_UNIX_SECONDS = 1_700_000_000;
const STAMP_BYTES = 8;
const LONGEST_CHAIN = 24;
/** Values are served from a moment to days after their fetch. */
const AGE_BOUNDS_MS = Array.from({ length: 60 }, (_, i) => Math.round(100 * 1.26 ** i));

/** One get of a client. */
export interface SimulatedGet {
  readonly atMs: number;
  readonly key: string;
  /** The key as bytes. */
  readonly bytes: Buffer;
}

/** The pool of the fleet, on virtual time. */
export interface SimulatedPool {
  readonly port: PoolPort;
  /** The value of a key. `null` on a miss. */
  get(key: string): Buffer | null;
  /** Size of the stored data. */
  readonly byteLength: number;
}

export interface Simulation {
  readonly rule: RuleConfig;
  /** Only its limits are used; the source itself is not asked. */
  readonly source: SourceConfig;
  /** In order of time. */
  readonly gets: Iterable<SimulatedGet>;
  readonly processes: number;
  /** The source's calls for several keys. `null` if it has none. */
  readonly batching: Pick<Batching, "maxKeys" | "waitMs" | "refreshWaitMs"> | null;
  readonly latencyMs: number;
  /** Number of calls that the source handles at once; further calls queue in it. Infinity if there is no such limit. */
  readonly capacity: number;
  /** Share of failing fetches, 0 … 1. */
  readonly failureShare: number;
  /** If false, keys are filled on misses and never refreshed. */
  readonly isRefreshing: boolean;
  /** Limits of tracking in each process. */
  readonly bounds: TrackingBounds;
  readonly random: () => number;
  createPool(unixSeconds: () => number): SimulatedPool;
  /** Called at intervals with the simulated time. */
  progress?(atMs: number): void;
}

export interface SimulationResult {
  readonly gets: number;
  /** Gets found in the pool; found after a wait for the source; without a value. */
  readonly hits: number;
  readonly filled: number;
  readonly missed: number;
  readonly sourceCalls: number;
  /** Keys in these calls. */
  readonly sourceKeys: number;
  readonly sourceFailures: number;
  /** Calls that began in each second. */
  readonly callsBySecond: readonly number[];
  readonly peakConcurrency: number;
  /** Age of values when they were served (ms). */
  readonly age: Histogram;
  /** Time that gets waited for a fill (ms). */
  readonly wait: Histogram;
  readonly durationMs: number;
  /** Maximum number of keys that one process tracked. */
  readonly peakTracked: number;
  readonly poolBytes: number;
}

/** A source whose values are the times of their fetches. */
class LatencySource implements Source {
  readonly name = "simulated";
  calls = 0;
  keys = 0;
  failures = 0;
  running = 0;
  peakRunning = 0;
  readonly callsBySecond: number[] = [];
  readonly batching: Batching | null;
  private readonly simulation: Simulation;
  private readonly clock: VirtualClock;
  /** Times at which each of the source's own workers is free, if their number is limited. */
  private readonly freeAtMs: number[];

  constructor(simulation: Simulation, clock: VirtualClock) {
    this.simulation = simulation;
    this.clock = clock;
    this.freeAtMs = simulation.capacity === Number.POSITIVE_INFINITY ? [] : new Array(simulation.capacity).fill(0);
    const { batching } = simulation;
    this.batching = batching && {
      ...batching,
      // A turn of the event loop takes no virtual time, and its end is not an event of the clock.
      waitMs: Math.max(1, batching.waitMs),
      refreshWaitMs: Math.max(1, batching.refreshWaitMs),
      groupOf: () => "",
      fetchMany: async (requests: readonly FetchContext[]) => {
        const result = await this.call(requests.length);
        return requests.map(() => result);
      },
      describe: () => [],
    };
  }

  fetch(): Promise<FetchResult> {
    return this.call(1);
  }

  private call(keys: number): Promise<FetchResult> {
    const { failureShare, random } = this.simulation;
    this.calls++;
    this.keys += keys;
    this.peakRunning = Math.max(this.peakRunning, ++this.running);
    const second = Math.floor(this.clock.nowMs() / 1000);
    while (this.callsBySecond.length <= second) this.callsBySecond.push(0);
    this.callsBySecond[second]!++;
    const isFailing = random() < failureShare;
    const value = Buffer.allocUnsafe(STAMP_BYTES);
    value.writeDoubleBE(this.clock.nowMs());
    return new Promise((resolve, reject) => {
      this.clock.setTimer(this.latencyMs(), () => {
        this.running--;
        if (isFailing) this.failures++;
        if (isFailing) reject(new SourceError("SOURCE_STATUS", "a simulated failure"));
        else resolve({ type: "value", value, tag: null, freshness: null });
      });
    });
  }

  async close(): Promise<void> {}

  /** The latency of a call that begins now. */
  private latencyMs(): number {
    const { latencyMs } = this.simulation;
    const { freeAtMs } = this;
    if (freeAtMs.length === 0) return latencyMs;
    const nowMs = this.clock.nowMs();
    const first = freeAtMs.indexOf(Math.min(...freeAtMs));
    const endMs = Math.max(nowMs, freeAtMs[first]!) + latencyMs;
    freeAtMs[first] = endMs;
    return endMs - nowMs;
  }
}

/** Runs the whole simulation. */
export async function simulate(simulation: Simulation): Promise<SimulationResult> {
  const clock = new VirtualClock(START_UNIX_SECONDS);
  const { rule: config, random } = simulation;
  const pool = simulation.createPool(() => clock.unixSeconds());
  const source = new LatencySource(simulation, clock);
  const processes = Array.from({ length: simulation.processes }, () => {
    // Each process limits its own source calls.
    const limiter = new Limiter(source, simulation.source, clock);
    const rule: Rule = { config, source: limiter, counters: newRuleCounters(), timings: newRuleTimings() };
    const log = { sourceFailed: () => {}, poolFailed: () => {}, observed: () => {} };
    const failedKeys = new FailedKeys(random);
    const shared = { rules: new Rules([rule]), port: pool.port, clock, log, failedKeys };
    const scheduler = new Scheduler({ ...shared, random, bounds: simulation.bounds });
    const events = simulation.isRefreshing
      ? scheduler
      : { populated: () => {}, traced: () => {}, got: () => {}, gotAll: () => {}, isTracked: () => false };
    // A turn of the event loop takes no virtual time: any number of fills may begin in one turn.
    return {
      scheduler,
      filler: new Filler({ ...shared, events, holdBytes: 0, starts: new Starts(Number.POSITIVE_INFINITY) }),
    };
  });
  const result = {
    gets: 0,
    hits: 0,
    filled: 0,
    missed: 0,
    age: new Histogram(AGE_BOUNDS_MS),
    wait: new Histogram(),
    peakTracked: 0,
  };
  let lastMs = 0;
  let reportAt = 0;

  const age = (value: Buffer) => result.age.add(clock.nowMs() - value.readDoubleBE());
  for (const { atMs, key, bytes } of simulation.gets) {
    if (clock.nextMs <= atMs) await passTo(atMs);
    else clock.passTo(atMs);
    lastMs = atMs;
    result.gets++;
    const { filler, scheduler } = processes[Math.floor(random() * processes.length)]!;
    const value = pool.get(key);
    filler.noteGet(bytes, 0, bytes.length, value !== null);
    if (value !== null) {
      result.hits++;
      age(value);
    } else {
      ask(filler, key);
      await settle();
    }
    result.peakTracked = Math.max(result.peakTracked, scheduler.tracked);
    if (result.gets >= reportAt) {
      reportAt = result.gets + 100_000;
      simulation.progress?.(atMs);
    }
  }
  // Operations in progress end; refreshes would continue endlessly, so stop them.
  for (const { scheduler } of processes) scheduler.stop();
  await passTo(lastMs + simulation.source.timeoutMs);
  return {
    ...result,
    sourceCalls: source.calls,
    sourceKeys: source.keys,
    sourceFailures: source.failures,
    callsBySecond: source.callsBySecond,
    peakConcurrency: source.peakRunning,
    durationMs: lastMs,
    poolBytes: pool.byteLength,
  };

  function ask(filler: Filler, key: string): void {
    const askedMs = clock.nowMs();
    const isCovered = filler.fill(key, {
      filled: (reply) => {
        result.wait.add(clock.nowMs() - askedMs);
        if (reply.status !== Status.found) {
          result.missed++;
          return;
        }
        result.filled++;
        age(reply.chunk.subarray(reply.valueStart, reply.valueEnd));
      },
      askAgain: () => {
        if (pool.get(key) === null) result.missed++;
        else result.filled++;
      },
    });
    if (!isCovered) result.missed++;
  }

  async function passTo(ms: number): Promise<void> {
    while (clock.nextMs <= ms) {
      const before = busy();
      clock.fireNext();
      // After a tick without due keys, there is nothing to wait for.
      if (before > 0 || busy() > 0) await settle();
    }
    clock.passTo(ms);
  }

  function busy(): number {
    return processes.reduce((sum, { filler, scheduler }) => sum + filler.inFlight + scheduler.inFlight, 0);
  }
}

/**
 * Runs settled promises and their continuations: the longest chain between two timed events. This is much cheaper than
 * a turn of the event loop; a longer chain would continue at the next event.
 */
async function settle(): Promise<void> {
  for (let i = 0; i < LONGEST_CHAIN; i++) await null;
}
