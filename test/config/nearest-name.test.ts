import { describe, expect, it } from "vitest";
import { nearestName } from "../../src/config/nearest-name.ts";

describe("nearest name", () => {
  it("has the fewest edits", () => {
    expect(nearestName("expirey", ["ttl", "expiry", "source"])).toBe("expiry");
    expect(nearestName("tll", ["ttl", "expiry"])).toBe("ttl");
    expect(nearestName("Listen", ["prefix", "listen"])).toBe("listen");
  });

  it("counts two swapped letters as one edit", () => {
    expect(nearestName("chekc", ["check", "explain"])).toBe("check");
    expect(nearestName("tlt", ["tls", "ttl"])).toBe("tls");
    expect(nearestName("tlt", ["ttl", "expiry"])).toBe("ttl");
  });

  it("is null if every name differs too much", () => {
    expect(nearestName("colour", ["ttl", "expiry", "source"])).toBeNull();
    expect(nearestName("x", [])).toBeNull();
  });
});
