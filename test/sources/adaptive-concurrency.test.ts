import { describe, expect, it } from "vitest";
import { AdaptiveConcurrency, MAX_PLACES, MIN_PLACES } from "../../src/sources/adaptive-concurrency.ts";

/** A source that handles `capacity` calls at once, each in `latencyMs`; further calls wait in it. */
interface Origin {
  capacity: number;
  latencyMs: number;
}

/** Keeps all places in use for this number of calls. Returns the number of places and the latency at the end. */
function load(limit: AdaptiveConcurrency, origin: Origin, calls: number): { places: number; latencyMs: number } {
  let latencyMs = 0;
  for (let i = 0; i < calls; i++) {
    const running = limit.places;
    latencyMs = origin.latencyMs * Math.max(1, running / origin.capacity);
    limit.ended(latencyMs, running, false);
  }
  return { places: limit.places, latencyMs };
}

describe("concurrency that follows a source", () => {
  it.each([8, 30, 100, 300])("finds the number of calls that a source handles at once (%i)", (capacity) => {
    const limit = new AdaptiveConcurrency();
    load(limit, { capacity, latencyMs: 20 }, 60_000);
    const { places, latencyMs } = load(limit, { capacity, latencyMs: 20 }, 5_000);
    expect(places).toBeGreaterThan(capacity * 0.8);
    expect(places).toBeLessThan(capacity * 2.5 + 8);
    expect(latencyMs).toBeLessThan(20 * 3.5);
  });

  it("never leaves its bounds", () => {
    const limit = new AdaptiveConcurrency();
    expect(load(limit, { capacity: 1_000_000, latencyMs: 5 }, 400_000).places).toBeLessThanOrEqual(MAX_PLACES);
    for (let i = 0; i < 100_000; i++) limit.ended(0, limit.places, true);
    expect(limit.places).toBe(MIN_PLACES);
  });

  it("falls quickly when the source becomes overloaded, and rises again", () => {
    const limit = new AdaptiveConcurrency();
    const origin = { capacity: 100, latencyMs: 20 };
    const before = load(limit, origin, 60_000).places;
    for (let i = 0; i < 1_000; i++) limit.ended(5_000, limit.places, true);
    expect(limit.places).toBeLessThan(before / 4);
    expect(load(limit, origin, 60_000).places).toBeGreaterThan(80);
  });

  it("accepts a source that has become slower for good", () => {
    const limit = new AdaptiveConcurrency();
    load(limit, { capacity: 100, latencyMs: 20 }, 60_000);
    expect(load(limit, { capacity: 100, latencyMs: 80 }, 100_000).places).toBeGreaterThan(80);
  });

  it("does not grow while its places are not in use", () => {
    const limit = new AdaptiveConcurrency();
    const before = limit.places;
    for (let i = 0; i < 10_000; i++) limit.ended(20, 2, false);
    expect(limit.places).toBeLessThanOrEqual(before);
  });
});
