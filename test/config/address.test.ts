import { describe, expect, it } from "vitest";
import { parseAddress, reachesListener } from "../../src/config/address.ts";
import { addressText } from "../../src/config/config.ts";

const address = (text: string) => parseAddress(text, "/etc/platypus")!;

describe("addresses", () => {
  it("are read as host and port", () => {
    expect(address("cache-1.example:11212")).toEqual({
      type: "tcp",
      isTls: false,
      host: "cache-1.example",
      port: 11212,
    });
    expect(address("10.0.0.1")).toEqual({ type: "tcp", isTls: false, host: "10.0.0.1", port: 11211 });
    expect(address("tls:a:1")).toEqual({ type: "tcp", isTls: true, host: "a", port: 1 });
    expect(address("[::1]:0")).toEqual({ type: "tcp", isTls: false, host: "::1", port: 0 });
  });

  it("are read as paths relative to the folder", () => {
    expect(address("unix:/run/p.sock")).toEqual({ type: "unix", path: "/run/p.sock" });
    expect(address("unix:p.sock")).toEqual({ type: "unix", path: "/etc/platypus/p.sock" });
  });

  it("are refused if the text is not an address", () => {
    for (const text of ["", ":11211", "a:b", "::1:11211", "[x]:1", "a:70000", "a b:1", "unix:", "http://a:1"]) {
      expect(parseAddress(text, "/"), text).toBeNull();
    }
  });

  it("are written so that they read back unchanged", () => {
    for (const text of ["a:1", "[fe80::1]:2", "tls:a:1", "unix:/a b"]) expect(addressText(address(text))).toBe(text);
  });

  it("match a listener at one place by any of its names", () => {
    const reaches = (to: string, listen: string) => reachesListener(address(to), address(listen));
    expect(reaches("127.0.0.1:11211", "127.0.0.1:11211")).toBe(true);
    expect(reaches("localhost:11211", "127.0.0.1:11211")).toBe(true);
    expect(reaches("127.0.0.1:11211", "localhost:11211")).toBe(true);
    expect(reaches("localhost:11211", "0.0.0.0:11211")).toBe(true);
    expect(reaches("Cache1:11211", "cache1:11211")).toBe(true);
    expect(reaches("unix:/a", "unix:/a")).toBe(true);
    expect(reaches("127.0.0.1:11212", "127.0.0.1:11211")).toBe(false);
    expect(reaches("127.0.0.2:11211", "127.0.0.1:11211")).toBe(false);
    expect(reaches("10.0.0.1:11211", "0.0.0.0:11211")).toBe(false);
    expect(reaches("unix:/a", "127.0.0.1:11211")).toBe(false);
  });
});
