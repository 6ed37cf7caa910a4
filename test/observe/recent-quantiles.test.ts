import { expect, it } from "vitest";
import { RecentQuantiles } from "../../src/observe/recent-quantiles.ts";
import { Histogram } from "../../src/telemetry/histogram.ts";

it("recent quantiles forget what was counted more than a minute ago", () => {
  const recent = new RecentQuantiles();
  const histogram = new Histogram();
  const look = (nowMs: number) => {
    const median = recent.of(histogram, 0.5);
    recent.rotate(nowMs, new Set([histogram]));
    return median;
  };
  for (let i = 0; i < 100; i++) histogram.add(900);
  expect(look(0)).toBe(1_000);
  histogram.add(3);
  expect(look(10_000)).toBe(1_000);
  expect(look(30_000)).toBe(1_000);
  // The hundred are out of sight, the one is not.
  expect(look(59_000)).toBe(5);
  expect(look(60_000)).toBe(5);
  expect(look(61_000)).toBeNull();
});
