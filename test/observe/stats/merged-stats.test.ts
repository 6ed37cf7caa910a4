import { describe, expect, it } from "vitest";
import { mergeSettings, mergeStats } from "../../../src/observe/stats/merged-stats.ts";

function server(lines: Record<string, string>): ReadonlyMap<string, string> {
  return new Map(Object.entries(lines));
}

describe("stats of several servers", () => {
  it("are added up by name, in the order of the first server", () => {
    const one = server({ "items:1:number": "3", "items:1:age": "50", "items:5:number": "1" });
    const two = server({ "items:1:number": "4", "items:1:age": "70", "items:9:number": "2" });
    expect(mergeStats([one, two])).toEqual([
      ["items:1:number", "7"],
      ["items:1:age", "70"],
      ["items:5:number", "1"],
      ["items:9:number", "2"],
    ]);
  });

  it("report one slab size, not the sum of sizes", () => {
    const one = { "1:chunk_size": "96", "1:chunks_per_page": "10922", "1:used_chunks": "5", active_slabs: "3" };
    const all = [server(one), server({ ...one, active_slabs: "2" })];
    expect(Object.fromEntries(mergeStats(all))).toEqual({ ...one, "1:used_chunks": "10" });
  });

  it("count beyond the precision of a double", () => {
    const lines = server({ bytes_read: "18446744073709551615" });
    expect(mergeStats([lines, lines])).toEqual([["bytes_read", "36893488147419103230"]]);
  });

  it("keep text as reported by the first server", () => {
    expect(mergeStats([server({ sizes_status: "disabled" }), server({ sizes_status: "enabled" })])).toEqual([
      ["sizes_status", "disabled"],
    ]);
  });

  it("are empty without servers", () => {
    expect(mergeStats([])).toEqual([]);
  });
});

describe("settings of several servers", () => {
  it("are those of the first, except memory and the largest item that all accept", () => {
    const one = server({
      maxbytes: "100",
      item_size_max: "20",
      hot_lru_pct: "20",
      growth_factor: "1.25",
      evictions: "on",
    });
    const two = server({
      maxbytes: "300",
      item_size_max: "10",
      hot_lru_pct: "30",
      growth_factor: "2",
      evictions: "off",
    });
    expect(Object.fromEntries(mergeSettings([one, two]))).toEqual({
      maxbytes: "400",
      item_size_max: "10",
      hot_lru_pct: "20",
      growth_factor: "1.25",
      evictions: "on",
    });
  });
});
