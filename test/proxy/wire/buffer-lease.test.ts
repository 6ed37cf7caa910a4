import { describe, expect, it } from "vitest";
import { BufferLease } from "../../../src/proxy/wire/buffer-lease.ts";

describe("a buffer lease", () => {
  it("has at least the requested bytes, and its buffer is reused after the last release", () => {
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

  it("is never reused if it has an unusual size", () => {
    const bytes = 5 * 1024 * 1024;
    const first = BufferLease.take(bytes);
    expect(first.buffer.length).toBe(bytes);
    first.release();
    expect(BufferLease.take(bytes).buffer).not.toBe(first.buffer);
  });

  it("throws at each surplus release, and its buffer is never reused", () => {
    const lease = BufferLease.take(20_000);
    lease.release();
    expect(() => lease.release()).toThrow("a buffer lease was released too often");
    expect(BufferLease.take(20_000).buffer).not.toBe(lease.buffer);
    // A user that comes too late does not bring it back.
    lease.retain();
    lease.retain();
    expect(() => lease.release()).toThrow("a buffer lease was released too often");
    expect(BufferLease.take(20_000).buffer).not.toBe(lease.buffer);
  });

  it("ends the reuse of its buffer if it is released too often while another lease has the buffer", () => {
    const lease = BufferLease.take(20_000);
    lease.release();
    const other = BufferLease.take(20_000);
    expect(other.buffer).toBe(lease.buffer);
    expect(() => lease.release()).toThrow("a buffer lease was released too often");
    other.release();
    expect(BufferLease.take(20_000).buffer).not.toBe(lease.buffer);
  });
});
