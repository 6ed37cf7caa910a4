import { describe, expect, it } from "vitest";
import { BufferLease } from "../../../src/proxy/wire/buffer-lease.ts";

describe("a buffer lease", () => {
  it("has at least the bytes that were asked for, and gives its buffer to the next after the last holder", () => {
    const first = BufferLease.take(40_000);
    expect(first.buffer.length).toBeGreaterThanOrEqual(40_000);
    first.retain();
    first.release();
    const second = BufferLease.take(40_000);
    expect(second.buffer).not.toBe(first.buffer);
    first.release();
    const third = BufferLease.take(65_536);
    expect(third.buffer).toBe(first.buffer);
    second.release();
    third.release();
  });

  it("of a size of its own is never used again", () => {
    const bytes = 5 * 1024 * 1024;
    const first = BufferLease.take(bytes);
    expect(first.buffer.length).toBe(bytes);
    first.release();
    expect(BufferLease.take(bytes).buffer).not.toBe(first.buffer);
  });

  it("released twice is an error: its buffer would have two users", () => {
    const lease = BufferLease.take(20_000);
    lease.release();
    expect(() => lease.release()).toThrow("a buffer lease was released twice");
  });
});
