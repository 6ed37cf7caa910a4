/**
 * What a fleet would ask of a source, on virtual time: the server's own Filler, Scheduler and Limiter, over a pool in
 * memory and a source that is only a latency. Nothing about policy is repeated here.
 *
 *     trace or synthetic gets ─► hit? note it ─► else fill ─► … what the processes do by themselves hangs on the clock
 */
import type { RuleConfig } from "../config/config.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { SourceError } from "../errors.ts";
import { Status } from "../proxy/reply.ts";
import { Limiter } from "../sources/limiter.ts";
import type { FetchResult, Source } from "../sources/source.ts";
import { Histogram } from "../telemetry/histogram.ts";
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
/** Values are served from a moment to days after they were fetched. */
const AGE_BOUNDS_MS = Array.from({ length: 60 }, (_, i) => Math.round(100 * 1.26 ** i));

/** One get of a client. */
export interface SimulatedGet {
  readonly atMs: number;
  readonly key: string;
  /** The same as bytes. */
  readonly bytes: Buffer;
}

/** The pool of the fleet, with its time from the simulation. */
export interface SimulatedPool {
  readonly port: PoolPort;
  /** The value under a key; null: none. */
  get(key: string): Buffer | null;
  /** Bytes of what is stored. */
  readonly byteLength: number;
}

export interface Simulation {
  readonly rule: RuleConfig;
  /** Its bounds; what it does is not asked. */
  readonly source: SourceConfig;
  /** In the order of time. */
  readonly gets: Iterable<SimulatedGet>;
  readonly processes: number;
  readonly latencyMs: number;
  /** Share of fetches that fail, 0 … 1. */
  readonly failureShare: number;
  /** False: keys are filled on misses and never refreshed. */
  readonly isRefreshing: boolean;
  /** What each process may track. */
  readonly bounds: TrackingBounds;
  readonly random: () => number;
  createPool(unixSeconds: () => number): SimulatedPool;
  /** Called now and then with the time that has been simulated. */
  progress?(atMs: number): void;
}

export interface SimulationResult {
  readonly gets: number;
  /** Found in the pool; found after a wait for the source; not given at all. */
  readonly hits: number;
  readonly filled: number;
  readonly missed: number;
  readonly sourceCalls: number;
  readonly sourceFailures: number;
  /** Calls begun in each second. */
  readonly callsBySecond: readonly number[];
  readonly peakConcurrency: number;
  /** Ms since a value was fetched, when it was served. */
  readonly age: Histogram;
  /** Ms that gets waited for a fill. */
  readonly wait: Histogram;
  readonly durationMs: number;
  /** Most keys that one process tracked. */
  readonly peakTracked: number;
  readonly poolBytes: number;
}

/** A source whose values are the time they were fetched at. */
class LatencySource implements Source {
  readonly name = "simulated";
  calls = 0;
  failures = 0;
  running = 0;
  peakRunning = 0;
  readonly callsBySecond: number[] = [];
  private readonly simulation: Simulation;
  private readonly clock: VirtualClock;

  constructor(simulation: Simulation, clock: VirtualClock) {
    this.simulation = simulation;
    this.clock = clock;
  }

  fetch(): Promise<FetchResult> {
    const { latencyMs, failureShare, random } = this.simulation;
    this.calls++;
    this.peakRunning = Math.max(this.peakRunning, ++this.running);
    const second = Math.floor(this.clock.nowMs() / 1000);
    while (this.callsBySecond.length <= second) this.callsBySecond.push(0);
    this.callsBySecond[second]!++;
    const isFailing = random() < failureShare;
    const value = Buffer.allocUnsafe(STAMP_BYTES);
    value.writeDoubleBE(this.clock.nowMs());
    return new Promise((resolve, reject) => {
      this.clock.setTimer(latencyMs, () => {
        this.running--;
        if (isFailing) this.failures++;
        if (isFailing) reject(new SourceError("SOURCE_STATUS", "a simulated failure"));
        else resolve({ type: "value", value, tag: null, freshness: null });
      });
    });
  }

  async close(): Promise<void> {}
}

/** Plays everything through. */
export async function simulate(simulation: Simulation): Promise<SimulationResult> {
  const clock = new VirtualClock(START_UNIX_SECONDS);
  const { rule: config, random } = simulation;
  const pool = simulation.createPool(() => clock.unixSeconds());
  const source = new LatencySource(simulation, clock);
  const processes = Array.from({ length: simulation.processes }, () => {
    // Each process bounds what it asks of the source by itself.
    const limiter = new Limiter(source, simulation.source, clock);
    const rule: Rule = { config, source: limiter, counters: newRuleCounters(), timings: newRuleTimings() };
    const log = { sourceFailed: () => {}, poolFailed: () => {}, observed: () => {} };
    const shared = { rules: new Rules([rule]), port: pool.port, clock, log };
    const scheduler = new Scheduler({ ...shared, random, bounds: simulation.bounds });
    const events = simulation.isRefreshing
      ? scheduler
      : { populated: () => {}, traced: () => {}, got: () => {}, gotAll: () => {}, isTracked: () => false };
    // A turn of the event loop is no time here: any number of fills may begin in one.
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
  // What is under way ends; what would go on for ever does not.
  for (const { scheduler } of processes) scheduler.stop();
  await passTo(lastMs + simulation.source.timeoutMs);
  return {
    ...result,
    sourceCalls: source.calls,
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
      // A tick at which nothing was due leaves nothing to wait for.
      if (before > 0 || busy() > 0) await settle();
    }
    clock.passTo(ms);
  }

  function busy(): number {
    return processes.reduce((sum, { filler, scheduler }) => sum + filler.inFlight + scheduler.inFlight, 0);
  }
}

/**
 * Lets promises that are settled run, and what hangs on them: the longest chain between two things that take time. Far
 * cheaper than a turn of the event loop; a chain that were longer would go on at the next event.
 */
async function settle(): Promise<void> {
  for (let i = 0; i < LONGEST_CHAIN; i++) await null;
}
