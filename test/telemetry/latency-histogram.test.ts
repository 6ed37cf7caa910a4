import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { quantileSince, shownBuckets } from "../../src/telemetry/durations.ts";
import { LatencyHistogram } from "../../src/telemetry/latency-histogram.ts";

const micros = fc.integer({ min: 0, max: 2 ** 31 - 1 });

describe("a latency histogram", () => {
  it("counts each duration once, in the bucket whose bound is above it", () => {
    fc.assert(
      fc.property(micros, (duration) => {
        const histogram = new LatencyHistogram();
        histogram.add(duration);
        const { boundsSeconds, counts, count, sumSeconds } = shownBuckets(histogram.read());
        const bucket = counts.indexOf(1);
        expect(counts.reduce((sum, each) => sum + each, 0)).toBe(1);
        expect(duration).toBeLessThan((boundsSeconds[bucket] ?? Number.POSITIVE_INFINITY) * 1e6);
        expect(duration).toBeGreaterThanOrEqual((boundsSeconds[bucket - 1] ?? 0) * 1e6);
        expect([count, sumSeconds]).toEqual([1, duration / 1e6]);
      }),
    );
  });

  it("has quantiles that are at most a quarter off", () => {
    fc.assert(
      fc.property(
        fc.array(micros, { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (all, share) => {
          const histogram = new LatencyHistogram();
          for (const duration of all) histogram.add(duration);
          const exact = all.toSorted((a, b) => a - b)[Math.ceil(share * all.length) - 1]!;
          const told = quantileSince(histogram.read(), new LatencyHistogram().read(), share)! * 1000;
          expect(told).toBeGreaterThanOrEqual(exact / 1.25 - 1);
          expect(told).toBeLessThanOrEqual(exact * 1.25 + 1);
        },
      ),
    );
  });

  it("has quantiles between the bounds of a bucket", () => {
    const histogram = new LatencyHistogram();
    // From 64 to 80 µs.
    for (let i = 0; i < 4; i++) histogram.add(70);
    const quantiles = [0.25, 0.5, 1].map((share) => quantileSince(histogram.read(), null, share)! * 1000);
    expect(quantiles.map(Math.round)).toEqual([68, 72, 80]);
  });

  it("has no quantile if it is empty", () => {
    const histogram = new LatencyHistogram();
    expect(quantileSince(histogram.read(), histogram.read(), 0.5)).toBeNull();
  });

  it("counts a clock that went backwards as zero time", () => {
    const histogram = new LatencyHistogram();
    histogram.add(-5);
    expect(shownBuckets(histogram.read()).counts[0]).toBe(1);
  });
});
