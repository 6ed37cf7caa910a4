import { expect, it } from "vitest";
import { poolsByName } from "../../../src/mcrouter/report/self-report.ts";

it("a pool counts under the longest of the names that its own name begins with", () => {
  expect(poolsByName(["pool", "pool.west", "none"], ["pool.west", "pool.west.1", "pool.east", "other"])).toEqual([
    ["pool", ["pool.east"]],
    ["pool.west", ["pool.west", "pool.west.1"]],
  ]);
});
