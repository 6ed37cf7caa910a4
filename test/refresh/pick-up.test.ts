import { describe, expect, it } from "vitest";
import { PickUp } from "../../src/refresh/pick-up.ts";

const TICK_MS = 100;
const MAX_LOOKED_AT = 200_000;
/** Untracked keys that bring credit for reads. */
const OTHERS = 1_000;

describe("the keys whose TTL was read", () => {
  it("rest until their tick; over the limit, only the oldest are forgotten", () => {
    const pickUp = new PickUp(1_000_000, TICK_MS);
    const last = MAX_LOOKED_AT;
    for (let hash = 0; hash <= last; hash++) pickUp.rest(hash, 1_000);
    for (let hash = last + 1; hash <= last + OTHERS; hash++) pickUp.isDue(hash, 1);
    const isDueAtSecondHit = (hash: number) => {
      pickUp.isDue(hash, 2);
      return pickUp.isDue(hash, 2);
    };
    expect(isDueAtSecondHit(0)).toBe(true);
    expect(isDueAtSecondHit(last / 2)).toBe(false);
    expect(isDueAtSecondHit(last)).toBe(false);
  });
});
