/** Limits of sources in tests. Limits that a test does not name are too high to matter. */
import type { Limits } from "../../../src/sources/limiter.ts";

/** Settings of an http source that sends a plain GET. */
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
