import { describe, expect, it } from "vitest";
import { ZipfSampler } from "../../src/refresh/zipf.ts";
import { seededRandom } from "../support/vectors/seeded-random.ts";

const DRAWS = 100_000;

/** How often each of 0 … count − 1 comes. */
function draws(count: number, exponent: number): number[] {
  const sampler = new ZipfSampler(count, exponent, seededRandom(1));
  const counts = new Array<number>(count).fill(0);
  for (let i = 0; i < DRAWS; i++) counts[sampler.next()]!++;
  return counts;
}

/** Every count is within five deviations of what its share says. */
function expectShares(counts: readonly number[], shares: readonly number[]): void {
  for (const [i, share] of shares.entries()) {
    const deviation = Math.sqrt(DRAWS * share * (1 - share));
    expect(Math.abs(counts[i]! - DRAWS * share), `number ${i}`).toBeLessThan(5 * deviation + 1e-9);
  }
}

describe("Zipf's law", () => {
  it.each([0.5, 1, 2])("draws number i in proportion to 1 / (i + 1)^exponent, for exponent %d", (exponent) => {
    const weights = Array.from({ length: 50 }, (_, i) => 1 / (i + 1) ** exponent);
    const sum = weights.reduce((a, b) => a + b);
    const shares = weights.map((weight) => weight / sum);
    expectShares(draws(50, exponent), shares);
  });

  it("draws all numbers equally often with exponent 0", () => {
    expectShares(draws(20, 0), new Array<number>(20).fill(1 / 20));
  });

  it("always draws the only number if there is just one", () => {
    expect(draws(1, 1)).toEqual([DRAWS]);
  });
});
