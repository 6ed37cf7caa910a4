/** A process that fills and refreshes over a pool and a source, on a clock that the test moves. */
import type { RuleConfig } from "../../../src/config/config.ts";
import { FailedKeys } from "../../../src/refresh/failed-keys.ts";
import { Filler } from "../../../src/refresh/filler.ts";
import { Lease } from "../../../src/refresh/lease.ts";
import type { PoolPort } from "../../../src/refresh/pool/pool-port.ts";
import type { Rules } from "../../../src/refresh/rules.ts";
import { Scheduler } from "../../../src/refresh/scheduler.ts";
import { UnsettledWrites } from "../../../src/refresh/unsettled-writes.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { ManualSource } from "../fakes/manual-source.ts";
import { RecordingWaiter } from "../fakes/recording-waiter.ts";
import { settled } from "../fakes/settled.ts";
import { SlowPool } from "../fakes/slow-pool.ts";
import { testRules } from "./test-rules.ts";

interface RefreshRigOptions {
  readonly rules: readonly Partial<RuleConfig>[];
  /** True if other processes use the pool too. */
  readonly isFleet?: boolean;
  readonly pickUpRate?: number;
  /** Decides how long a failed key is left alone. */
  readonly random?: () => number;
}

interface ProcessOptions {
  readonly pickUpRate?: number | undefined;
  readonly unsettled?: UnsettledWrites;
  readonly failedKeys?: FailedKeys;
}

interface RefreshProcess {
  readonly scheduler: Scheduler;
  readonly filler: Filler;
}

export class RefreshRig {
  readonly clock = new ManualClock();
  readonly source = new ManualSource();
  readonly pool = new SlowPool(this.clock);
  readonly unsettled = new UnsettledWrites(this.clock);
  /** `source`, or `pool: ` and the error. */
  readonly logged: string[] = [];
  readonly rules: Rules;
  readonly scheduler: Scheduler;
  readonly filler: Filler;
  /** Tells each get of `get` its answer, in order. */
  readonly waiters: RecordingWaiter[] = [];
  private readonly bounds: { readonly maxTrackedKeys: number; readonly pickUpRate: number };
  private readonly failedKeys: FailedKeys;
  /** The port after the last reload. */
  port: SlowPool = this.pool;

  constructor({ rules, isFleet = false, pickUpRate = 1_000, random = () => 0 }: RefreshRigOptions) {
    this.pool.isFleet = isFleet;
    this.rules = testRules(this.source, ...rules);
    this.bounds = { maxTrackedKeys: 1_000, pickUpRate };
    this.failedKeys = new FailedKeys(random);
    ({ scheduler: this.scheduler, filler: this.filler } = this.process({
      unsettled: this.unsettled,
      failedKeys: this.failedKeys,
    }));
  }

  /** Another process over the pool, with nothing in its memory. */
  process({ pickUpRate, ...own }: ProcessOptions = {}): RefreshProcess {
    const log = {
      sourceFailed: () => this.logged.push("source"),
      poolFailed: (_rule: unknown, error: unknown) => this.logged.push(`pool: ${String(error)}`),
      observed: () => {},
    };
    const shared = { rules: this.rules, port: this.pool as PoolPort, clock: this.clock, log, ...own };
    const bounds = pickUpRate === undefined ? this.bounds : { ...this.bounds, pickUpRate };
    const scheduler = new Scheduler({ ...shared, random: () => 0, bounds });
    return { scheduler, filler: new Filler({ ...shared, events: scheduler, holdBytes: 1 << 22 }) };
  }

  /** A client's get of `key`, through this process or another one. */
  get(key = "k", at: { readonly filler: Filler } = this): void {
    const isHit = this.port.value(key) !== null;
    const bytes = Buffer.from(key, "latin1");
    at.filler.noteGet(bytes, 0, bytes.length, isHit);
    if (isHit) return;
    const waiter = new RecordingWaiter();
    this.waiters.push(waiter);
    at.filler.fill(key, waiter);
  }

  /** A client's get of "k", and all that follows from it at once. */
  async settledGet(): Promise<void> {
    this.get();
    await settled();
  }

  /** Ends the last fetch: with `value`, or with nothing if it is `null`. */
  async answer(value: string | null, said: Parameters<ManualSource["last"]["answer"]>[1] = {}): Promise<void> {
    if (value === null) this.source.last.notThere();
    else this.source.last.answer(value, said);
    await settled();
  }

  /** A client's delete of "k" through another process. */
  deletedElsewhere(): void {
    new Lease(this.pool, "k").drop();
    this.pool.store.delete("k");
  }

  /** Replaces rules and port, as a reload does. */
  reload(rules: Rules, port = this.port): void {
    this.port = port;
    this.filler.replace(rules, port, 1 << 20);
    this.scheduler.replace(rules, port, this.bounds);
  }

  /** Another port, to `store` or to other servers. */
  otherPort(store = new SlowPool(this.clock).store): SlowPool {
    const port = new SlowPool(this.clock, store);
    port.isFleet = true;
    return port;
  }

  /** Counters of the first rule. */
  get counters() {
    return this.rules.list[0]!.counters;
  }
}
