import { beforeEach, describe, expect, it } from "vitest";
import { UnsettledWrites } from "../../src/refresh/unsettled-writes.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { settled } from "../support/fakes/settled.ts";

let clock: ManualClock;
let unsettled: UnsettledWrites;
/** When the check was made (ms). */
let checks: number[];

beforeEach(() => {
  clock = new ManualClock();
  unsettled = new UnsettledWrites(clock);
  checks = [];
});

function checkThat(answer: () => boolean) {
  return async () => {
    checks.push(clock.nowMs());
    return answer();
  };
}

function fails(): never {
  throw new Error("the pool is down");
}

async function pass(ms: number): Promise<void> {
  await settled();
  for (let left = ms; left > 0; left -= 100) {
    clock.advance(100);
    await settled();
  }
}

describe("a check of an unsettled write", () => {
  it("is made at once, and is not repeated if the outcome is known", async () => {
    const done = unsettled.settle(checkThat(() => true));
    expect(checks).toEqual([0]);
    await done;
    await pass(60_000);
    expect(checks).toEqual([0]);
    expect(unsettled.size).toBe(0);
  });

  it("is repeated with backoff until nine answers have shown no trace of the write", async () => {
    void unsettled.settle(checkThat(() => false));
    await pass(60_000);
    expect(checks).toEqual([0, 100, 300, 700, 1_500, 3_100, 6_300, 11_300, 16_300]);
    expect([unsettled.size, clock.timerCount]).toEqual([0, 0]);
  });

  it("is repeated at most every 5 s while the pool cannot answer, and abandoned after 15 minutes", async () => {
    let isDone = false;
    void unsettled.settle(checkThat(fails)).then(() => {
      isDone = true;
    });
    await pass(890_000);
    expect([unsettled.size, isDone]).toEqual([1, false]);
    expect(checks.at(-1)! - checks.at(-2)!).toBe(5_000);
    await pass(20_000);
    expect([unsettled.size, isDone, clock.timerCount]).toEqual([0, true, 0]);
  });

  it("ends when the pool answers after failures", async () => {
    let failures = 3;
    void unsettled.settle(checkThat(() => (failures-- > 0 ? fails() : true)));
    await pass(5_000);
    expect(checks).toEqual([0, 100, 300, 700]);
    expect(unsettled.size).toBe(0);
  });

  it("ends early if its write can do no more harm", async () => {
    void unsettled.settle(checkThat(fails), { forMs: 1_000 });
    await pass(10_000);
    expect(checks).toEqual([0, 100, 300, 700]);
  });

  it("counts as unanswered by the pool if it throws at once", async () => {
    void unsettled.settle(fails);
    await settled();
    expect(unsettled.size).toBe(1);
  });
});

describe("unsettled writes", () => {
  it("are limited to 10,000", () => {
    for (let i = 0; i < 9_999; i++) void unsettled.settle(checkThat(() => false));
    expect(unsettled.hasRoom).toBe(true);
    void unsettled.settle(checkThat(() => false));
    expect(unsettled.hasRoom).toBe(false);
  });

  it("are abandoned when the process stops, and leave no promise pending", async () => {
    const done = [unsettled.settle(checkThat(() => false)), unsettled.settle(checkThat(fails))];
    await settled();
    unsettled.stop();
    await Promise.all([...done, unsettled.settle(checkThat(() => false))]);
    expect([unsettled.size, clock.timerCount, checks.length]).toEqual([0, 0, 2]);
  });
});
