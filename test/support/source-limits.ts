/** Bounds of sources in tests: what a test does not name is out of its way. */
import type { Limits } from "../../src/sources/limiter.ts";

export const looseLimits: Limits = {
  timeoutMs: 5_000,
  concurrency: 4,
  queue: 100,
  ratePerSecond: 0,
  breakerFailures: 0,
  breakerMs: 1_000,
  retries: 0,
};
