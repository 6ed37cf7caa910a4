/** A filler over a pool, a source and a clock that the test controls. Nothing tracks what it fills. */
import type { RuleConfig } from "../../../src/config/config.ts";
import { Filler } from "../../../src/refresh/filler.ts";
import { Lease } from "../../../src/refresh/lease.ts";
import type { Rule, Rules } from "../../../src/refresh/rules.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { ManualSource } from "../fakes/manual-source.ts";
import { RecordingWaiter } from "../fakes/recording-waiter.ts";
import { settled } from "../fakes/settled.ts";
import { SlowPool } from "../fakes/slow-pool.ts";
import { testRules } from "./test-rules.ts";

interface FillRigOptions {
  readonly rules: readonly Partial<RuleConfig>[];
  /** True if other processes use the pool too. */
  readonly isFleet?: boolean;
  readonly holdBytes?: number;
}

export class FillRig {
  readonly clock = new ManualClock();
  readonly source = new ManualSource();
  readonly pool = new SlowPool(this.clock);
  /** Keys that were filled, in order. */
  readonly populated: string[] = [];
  /** What was logged: the kind, the rule's name and the error. */
  readonly logged: string[] = [];
  readonly rules: Rules;
  readonly filler: Filler;

  constructor({ rules, isFleet = false, holdBytes = 1 << 20 }: FillRigOptions) {
    this.pool.isFleet = isFleet;
    this.rules = testRules(this.source, ...rules);
    const note = (what: string) => (rule: Rule, detail: unknown) => {
      this.logged.push(`${what} ${rule.config.name} ${detail instanceof Error ? detail.message : String(detail)}`);
    };
    this.filler = new Filler({
      rules: this.rules,
      port: this.pool,
      clock: this.clock,
      events: { populated: (key) => this.populated.push(key), got: () => {}, gotAll: () => {}, isTracked: () => false },
      log: { sourceFailed: note("source"), poolFailed: note("pool"), observed: note("observed") },
      holdBytes,
    });
  }

  /** A client's get of `key` that missed. Its waiter is told `not covered` if no rule covers the key. */
  get(key = "k"): RecordingWaiter {
    const waiter = new RecordingWaiter();
    if (!this.filler.fill(key, waiter)) waiter.told.push("not covered");
    return waiter;
  }

  /** A client's write through this process: a delete if `value` is `null`. */
  write(value: string | null, key = "k"): void {
    this.filler.beforeWrite(key);
    if (value === null) this.pool.store.delete(key);
    else this.pool.set(key, value);
  }

  async answer(value: string | Buffer): Promise<void> {
    this.source.last.answer(value);
    await settled();
  }

  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settled();
  }

  /** A client's delete of `key` through another process. */
  deletedElsewhere(key = "k"): void {
    new Lease(this.pool, key).drop();
    this.pool.store.delete(key);
  }

  /** Counters of the first rule. */
  get counters() {
    return this.rules.list[0]!.counters;
  }
}
