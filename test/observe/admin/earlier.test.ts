import { describe, expect, it } from "vitest";
import { Earlier } from "../../../src/observe/admin/earlier.ts";
import { quantileSince } from "../../../src/telemetry/durations.ts";
import { Histogram } from "../../../src/telemetry/histogram.ts";

describe("quantiles since an earlier time", () => {
  it("ignore values that were counted more than a minute ago", () => {
    const earlier = new Earlier<ReturnType<Histogram["read"]>>();
    const histogram = new Histogram();
    const look = (nowMs: number) => {
      const now = histogram.read();
      return quantileSince(now, earlier.before(nowMs, now), 0.5);
    };
    for (let i = 0; i < 100; i++) histogram.add(900);
    expect(look(0)).toBe(750);
    histogram.add(3);
    expect(look(10_000)).toBe(747.5);
    expect(look(30_000)).toBe(747.5);
    // The hundred are out of sight, the one is not.
    expect(look(59_000)).toBe(3.5);
    expect(look(60_000)).toBe(3.5);
    expect(look(61_000)).toBeNull();
  });
});
