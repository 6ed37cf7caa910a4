import { describe, expect, it } from "vitest";
import { Buckets } from "../../../src/proxy/hash/buckets.ts";
import { buildIndexPlacement } from "../../../src/proxy/hash/build.ts";

function bucketOf(buckets: Buckets, key: string): number {
  const bytes = Buffer.from(key);
  return buckets.of(bytes, 0, bytes.length);
}

describe("buckets", () => {
  // mcrouter/test/test_bucketized_poolroute.py has these numbers.
  it("match mcrouter's test: key1 is in bucket 808 of 1,000, and on the fifth of five servers", () => {
    expect(bucketOf(new Buckets({ total: 1000, byPrefix: [] }), "key1")).toBe(808);
    const weights = [0.5, 0.5, 0.5, 0.5, 0.5];
    const locate = (type: "bucketized" | "weighted_ch3", key: string) => {
      const buckets = { total: 1000, byPrefix: [] };
      const bytes = Buffer.from(key);
      return buildIndexPlacement({ type, salt: "", weights, buckets }, 5).locate(bytes, 0, bytes.length);
    };
    expect(locate("bucketized", "key1")).toBe(4);
    expect(locate("weighted_ch3", "key1")).toBe(2);
    // The part behind the bar has no say.
    expect(locate("bucketized", "key1|#|other")).toBe(4);
  });

  it("stay below a configured prefix's number for keys with that prefix, and the longest prefix counts", () => {
    const buckets = new Buckets({
      total: 1000,
      byPrefix: [
        ["a", 3],
        ["ab", 1],
      ],
    });
    const seen = (prefix: string) => new Set(Array.from({ length: 500 }, (_, i) => bucketOf(buckets, `${prefix}${i}`)));
    expect(seen("ab").size).toBe(1);
    expect(seen("a_").size).toBe(3);
    expect(seen("c").size).toBeGreaterThan(300);
  });
});
