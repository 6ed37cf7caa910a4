import { describe, expect, it } from "vitest";
import { bucketBoundsMs, Histogram } from "../../src/telemetry/histogram.ts";

describe("a histogram", () => {
  it("has no quantile if it is empty", () => {
    expect(new Histogram().quantileMs(0.5)).toBe(0);
  });

  it("counts each duration in the first bucket whose bound it does not exceed", () => {
    const histogram = new Histogram();
    for (const ms of [0, 1, 1.5, 30_000, 30_001]) histogram.add(ms);
    expect([...histogram.counts]).toEqual([2, 1, ...bucketBoundsMs.slice(3).map(() => 0), 1, 1]);
    expect([histogram.count, histogram.maxMs]).toEqual([5, 30_001]);
  });

  it("estimates quantiles that never exceed the maximum", () => {
    const histogram = new Histogram();
    for (let i = 0; i < 99; i++) histogram.add(3);
    histogram.add(60_000);
    expect(histogram.quantileMs(0.5)).toBe(5);
    expect(histogram.quantileMs(1)).toBe(60_000);
    const one = new Histogram();
    one.add(7);
    expect(one.quantileMs(0.99)).toBe(7);
  });
});
