import { describe, expect, it } from "vitest";
import { openAccess } from "../../src/config/access-config.ts";
import { noTelemetry } from "../../src/config/config.ts";
import { problems, read } from "../support/rigs/read-native.ts";
import { plainRequest } from "../support/rigs/source-limits.ts";

const stuff = '[source.stuff]\ntype = "http"\nurl = "http://localhost:123/stuff/{1}"\n';
const vault = '[source.s]\ntype = "awssm"\nkey = "app/{1}"\n';
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
