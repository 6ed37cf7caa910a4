import { expect, it } from "vitest";
import { RateWindow } from "../../../src/mcrouter/report/rate-window.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

it("rates cover the last four minutes, or the time since the start", () => {
  const clock = new ManualClock();
  let total = 0;
  const window = new RateWindow(clock, () => new Map([["gets", total]]));
  for (let second = 0; second < 10; second++) {
    total += 5;
    clock.advance(1_000);
  }
  expect(window.rates().get("gets")).toBe(5);
  clock.advance(240_000);
  expect(window.rates().get("gets")).toBe(0);
  window.stop();
  expect(clock.timerCount).toBe(0);
});
