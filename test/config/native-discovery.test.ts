import { describe, expect, it } from "vitest";
import { addressText } from "../../src/config/config.ts";
import { parseNative } from "../../src/config/native.ts";
import { withServers } from "../../src/config/native-placement.ts";
import type { ConfigError } from "../../src/errors.ts";
import { sourceTypes } from "../../src/sources/types.ts";

const read = (text: string, env = {}) => parseNative({ file: "/etc/p.toml", text, env, sourceTypes });

function problemsOf(text: string): readonly string[] {
  try {
    read(text);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ line, message }) => `${line}: ${message}`);
  }
}

describe("discover", () => {
  it.each([
    ["elasticache:cache.example:11212", { type: "elasticache", host: "cache.example", port: 11_212 }],
    ["elasticache:cache.example", { type: "elasticache", host: "cache.example", port: 11_211 }],
    ["srv:_memcache._tcp.cache.internal", { type: "srv", name: "_memcache._tcp.cache.internal" }],
    ["dns:cache.internal", { type: "dns", host: "cache.internal", port: 11_211 }],
    ["file:servers.txt", { type: "file", path: "/etc/servers.txt" }],
  ])("is read: %s", (text, place) => {
    const [pool] = read(`[target]\ndiscover = "${text}"`).pools;
    expect(pool).toMatchObject({ servers: [], handoffMs: 0 });
    expect(pool!.discovery).toEqual({ ...place, text, intervalMs: 10_000, dnsServer: null });
  });

  it("has servers until there is an answer, an interval, a DNS server and a handoff", () => {
    const [pool] = read(
      '[pool.a]\nservers = "a:1"\ndiscover = "dns:b:2"\ndiscover_interval = "30s"\ndiscover_dns = "10.0.0.2"\nhandoff = "5m"',
    ).pools;
    expect(pool!.servers.map(({ address }) => addressText(address))).toEqual(["a:1"]);
    expect(pool).toMatchObject({ discovery: { intervalMs: 30_000, dnsServer: "10.0.0.2:53" }, handoffMs: 300_000 });
  });

  it.each([
    [
      "an unknown kind",
      'discover = "svr:a"',
      '2: target.discover: expected "elasticache:HOST:PORT" or "srv:_SERVICE._tcp.NAME" or "dns:NAME:PORT" or "file:PATH", got "svr:a"; did you mean "srv"?',
    ],
    ["an invalid name", 'discover = "srv:a b"', '2: target.discover: expected "srv:_SERVICE._tcp.NAME", got "srv:a b"'],
    ["an invalid port", 'discover = "dns:a:0"', '2: target.discover: expected "dns:NAME:PORT", got "dns:a:0"'],
    ["no path", 'discover = "file:"', '2: target.discover: expected "file:PATH", got "file:"'],
    [
      "a DNS server by name",
      'discover = "dns:a:1"\ndiscover_dns = "ns.example"',
      '3: target.discover_dns: expected the IP address of a DNS server, such as "10.0.0.2:53", got "ns.example"',
    ],
    [
      "a DNS server for a file",
      'discover = "file:a"\ndiscover_dns = "10.0.0.2"',
      "3: target.discover_dns: has no use with file:",
    ],
    [
      "an interval alone",
      'servers = "a:1"\ndiscover_interval = "5s"',
      "3: target.discover_interval: has no use without discover",
    ],
  ])("reports with its line: %s", (_name, text, problem) => {
    expect(problemsOf(`[target]\n${text}`)).toEqual([problem]);
  });
});

describe("[server]", () => {
  it("has its state folder from systemd, unless it is set", () => {
    expect(read("").server.stateFolder).toBe(null);
    expect(read("", { STATE_DIRECTORY: "/var/lib/a:/var/lib/b" }).server.stateFolder).toBe("/var/lib/a");
    expect(read('[server]\nstate_folder = "state"', { STATE_DIRECTORY: "/var/lib/a" }).server.stateFolder).toBe(
      "/etc/state",
    );
  });

  it("advertises addresses", () => {
    const { advertise } = read('[server]\nadvertise = ["a:1", "10.0.0.1"]').server;
    expect(advertise.map(addressText)).toEqual(["a:1", "10.0.0.1:11211"]);
    expect(problemsOf('[server]\nadvertise = ["a:1", "unix:/a"]')).toEqual([
      '2: server.advertise[1]: expected host:port, got "unix:/a"',
    ]);
  });
});

describe("a pool with another list of servers", () => {
  const other = (hash: string) => {
    const [pool] = read(`[target]\nservers = "a:1"\nhash = "${hash}"`).pools;
    const servers = ["b", "c"].map((host, i) => ({
      address: { type: "tcp", host, port: 1, isTls: false } as const,
      weight: i + 1,
      name: `name-${host}`,
    }));
    return withServers(pool!, servers);
  };

  it("has the tags and weights of these servers, where its placement uses them", () => {
    expect(other("weighted_rendezvous").placement).toMatchObject({ tags: ["name-b", "name-c"], weights: [0.5, 1] });
    expect(other("rendezvous")).toMatchObject({
      placement: { tags: ["name-b", "name-c"] },
      servers: [{ weight: 1 }, { weight: 1 }],
    });
    expect(other("ketama").servers).toMatchObject([
      { weight: 1, name: "name-b" },
      { weight: 2, name: "name-c" },
    ]);
    expect(other("ch3").servers).toMatchObject([
      { weight: 1, name: null },
      { weight: 1, name: null },
    ]);
  });
});
