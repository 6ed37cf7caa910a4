import { describe, expect, it } from "vitest";
import { freshnessOfResponse } from "../../src/sources/freshness.ts";

const date = "Tue, 24 Nov 2026 12:00:00 GMT";

describe("what a response says of its freshness", () => {
  it.each([
    ["nothing", { etag: '"a"', "last-modified": date }, null],
    ["max-age", { "cache-control": "max-age=60" }, { ttlMs: 60_000, staleMs: null }],
    [
      "s-maxage, which counts for a cache that is shared",
      { "cache-control": "max-age=5, s-maxage=60" },
      { ttlMs: 60_000, staleMs: null },
    ],
    ["its age, which is taken off", { "cache-control": "max-age=60", age: "20" }, { ttlMs: 40_000, staleMs: null }],
    ["an age that is over", { "cache-control": "max-age=60", age: "100" }, { ttlMs: 0, staleMs: null }],
    ["no-store", { "cache-control": "no-store" }, { ttlMs: 0, staleMs: null }],
    ["private", { "cache-control": "private, max-age=60" }, { ttlMs: 0, staleMs: null }],
    ["no-cache", { "cache-control": "no-cache" }, { ttlMs: 0, staleMs: null }],
    ["expires", { date, expires: "Tue, 24 Nov 2026 12:02:00 GMT" }, { ttlMs: 120_000, staleMs: null }],
    [
      "for how long it may be stale, the longer of the two",
      { "cache-control": "max-age=1, stale-while-revalidate=30, stale-if-error=300" },
      { ttlMs: 1_000, staleMs: 300_000 },
    ],
  ])("%s", (_what, headers, expected) => {
    const said = freshnessOfResponse(200, headers);
    // The age of a response is counted on while it is looked at.
    if (said === null || expected === null) expect(said).toEqual(expected);
    else {
      expect(said.staleMs).toBe(expected.staleMs);
      expect(Math.abs(said.ttlMs - expected.ttlMs)).toBeLessThan(1_000);
    }
  });
});
