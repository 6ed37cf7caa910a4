/** Bounds of sources in tests: what a test does not name is out of its way. */
import type { Limits } from "../../../src/sources/limiter.ts";

/** What an http source does beyond a plain GET: nothing. */
export const plainRequest = {
  query: [],
  body: null,
  authorization: null,
  connectTimeoutMs: 1_000,
  readTimeoutMs: null,
  valueStatuses: [200],
  notFoundStatuses: [404, 410],
  contentTypes: [],
  select: null,
  redirects: 3,
} as const;

export const looseLimits: Limits = {
  timeoutMs: 5_000,
  concurrency: 4,
  queue: 100,
  ratePerSecond: 0,
  breakerFailures: 0,
  breakerMs: 1_000,
  retries: 0,
};
