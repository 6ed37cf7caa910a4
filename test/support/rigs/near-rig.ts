/** A near route over a pool whose requests the test carries out and answers, with a clock that the test moves. */
import { expect } from "vitest";
import { NearCache } from "../../../src/proxy/near/near-cache.ts";
import { NearRoute } from "../../../src/proxy/near/near-route.ts";
import { Operation } from "../../../src/proxy/request.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";
import { Asked } from "../fakes/asked.ts";
import { DelayedPool } from "../fakes/delayed-pool.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

export const NEAR_MS = 1_000;
const MIB = 1024 * 1024;

export class NearRig {
  readonly clock = new ManualClock();
  readonly pool = new DelayedPool(() => this.clock.unixSeconds());
  readonly cache = new NearCache();
  readonly route: NearRoute;
  /** Keys of the gets that the filler was told of. */
  readonly noted: string[] = [];

  constructor() {
    const filler = {
      noteGet: (chunk: Buffer, start: number, end: number) =>
        void this.noted.push(chunk.toString("latin1", start, end)),
      noteTraced: () => {},
    };
    this.route = new NearRoute(this.pool, this.cache, new Turn(() => this.clock.nowMs()), filler);
    this.use({});
  }

  use({ maxBytes = MIB, nearMsOf = (_key: string) => NEAR_MS }): void {
    this.cache.configure({ maxBytes, nearMsOf });
  }

  begin(frame: string | Buffer): Asked {
    const { route } = this;
    const asked = new Asked(frame);
    const { operation } = asked.request;
    return asked.by((request) => (operation === Operation.flushAll ? route.broadcast(request) : route.route(request)));
  }

  /** The reply to a command that is answered at once. */
  ask(frame: string | Buffer): string {
    const { answers } = this.begin(frame);
    expect(answers).toHaveLength(1);
    return answers[0]!.text;
  }

  set(key: string, value: string, flags = 0): void {
    this.pool.store.store("set", key, Buffer.from(value), flags, 0);
  }

  /** Number of requests that the pool gets during `run`. */
  askedOfPool(run: () => unknown): number {
    const before = this.pool.asked.length;
    run();
    return this.pool.asked.length - before;
  }

  /** Makes keys hot. The values of those that exist are in memory afterwards. */
  heat(...keys: string[]): void {
    for (const key of keys) for (let i = 0; i < 10; i++) this.ask(`get ${key}\r\n`);
  }

  heatMeta(key: string): void {
    for (let i = 0; i < 10; i++) this.ask(`mg ${key} v f\r\n`);
  }
}
