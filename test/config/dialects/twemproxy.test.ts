import { describe, expect, it } from "vitest";
import { parseTwemproxy } from "../../../src/config/dialects/twemproxy.ts";
import { ConfigError } from "../../../src/errors.ts";
import { nativeConfig } from "../../support/rigs/native-config.ts";

const read = (text: string) => parseTwemproxy({ file: "/etc/nutcracker.yml", text, server: nativeConfig().server });

/** A pool with these directives. */
const pool = (rest: string, servers = "[10.0.0.1:11211:1]") =>
  `alpha:\n  listen: 127.0.0.1:1\n  servers: ${servers}\n${rest}`;

/** Every problem as `line: message`. */
function problems(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ file, line, message }) => {
      expect(file).toBe("/etc/nutcracker.yml");
      return `${line}: ${message}`;
    });
  }
  return [];
}

describe("0 in twemproxy's file", () => {
  it("disables the timeout, makes retries immediate, and ejects a server at the first failure", () => {
    const zeros = "  timeout: 0\n  server_retry_timeout: 0\n  server_failure_limit: 0\n  auto_eject_hosts: true\n";
    const [pool] = read(`a:\n  listen: 127.0.0.1:1\n${zeros}  servers:\n   - h:1:1\n`).pools;
    const [without] = read("a:\n  listen: 127.0.0.1:1\n  servers:\n   - h:1:1\n").pools;
    expect(pool!.serverTimeoutMs).toBe(without!.serverTimeoutMs);
    expect(pool!.health).toMatchObject({ timeoutsUntilTko: 1, firstProbeMs: 1, lastProbeMs: 1 });
  });
});

describe("twemproxy's file", () => {
  it("describes pools, each on a separate address", () => {
    const config = read(`
# two of them
alpha:
  listen: 127.0.0.1:22121
  hash: murmur
  hash_tag: "{}"
  distribution: modula
  auto_eject_hosts: true
  server_retry_timeout: 2000
  server_failure_limit: 1
  timeout: 400
  server_connections: 2
  servers:
   - 10.0.0.1:11211:1
   - 10.0.0.2:11212:2
   - cache.example:11211:3 third
beta:
  listen: /tmp/beta.sock 0666
  servers:
   - /tmp/memcached.sock:1
   - /tmp/other.sock:2 other
   - ::1:11213:1
`);
    expect(config.file).toBe("/etc/nutcracker.yml");
    expect(config.server.listen).toEqual([]);
    const tcp = { type: "tcp", isTls: false } as const;
    expect(config.pools).toEqual([
      {
        name: "alpha",
        discovery: null,
        handoffMs: 0,
        nearMs: 0,
        listen: [{ ...tcp, host: "127.0.0.1", port: 22121 }],
        servers: [
          { address: { ...tcp, host: "10.0.0.1", port: 11211 }, weight: 1, name: "10.0.0.1" },
          { address: { ...tcp, host: "10.0.0.2", port: 11212 }, weight: 2, name: "10.0.0.2:11212" },
          { address: { ...tcp, host: "cache.example", port: 11211 }, weight: 3, name: "third" },
        ],
        placement: { type: "modula", keyHash: "murmur", hashTag: "{}" },
        isPlacementGiven: true,
        ejectsDeadServers: true,
        connections: 2,
        serverTimeoutMs: 400,
        connectTimeoutMs: 400,
        health: { timeoutsUntilTko: 1, firstProbeMs: 2000, lastProbeMs: 2000, failOpen: null },
        socket: { connectRetries: 0, keepAliveMs: 0, idleMs: 0 },
        keepsRoutingPrefix: false,
        failureDomains: null,
        login: null,
        tls: null,
      },
      expect.objectContaining({
        name: "beta",
        discovery: null,
        handoffMs: 0,
        nearMs: 0,
        listen: [{ type: "unix", path: "/tmp/beta.sock" }],
        servers: [
          { address: { type: "unix", path: "/tmp/memcached.sock" }, weight: 1, name: "/tmp/memcached.sock:" },
          { address: { type: "unix", path: "/tmp/other.sock" }, weight: 2, name: "other" },
          { address: { ...tcp, host: "::1", port: 11213 }, weight: 1, name: "::1:11213" },
        ],
      }),
    ]);
    expect(config.warnings).toEqual([
      "beta.listen (line 18) has permissions, 0666, that have no effect: the umask counts",
    ]);
  });

  it("has twemproxy's defaults, except that each server has a timeout", () => {
    expect(read(pool("")).pools[0]).toMatchObject({
      placement: { type: "ketama", keyHash: "fnv1a_64", hashTag: "" },
      ejectsDeadServers: false,
      connections: 1,
      serverTimeoutMs: 5_000,
      connectTimeoutMs: 5_000,
      health: { timeoutsUntilTko: 3, firstProbeMs: 250, lastProbeMs: 5_000 },
    });
    expect(read(pool("  auto_eject_hosts: true")).pools[0]!.health).toMatchObject({
      timeoutsUntilTko: 2,
      firstProbeMs: 30_000,
      lastProbeMs: 30_000,
    });
    expect(read(pool("  distribution: random")).pools[0]!.placement).toEqual({ type: "random" });
    expect(read("a:\n  listen: :5\n  servers: ['b:1:1']").pools[0]!.listen).toMatchObject([
      { host: "0.0.0.0", port: 5 },
    ]);
  });

  it("lists settings that have no effect", () => {
    const directives =
      "preconnect: true\n  tcpkeepalive: true\n  backlog: 512\n  client_connections: 9\n  redis: false";
    expect(read(pool(`  ${directives}\n  reuseport: false`)).warnings).toEqual([
      "alpha.preconnect (line 4) has no effect: servers are connected to when they are first needed",
      "alpha.tcpkeepalive (line 5) has no effect: a server that is gone is found by time-outs",
      "alpha.backlog (line 6) has no effect: connections wait in a queue of 4096",
      "alpha.client_connections (line 7) has no effect: twemproxy has none for it either",
    ]);
  });
});

describe("an error in twemproxy's file", () => {
  it("is reported with its line if it is in a directive", () => {
    expect(
      problems(`alpha:
  listen: 127.0.0.1
  hash: fnv1a_46
  hash_tag: "{"
  distribution: ketma
  timeout: 4s
  server_connections: 0
  auto_eject_hosts: yes
  redis: true
  redis_auth: secret
  tiemout: 5
  servers:
   - 10.0.0.1:11211
   - 10.0.0.1:11211:0
   - 10.0.0.1:99999:1
   - 10.0.0.2:11211:1
   - 10.0.0.2:11211:2
   - [nested]
   - 10.0.0.3:1
`),
    ).toEqual([
      '2: alpha.listen: expected host:port or the path of a socket, got "127.0.0.1"',
      expect.stringMatching(
        /^3: alpha\.hash: expected "one_at_a_time" or .*, got "fnv1a_46"; did you mean "fnv1a_64"\?$/,
      ),
      '4: alpha.hash_tag: expected two characters, such as "{}", got "{"',
      '5: alpha.distribution: expected "ketama" or "modula" or "random", got "ketma"; did you mean "ketama"?',
      '6: alpha.timeout: expected a whole number from 0 to 999999999, got "4s"',
      '7: alpha.server_connections: expected a whole number from 1 to 999999999, got "0"',
      '8: alpha.auto_eject_hosts: expected true or false, got "yes"',
      "9: alpha.redis: Platypus speaks memcached's protocols only",
      "10: alpha.redis_auth: is for Redis only",
      '11: alpha.tiemout: unknown setting; did you mean "timeout"?',
      '13: alpha.servers[0]: expected host:port:weight or /path:weight, and perhaps a name, got "10.0.0.1:11211"',
      '14: alpha.servers[1]: expected host:port:weight or /path:weight, and perhaps a name, got "10.0.0.1:11211:0"',
      '15: alpha.servers[2]: expected host:port:weight or /path:weight, and perhaps a name, got "10.0.0.1:99999:1"',
      '17: alpha.servers[4]: the name "10.0.0.2" is another server\'s',
      "18: alpha.servers[5]: expected host:port:weight or /path:weight, and perhaps a name",
      '19: alpha.servers[6]: expected host:port:weight or /path:weight, and perhaps a name, got "10.0.0.3:1"',
    ]);
  });

  it("is reported with its line if a setting is missing or malformed", () => {
    expect(problems("")).toEqual(["1: expected pools by name"]);
    expect(problems("- a\n- b")).toEqual(["1: expected pools by name"]);
    expect(problems("alpha: 5")).toEqual([
      "1: alpha: expected a pool: listen, servers and what else it has",
      "1: alpha.servers: expected at least one server",
      "1: alpha.listen: is missing; expected host:port or the path of a socket",
    ]);
    expect(problems("alpha:\n  listen: a:1\n  servers: a:1:1")).toContain(
      "3: alpha.servers: expected a list of servers",
    );
    expect(problems(pool("  hash_tags: [a]"))).toEqual([
      '4: alpha.hash_tags: unknown setting; did you mean "hash_tag"?',
    ]);
    expect(problems(pool("  hash_tag: {}"))).toEqual([
      '4: alpha.hash_tag: expected a single value; braces stand in quotes: "{}"',
    ]);
  });

  it("is reported with its line if a number is too large for a timer", () => {
    expect(problems(pool("  timeout: 1000000000"))).toEqual([
      '4: alpha.timeout: expected a whole number from 0 to 999999999, got "1000000000"',
    ]);
  });

  it("is reported with its line if it is between pools", () => {
    const beta = "beta:\n  listen: 127.0.0.1:1\n  servers: ['127.0.0.1:1:1']";
    expect(problems(`${pool("")}${beta}`)).toEqual([
      "5: beta.listen: 127.0.0.1:1 is pool alpha's",
      "5: beta.listen: 127.0.0.1:1 is a server of this pool; a pool cannot listen there",
    ]);
  });

  it("is reported with its line if it is in the syntax", () => {
    expect(problems("alpha:\n  listen: a:1\n listen: b:1\n")[0]).toMatch(/^3: /);
    expect(problems("alpha:\n  listen: a:1\n  listen: b:1\n  servers: ['a:1:1']")[0]).toMatch(/^3: .*unique/);
    expect(problems("alpha: [")[0]).toMatch(/^1: /);
  });
});
