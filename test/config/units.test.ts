import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/config/units.ts";

describe("durations", () => {
  it("reads every unit and their sums", () => {
    expect(parseDuration("250ms")).toBe(250);
    expect(parseDuration("30s")).toBe(30_000);
    expect(parseDuration("5m")).toBe(300_000);
    expect(parseDuration("2h")).toBe(7_200_000);
    expect(parseDuration("1d")).toBe(86_400_000);
    expect(parseDuration("1m30s")).toBe(90_000);
    expect(parseDuration("1m5ms")).toBe(60_005);
    expect(parseDuration("0s")).toBe(0);
  });

  it("refuses everything else", () => {
    for (const text of ["", "5", "5 s", "-5s", "1.5s", "s", "30s1m", "1s1s", "5S", "99999999999999d", "1m "]) {
      expect(parseDuration(text), text).toBeNull();
    }
  });

  it("writes any duration so that it reads back unchanged", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });

  it("writes the largest units first", () => {
    expect(formatDuration(90_000)).toBe("1m30s");
    expect(formatDuration(0)).toBe("0s");
  });
});

describe("sizes", () => {
  it("reads binary units and plain bytes", () => {
    expect(parseSize("64KiB")).toBe(65_536);
    expect(parseSize("1MiB")).toBe(1_048_576);
    expect(parseSize("2GiB")).toBe(2_147_483_648);
    expect(parseSize("17")).toBe(17);
  });

  it("refuses everything else", () => {
    for (const text of ["", "1MB", "1 MiB", "-1", "1.5MiB", "MiB", "1mib", "99999999999999GiB"]) {
      expect(parseSize(text), text).toBeNull();
    }
  });

  it("writes any size so that it reads back unchanged", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(parseSize(formatSize(bytes))).toBe(bytes);
      }),
    );
  });

  it("writes the largest unit without a fraction", () => {
    expect(formatSize(65_536)).toBe("64KiB");
    expect(formatSize(1_025)).toBe("1025");
    expect(formatSize(0)).toBe("0");
  });
});
