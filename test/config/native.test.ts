import { describe, expect, it } from "vitest";
import { openAccess } from "../../src/config/access-config.ts";
import type { Config } from "../../src/config/config.ts";
import { noTelemetry } from "../../src/config/config.ts";
import { parseNative } from "../../src/config/native.ts";
import { ConfigError } from "../../src/errors.ts";
import { fileTypes, sourceTypes } from "../../src/sources/types.ts";
import { plainRequest } from "../support/rigs/source-limits.ts";

interface Layers {
  readonly env?: Record<string, string>;
  readonly overrides?: Record<string, string>;
}

function read(text: string, { env = {}, overrides = {} }: Layers = {}): Config {
  return parseNative({ file: "/etc/p.toml", text, env, overrides, sourceTypes });
}

/** Every problem as `line: message`, or `message` for those without a line. */
function problems(text: string, layers: Layers = {}): string[] {
  try {
    read(text, layers);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, message }) => (line === null ? message : `${line}: ${message}`));
  }
  return [];
}

const stuff = '[source.stuff]\ntype = "http"\nurl = "http://localhost:123/stuff/{1}"\n';
const vault = '[source.s]\ntype = "awssm"\nkey = "app/{1}"\n';
const typeNames = fileTypes.flatMap(({ names }) => names.map((name) => `"${name}"`)).join(", ");
const quickstart = '[get.quickstart]\nmatch = "quickstart/(.*)"\nsource = "stuff"\n';

describe("a native configuration", () => {
  it("refuses a max_memory that is too small for the process itself", () => {
    expect(read('[server]\nmax_memory = "128MiB"\n').server.maxMemoryBytes).toBe(128 * 1024 * 1024);
    expect(problems('[server]\nmax_memory = "127MiB"\n')).toEqual([
      "2: server.max_memory: a process takes about 110MiB at rest: use at least 128MiB, or 0 for no limit",
    ]);
  });

  it("is complete when nothing is given", () => {
    expect(read("")).toEqual({
      file: "/etc/p.toml",
      files: [],
      secrets: [],
      tree: null,
      mcrouter: null,
      access: openAccess,
      telemetry: { ...noTelemetry, slowMs: 250, tracesErrors: true },
      server: {
        advertise: [],
        stateFolder: null,
        listen: [{ type: "tcp", isTls: false, host: "127.0.0.1", port: 11211 }],
        admin: { address: { type: "tcp", isTls: false, host: "127.0.0.1", port: 11280 }, isDefault: true },
        twemproxyStats: null,
        adminHosts: [],
        adminToken: null,
        accessLog: null,
        accessLogForm: "json",
        accessLogSample: 1,
        accessLogSlowMs: 0,
        accessLogErrors: false,
        tls: null,
        mode: "front",
        prefix: "",
        keyEncoding: "plain",
        maxValueBytes: 1_048_576,
        workers: 1,
        maxMemoryBytes: 0,
        maxConnections: 10_000,
        evictsIdle: false,
        backlog: 4096,
        maxOutstanding: 1_000,
        writeTimeoutMs: 0,
        firstByteTimeoutMs: 60_000,
        clientOutputLimitBytes: 67_108_864,
        drainTimeoutMs: 10_000,
        isFlushAllAllowed: false,
        hasMcrouterWords: false,
        keepsClientAddress: false,
        embeddedBytes: 67_108_864,
        holdBytes: 67_108_864,
        nearBytes: 67_108_864,
        maxTrackedKeys: 1_000_000,
        pickUpRate: 2_000,
        log: { level: "info", form: "text" },
      },
      warnings: [],
      pools: [],
      routes: [],
      rules: [],
      sources: [],
    });
  });

  it("loads the original sample once its strings are quoted", () => {
    const config = read(`
      ${quickstart}
      [source.stuff]
      type = "http"
      url = "http://localhost:123/stuff/{1}"
      action = "GET"
      [target]
      host = "localhost"
      port = 11212`);
    expect(config.pools).toEqual([
      {
        name: "target",
        discovery: null,
        handoffMs: 0,
        nearMs: 0,
        servers: [{ address: { type: "tcp", isTls: false, host: "localhost", port: 11212 }, weight: 1, name: null }],
        placement: { type: "ketama", keyHash: "md5", hashTag: "" },
        isPlacementGiven: false,
        ejectsDeadServers: false,
        connections: 1,
        serverTimeoutMs: 250,
        connectTimeoutMs: 100,
        health: { timeoutsUntilTko: 3, firstProbeMs: 250, lastProbeMs: 5_000, failOpen: null },
        socket: { connectRetries: 0, keepAliveMs: 0, idleMs: 0 },
        keepsRoutingPrefix: false,
        failureDomains: null,
        listen: [],
        login: null,
        tls: null,
      },
    ]);
    expect(config.rules).toEqual([
      {
        name: "quickstart",
        match: "quickstart/(.*)",
        source: "stuff",
        stripPrefix: "",
        keyEncoding: "plain",
        ttlMs: 60_000,
        expiryMs: 600_000,
        refreshBeforeMs: null,
        negativeTtlMs: 1_000,
        failureTtlMs: 1_000,
        fillTimeoutMs: 400,
        lease: "fleet",
        isSourceTtl: false,
        minTtlMs: 1_000,
        maxTtlMs: 86_400_000,
        staleMs: 0,
        refreshAfterGets: 1,
        mode: "on",
        notFound: "delete",
        nearMs: 0,
      },
    ]);
    expect(config.sources).toEqual([
      {
        type: "http",
        name: "stuff",
        timeoutMs: 5_000,
        concurrency: 64,
        queue: 1024,
        ratePerSecond: 0,
        breakerFailures: 10,
        breakerMs: 1_000,
        retries: 1,
        url: "http://localhost:123/stuff/{1}",
        method: "GET",
        headers: [],
        ...plainRequest,
        shown: { url: "http://localhost:123/stuff/{1}", query: [] },
        maxBodyBytes: 1_048_576,
        isEmptyValue: false,
        batch: null,
      },
    ]);
  });

  it("takes key_encoding from the rule, or else from [server]", () => {
    const rules = `${quickstart}[get.other]\nmatch = "(o)"\nsource = "stuff"\nkey_encoding = "plain"\n${stuff}`;
    const encodings = (toml: string) => read(toml).rules.map((rule) => rule.keyEncoding);
    expect(encodings(rules)).toEqual(["plain", "plain"]);
    expect(encodings(`[server]\nkey_encoding = "rails"\n${rules}`)).toEqual(["rails", "plain"]);
  });

  it("keeps rules in file order", () => {
    const rules = ["zebra", "7", "ape"].map((name) => quickstart.replace("quickstart]", `"${name}"]`)).join("");
    expect(read(rules + stuff).rules.map(({ name }) => name)).toEqual(["zebra", "7", "ape"]);
  });

  it("takes a rule's lifetimes from its source if the rule has none", () => {
    const [rule] = read(`${quickstart}ttl = "5m"\n${stuff}ttl = "2h"\nexpiry = "1d"\nrefresh_before = "30s"`).rules;
    expect(rule).toMatchObject({ ttlMs: 300_000, expiryMs: 86_400_000, refreshBeforeMs: 30_000, fillTimeoutMs: 400 });
  });

  it("reads files and echoes, with paths relative to the file's folder", () => {
    const config = read(
      '[source.f]\ntype = "file"\nroot = "values"\npath = "{key}.txt"\nmax_body = 17\n[source.e]\ntype = "echo"\n',
    );
    const bounds = { ratePerSecond: 0, breakerFailures: 10, breakerMs: 1_000, retries: 1 };
    const common = { timeoutMs: 5_000, concurrency: 64, queue: 1024, ...bounds };
    expect(config.sources).toEqual([
      { type: "file", name: "f", ...common, root: "/etc/values", path: "{key}.txt", maxBodyBytes: 17 },
      { type: "echo", name: "e", ...common, template: "{key}" },
    ]);
  });

  it("reads servers with weights, of a named pool and of the target", () => {
    const servers = 'servers = ["a:1", "b 2", "[::1]:5  3", "unix:/run/m.sock 4", "c:2 5 alpha"]\nconnections = 2\n';
    const [pool] = read(`[pool.main]\ntype = "memcached"\n${servers}`).pools;
    expect(pool?.name).toBe("main");
    expect(pool?.connections).toBe(2);
    expect(pool?.servers).toEqual([
      { address: { type: "tcp", isTls: false, host: "a", port: 1 }, weight: 1, name: null },
      { address: { type: "tcp", isTls: false, host: "b", port: 11211 }, weight: 2, name: null },
      { address: { type: "tcp", isTls: false, host: "::1", port: 5 }, weight: 3, name: null },
      { address: { type: "unix", path: "/run/m.sock" }, weight: 4, name: null },
      { address: { type: "tcp", isTls: false, host: "c", port: 2 }, weight: 5, name: "alpha" },
    ]);
  });

  it("enables retries of a request unless the request is not idempotent", () => {
    const retries = (method: string) =>
      (read(`${stuff}method = "${method}"`).sources[0] as { retries: number }).retries;
    expect(["GET", "PUT", "QUERY", "POST"].map(retries)).toEqual([1, 1, 1, 0]);
  });

  it("sends the configured headers", () => {
    const [source] = read(`${stuff}headers = { Accept = "text/plain", X-Key = "{key}" }`).sources;
    const headers = [
      ["Accept", "text/plain"],
      ["X-Key", "{key}"],
    ];
    expect(source).toMatchObject({ headers });
  });
});

describe("the environment and the command line", () => {
  it("override the file, and the command line overrides both", () => {
    const env = { PLATYPUS_SERVER_LISTEN: "a:1, b:2", PLATYPUS_SERVER_HOLD: "1MiB", PLATYPUS_SERVER_FLUSH_ALL: "true" };
    const config = read('[server]\nlisten = "c:3"\nhold = "2MiB"', { env, overrides: { "server.hold": "3MiB" } });
    expect(config.server.listen.map((each) => each.type === "tcp" && each.port)).toEqual([1, 2]);
    expect(config.server.holdBytes).toBe(3 * 1_048_576);
    expect(config.server.isFlushAllAllowed).toBe(true);
  });

  it("can define the target without a file", () => {
    expect(read("", { env: { PLATYPUS_TARGET_SERVERS: "a:1 2,b:3" } }).pools[0]?.servers.length).toBe(2);
    const env = { PLATYPUS_TARGET_HOST: "a", PLATYPUS_TARGET_PORT: "5" };
    expect(read('[target]\nservers = ["b:1"]', { env }).pools[0]?.servers[0]?.address).toMatchObject({
      host: "a",
      port: 5,
    });
  });

  it("set settings in named sections of the file, under the setting's main name", () => {
    const env = {
      PLATYPUS_GET_QUICKSTART_TTL: "2m",
      PLATYPUS_SOURCE_STUFF_METHOD: "GET",
      PLATYPUS_SOURCE_STUFF_HEADERS: '{ A = "b" }',
      PLATYPUS_SOURCE_STUFF_QUEUE: "7",
    };
    const config = read(`${quickstart}${stuff}action = "POST"`, { env });
    expect(config.rules[0]?.ttlMs).toBe(120_000);
    expect(config.sources[0]).toMatchObject({ method: "GET", headers: [["A", "b"]], queue: 7 });
  });

  it("count as unset if empty, and change no other variable", () => {
    const env = {
      PLATYPUS_SERVER_LISTEN: "",
      PLATYPUS_HOME: "x",
      PLATYPUS_SERVER_SERVICE_HOST: "10.0.0.1",
      PLATYPUS_SERVER_PORT_11211_TCP_ADDR: "10.0.0.1",
    };
    expect(problems("", { env })).toEqual([]);
  });

  it("are named in problems", () => {
    const env = { PLATYPUS_GET_QUICKSTART_TLL: "1s", PLATYPUS_SERVER_MAX_CONNECTIONS: "many" };
    const overrides = { "server.listne": "a:1", "server.hold": "big" };
    expect(problems(quickstart + stuff, { env, overrides })).toEqual([
      'PLATYPUS_GET_QUICKSTART_TLL: stands for no setting of a section of this configuration; did you mean "PLATYPUS_GET_QUICKSTART_TTL"?',
      "server.listne: stands for no setting of a section of this configuration (command line)",
      'server.max_connections (PLATYPUS_SERVER_MAX_CONNECTIONS): expected a whole number from 1 to 1000000, got "many"',
      'server.hold (command line): expected a size from 0 to 64GiB, such as "64KiB" or "1MiB", got "big"',
    ]);
  });

  it("refuse a variable that could be either of two settings", () => {
    const rules = quickstart + quickstart.replace("quickstart]", "quickstart_negative]");
    expect(problems(rules + stuff, { env: { PLATYPUS_GET_QUICKSTART_NEGATIVE_TTL: "1s" } })).toEqual([
      "PLATYPUS_GET_QUICKSTART_NEGATIVE_TTL: stands for both get.quickstart.negative_ttl and get.quickstart_negative.ttl; rename one of the sections",
    ]);
  });
});

describe("AWS Secrets Manager", () => {
  const own = { pool: null, region: null, profile: null, endpoint: null, assumeRole: null, maxCalls: null };

  it.each(["awssm", "aws_secrets_manager"])("supports a source of type %s", (type) => {
    expect(read(`[source.s]\ntype = "${type}"\nkey = "some/prefix/{1}"`).sources).toMatchObject([
      { type: "awssm", key: "some/prefix/{1}", versionStage: "AWSCURRENT", field: null, connection: own },
    ]);
  });

  it("uses secret_id for the secret, in every form of a template", () => {
    const key = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:{$1}/%(name)/{2:path}";
    expect(read(`[source.s]\ntype = "awssm"\nsecret_id = "${key}"`).sources).toMatchObject([{ key }]);
  });

  it.each(["awssm", "aws_secrets_manager"])("supports a pool of type %s, which serves no keys", (type) => {
    const pool = `[pool.vault]\ntype = "${type}"\nregion = "eu-west-1"\nprofile = "p"\nendpoint = "https://host:1/"\n`;
    const config = read(`${pool}assume_role = "arn:aws:iam::123456789012:role/a/b"\n${vault}pool = "vault"`);
    expect(config.pools).toEqual([]);
    expect(config.sources).toMatchObject([
      {
        connection: {
          ...{ pool: "vault", region: "eu-west-1", profile: "p", endpoint: "https://host:1/" },
          assumeRole: "arn:aws:iam::123456789012:role/a/b",
        },
      },
    ]);
  });

  it("has pools beside the pool of servers, whatever their names", () => {
    const aws = '[pool.a]\ntype = "awssm"\n[pool.b]\ntype = "awssm"\n';
    expect(read(`${aws}[pool.c]\nservers = "a:1"\n`).pools).toMatchObject([{ name: "c" }]);
    expect(read(`${aws}[pool.c]\ntype = "memcached"\nservers = "a:1"\n`).pools).toMatchObject([{ name: "c" }]);
    expect(read(`${aws}[target]\nservers = "a:1"\n`).pools).toMatchObject([{ name: "target" }]);
  });

  it("takes its settings from the environment too", () => {
    const env = { PLATYPUS_POOL_VAULT_REGION: "eu-west-1", PLATYPUS_SOURCE_S_POOL: "vault" };
    const { sources } = read(`[pool.vault]\ntype = "awssm"\n${vault}`, { env });
    expect(sources).toMatchObject([{ connection: { ...own, pool: "vault", region: "eu-west-1" } }]);
  });
});

describe("the problems of a native configuration", () => {
  it("are reported together, each with its line", () => {
    expect(
      problems(
        [
          "[server]", // 1
          "lisen = 1", // 2
          "max_connections = 0", // 3
          "[sorce.x]", // 4
          "[get.a]", // 5
          'match = "a("', // 6
          'source = "stuf"', // 7
          'ttl = "500ms"', // 8
          'expiry = "soon"', // 9
          stuff, // 10 to 12
        ].join("\n"),
      ),
    ).toEqual([
      '2: server.lisen: unknown setting; did you mean "listen"?',
      "3: server.max_connections: expected a whole number from 1 to 1000000, got 0",
      '4: sorce: unknown section; did you mean "source"?',
      "6: get.a.match: error parsing regexp: missing closing ): `a(`",
      '7: get.a.source: there is no [source.stuf]; did you mean "stuff"?',
      '8: get.a.ttl: expected a duration from 1s to 365d, or "source", got "500ms"',
      '9: get.a.expiry: expected a duration from 1s to 365d, such as "250ms" or "1m30s", got "soon"',
    ]);
  });

  const cases: [name: string, text: string, expected: string[]][] = [
    ["a setting outside any section", "ttl = 1", ["1: ttl: stands in no section; expected [server], [get.NAME] …"]],
    ["a value where a section belongs", "server = 3", ["1: server: expected a section [server], got 3"]],
    ["a rule without a name", '[get]\nmatch = "a"', ['2: get.match: expected a section [get.NAME] around it, got "a"']],
    ["a name with blanks", '[get."a b"]', ["1: get.a b: expected a name of at most 64 letters, digits, - and _"]],
    [
      "a rule without its essentials",
      "[get.a]",
      ["1: get.a.match: missing; expected a string", "1: get.a.source: missing; expected a string"],
    ],
    [
      "a number for a duration",
      `${quickstart}ttl = 60\n${stuff}`,
      [
        '4: get.quickstart.ttl: expected a duration from 1s to 365d, or "source", got 60; a duration has a unit: "60s" or "60ms"',
      ],
    ],
    [
      "a wrong choice",
      `${quickstart}mode = "onn"\n${stuff}`,
      ['4: get.quickstart.mode: expected "on" or "observe" or "off", got "onn"; did you mean "on"?'],
    ],
    [
      "a refresh before the value is fetched",
      `${quickstart}refresh_before = "60s"\n${stuff}`,
      ["4: get.quickstart.refresh_before: expected refresh_before to be shorter than ttl"],
    ],
    [
      "a bad default in a source once, whatever rules use it",
      `${quickstart}${quickstart.replace("quickstart]", "b]")}${stuff}ttl = 1\n`,
      [
        '10: source.stuff.ttl: expected a duration from 1s to 365d, or "source", got 1; a duration has a unit: "1s" or "1ms"',
      ],
    ],
    [
      "a setting and its synonym",
      `${stuff}method = "GET"\naction = "GET"`,
      ["5: source.stuff.action: says the same as method; keep one of them"],
    ],
    [
      "more captures used than the pattern has",
      quickstart + stuff.replace("{1}", "{2}"),
      ["6: source.stuff.url: uses {2}, but get.quickstart.match has only 1 capture"],
    ],
    [
      "a captured name that the pattern does not have",
      `${quickstart.replace("(.*)", "(?P<ident>.*)")}${stuff}headers = { A = "{key} {ident} {idant}" }`,
      [
        '7: source.stuff.headers.A: uses {idant}, but get.quickstart.match has no capture named "idant"; did you mean "ident"?',
      ],
    ],
    [
      "a template that is none",
      stuff.replace("{1}", "{1"),
      ['3: source.stuff.url: "{" at position 28 belongs to no {name}; write {{ for the brace itself'],
    ],
    [
      "a source type that nobody has",
      '[source.s]\ntype = "htpp"',
      [`2: source.s.type: expected ${typeNames}, got "htpp"; did you mean "http"?`],
    ],
    ["a source without a type", "[source.s]", [`1: source.s.type: missing; expected ${typeNames}`]],
    [
      "a setting of another source type",
      '[source.s]\ntype = "echo"\nurl = "http://a/"',
      ["3: source.s.url: unknown setting"],
    ],
    [
      "a file path that leaves its root",
      '[source.s]\ntype = "file"\nroot = "/r"\npath = "../{1}"',
      ['4: source.s.path: expected a path below root without "..", got "../{1}"'],
    ],
    [
      "headers that belong to the connection",
      `${stuff}[source.stuff.headers]\nConnection = "close"\n"a b" = ""\nX = 1`,
      [
        "5: source.stuff.headers.Connection: belongs to the connection and cannot be set",
        "6: source.stuff.headers.a b: expected the name of a header field",
        "7: source.stuff.headers.X: expected a template, got 1",
      ],
    ],
    [
      "a prefix that cannot stand in a key",
      '[server]\nprefix = "a b"',
      ["2: server.prefix: expected at most 200 ASCII characters without blanks"],
    ],
    [
      "addresses that are none, or twice there",
      '[server]\nlisten = ["a:1",\n"a:1",\n"b:x"]',
      [
        "3: server.listen[1]: a:1 is listed twice",
        '4: server.listen[2]: expected host:port, [ipv6]:port, tls:host:port, unix:PATH or fd:NUMBER, got "b:x"',
      ],
    ],
    [
      "servers that cannot be used",
      '[target]\nservers = ["a:1", "a:1 2",\n"b:1 0",\n"c:0", "d:1 x"]',
      [
        "2: target.servers[1]: a:1 is listed twice; give it a weight instead",
        '3: target.servers[2]: expected a weight from 1 to 1000000, got "0"',
        '4: target.servers[3]: expected "host:port", "host:port weight", "host:port weight name" or "unix:PATH weight", got "c:0"',
        '4: target.servers[4]: expected a weight from 1 to 1000000, got "x"',
      ],
    ],
    [
      "a server that is ourselves",
      '[target]\nhost = "localhost"',
      ["2: target.host: localhost:11211 is one of Platypus' own [server] listen addresses"],
    ],
    [
      "a target without servers",
      "[target]",
      ['1: target: no servers; expected servers = ["host:11211"] or host and port'],
    ],
    [
      "servers beside host",
      '[target]\nhost = "a"\nservers = ["a:1"]',
      ["2: target.host: says the same as servers; keep one of them"],
    ],
    [
      "two pools",
      '[pool.a]\nservers = "a:1"\n[pool.b]\nservers = "b:1"',
      [
        '3: pool.b: several pools need routes: add [[route]] with pool = "b" and the prefix of its keys, and [[route]] with the pool of all other keys',
      ],
    ],
    [
      "a pool beside the target",
      '[pool.a]\nservers = "a:1"\n[target]\nhost = "b"',
      ["1: pool.a: [target] is the only pool already; use [pool.NAME] for each pool, or one [target]"],
    ],
    [
      "a pool of something else",
      '[pool.a]\ntype = "redis"\nservers = "a:1"',
      ['2: pool.a.type: expected "memcached" or "awssm" or "aws_secrets_manager", got "redis"'],
    ],
    [
      "servers of a pool that has none",
      '[pool.a]\ntype = "aws_secrets_manager"\nservers = "a:1"',
      ["3: pool.a.servers: unknown setting"],
    ],
    [
      "a connection of AWS that cannot be one",
      '[pool.a]\ntype = "awssm"\nregion = "Ireland"\nprofile = ""\nendpoint = "localhost:1"\nassume_role = "cache"',
      [
        '3: pool.a.region: expected a region such as "eu-central-1"',
        "4: pool.a.profile: expected the name of a profile",
        "5: pool.a.endpoint: expected http://HOST or https://HOST, with a port if need be",
        '6: pool.a.assume_role: expected the ARN of a role, such as "arn:aws:iam::123456789012:role/cache"',
      ],
    ],
    [
      "a login in the URL of an AWS endpoint",
      `${vault}endpoint = "http://me:hunter2@host/"`,
      ["4: source.s.endpoint: expected http://HOST or https://HOST, with a port if need be"],
    ],
    [
      "a pool that is no way to AWS",
      `[pool.cache]\nservers = "a:1"\n[pool.accounts]\ntype = "awssm"\n${vault}pool = "acounts"`,
      ['8: source.s.pool: there is no [pool.acounts] with type = "aws_secrets_manager"; did you mean "accounts"?'],
    ],
    [
      "a connection beside a pool's",
      `[pool.a]\ntype = "awssm"\n${vault}pool = "a"\nregion = "eu-west-1"`,
      ["7: source.s.region: belongs into [pool.a], whose connection is used"],
    ],
    [
      "a secret's name that cannot be one",
      vault.replace("app/{1}", "app {1}"),
      ['3: source.s.key: expected the name of a secret: letters, digits and /_+=.@-, got "app {1}"'],
    ],
    [
      "both names of one setting",
      `${vault}secret_id = "b"`,
      ["4: source.s.secret_id: says the same as key; keep one of them"],
    ],
    [
      "what a version stage and a field cannot be",
      `${vault}version_stage = ""\nfield = ""`,
      [
        "4: source.s.version_stage: expected the staging label of a version",
        "5: source.s.field: expected the name of a field",
      ],
    ],
  ];
  it.each(cases)("name %s", (_, text, expected) => {
    expect(problems(text)).toEqual(expected);
  });

  it("name every URL in which a key could choose the server", () => {
    const placeholder = "scheme, host and port cannot hold a placeholder";
    const begin = "expected a URL that begins with";
    const urls: [string, string | null][] = [
      ["http://host{1}/", placeholder],
      ["http://host:80{1}", placeholder],
      ["http://{1}@host/", placeholder],
      ["https://host\\\\{1}", placeholder],
      ["http:///{1}", begin],
      ["http:/{1}", begin],
      ["{1}://host/", begin],
      ["ftp://host/{1}", begin],
      ["//host/{1}", begin],
      ["http://me:secret@host/", "a user name or password"],
      ["http://host:99999/", "expected HOST or HOST:PORT after http://"],
      ["http://host/a\\n{1}", "a URL cannot hold the character U+000A, at position 14"],
      ["http://host/{1}?a=\\r", "a URL cannot hold the character U+000D"],
      ["http://host/{1}?a=\\u2028", "a URL cannot hold the character U+2028"],
      ["http://host/{1}?a=\\u0000", "a URL cannot hold the character U+0000"],
      ["http://host/{1} b?ä=日", null],
      ["HTTP://[::1]:80/{1}?a={key}", null],
      ["https://host?{1}", null],
    ];
    for (const [url, expected] of urls) {
      const found = problems(`${quickstart}${stuff.replace("http://localhost:123/stuff/{1}", url)}`);
      expect(found.join(), url).toContain(expected ?? "");
      expect(found.length, url).toBe(expected === null ? 0 : 1);
    }
  });

  it("name the line of a syntax error, and mention missing quotes", () => {
    expect(problems("[server]\n\n[get.a\n")).toEqual([
      '3: syntax error at column 7: unexpected "\\n"; the header has no closing bracket',
    ]);
    expect(problems("[get.a]\nmatch = a(.*)\n")).toEqual([
      '2: syntax error at column 9: unexpected "a"; text stands in quotes: match = "…"',
    ]);
    expect(problems("[get.a]\nttl = 60s\n")).toEqual([
      '2: syntax error at column 9: unexpected "s"; text stands in quotes: ttl = "…"',
    ]);
    expect(problems("a = 1\na = 2")).toEqual(["2: a is defined twice; the first is in line 1"]);
  });

  it("hold no header values, which may be secret", () => {
    const env = { PLATYPUS_SOURCE_STUFF_HEADERS: "Authorization: hunter2" };
    expect(problems(stuff, { env }).join()).not.toContain("hunter2");
  });
});
