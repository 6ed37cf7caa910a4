import { describe, expect, it } from "vitest";
import { BufferPool } from "../../../src/proxy/wire/buffer-pool.ts";

describe("BufferPool", () => {
  it("returns a buffer of the next power of two, and reuses the last one that was given back", () => {
    const pool = new BufferPool(10, 16, 1 << 20);
    const sizes = [1, 1024, 1025, 60_000, 65_536].map((bytes) => pool.take(bytes).length);
    expect(sizes).toEqual([1024, 1024, 2048, 65_536, 65_536]);
    const [first, last] = [pool.take(2000), pool.take(2000)];
    pool.giveBack(first);
    pool.giveBack(last);
    expect(pool.take(1500)).toBe(last);
    expect(pool.take(1500)).toBe(first);
    expect(pool.take(1500)).not.toBe(first);
  });

  it("keeps at most the given number of bytes", () => {
    const pool = new BufferPool(10, 16, 4096);
    const taken = Array.from({ length: 6 }, () => pool.take(1024));
    for (const each of taken) pool.giveBack(each);
    const again = Array.from({ length: 6 }, () => pool.take(1024));
    expect(again.filter((each) => taken.includes(each)).length).toBe(4);
  });

  it("at the limit, drops buffers of the size that was not taken for the longest time", () => {
    const pool = new BufferPool(10, 16, 8192);
    const stale = [pool.take(2048), pool.take(2048)];
    const large = pool.take(4096);
    for (const each of [...stale, large]) pool.giveBack(each);
    const small = [pool.take(1024), pool.take(1024)];
    for (const each of small) pool.giveBack(each);
    expect(pool.take(4096)).toBe(large);
    expect(small).toContain(pool.take(1024));
    expect(small).toContain(pool.take(1024));
    expect(stale).toContain(pool.take(2048));
    expect(stale).not.toContain(pool.take(2048));
  });
});
