/** The first Platypus's own configuration files, each form of them, as its README and examples have them. */
import { describe, expect, it } from "vitest";
import { type Config, warningsOf } from "../../../src/config/config.ts";
import { parseNative } from "../../../src/config/native.ts";
import { newRuleCounters, newRuleTimings, Rules } from "../../../src/refresh/rules.ts";
import { sourceTypes } from "../../../src/sources/types.ts";
import { ManualSource } from "../../support/fakes/manual-source.ts";

function read(text: string, env: Record<string, string> = {}): Config {
  return parseNative({ file: "config.toml", text, env, sourceTypes });
}

function problems(text: string): string {
  try {
    read(text);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

/** Source and captures of a key. `null` if no rule covers it. */
function coveredBy(config: Config, key: string): [source: string, captures: Record<string, string>] | null {
  const source = new ManualSource();
  const list = config.rules.map((rule) => ({
    config: rule,
    source,
    counters: newRuleCounters(),
    timings: newRuleTimings(),
  }));
  const match = new Rules(list).match(key);
  return match && [match.rule.config.source, Object.fromEntries(match.captures.groups)];
}

const demo = `[server]
target = { host = "localhost", port = 11213 }

[routes.instance]
routes = [
  { match = "^(?<instance>[^/]+)/both$", source = "both" },
  { match = "^(?<instance>[^/]+)/config$", source = "config" },
]

[source.both]
type = "map"
merge = [{ source = "config", to = "." }, { source = "greeting", to = "." }]

[source.config]
type = "http"
url = "https://localhost/instance/%(instance)/config"
action = "GET"
ttl = "4s"
expiry = "30s"

[source.greeting]
type = "echo"
template = "Hello {instance}!"
`;

describe("the first Platypus's files", () => {
  it("load as in its demo", () => {
    const config = read(demo);
    expect(config.pools).toMatchObject([{ servers: [{ address: { host: "localhost", port: 11213 } }] }]);
    expect(coveredBy(config, "one/both")).toEqual(["both", { 1: "one", instance: "one" }]);
    expect(coveredBy(config, "one/config")).toEqual(["config", { 1: "one", instance: "one" }]);
    expect(coveredBy(config, "a/one/config")).toBeNull();
    expect(config.rules.map(({ ttlMs, expiryMs }) => [ttlMs, expiryMs])).toEqual([
      [4_000, 600_000],
      [4_000, 30_000],
    ]);
    expect(config.sources[1]).toMatchObject({ method: "GET", url: "https://localhost/instance/%(instance)/config" });
  });

  it("load as in its README: to, merge, method, query, headers, a prefix", () => {
    const config = read(`[server]
target = { host = "localhost", port = 11213 }
prefix = "my-app/"
[routes.app]
routes = [
  { match = "^config/(?<instance>[^/]+)$", to = "config" },
  { match = "^all/(?<instance>[^/]+)$", to = "combined" },
]
[source.config]
type = "http"
url = "https://api.example.com/data/%(instance)"
method = "GET"
headers = { "Authorization" = "Bearer token" }
query = { "format" = "json" }
ttl = "30s"
expiry = "300s"
[source.combined]
type = "merge"
format = "json"
template = [
  { key = ["config"], source = "config", args = { inherit = {} } },
  { key = ["again"], source = "config", args = { replace = { instance = "{instance}" } } },
]
ttl = "60s"
expiry = "300s"
`);
    expect(config.server.prefix).toBe("my-app/");
    expect(coveredBy(config, "all/x")).toEqual(["combined", { 1: "x", instance: "x" }]);
    expect(config.sources[0]).toMatchObject({
      query: [["format", "json"]],
      headers: [["Authorization", "Bearer token"]],
    });
    expect(config.rules[1]).toMatchObject({ ttlMs: 30_000, expiryMs: 300_000 });
  });

  it("load as in its integration tests: a pool of connections to AWS", () => {
    const config = read(`[routes.instance]
routes = [
  { match = "^echo1/(?<path>.+)", to = "echo1" },
  { match = "^both/(?<path>.+)", to = "both" },
  { match = "^secrets1/(?<path>.+)", to = "secrets1" },
]
[source.echo1]
type = "echo"
template = "echo1 = {path}"
[source.both]
type = "merge"
format = "json"
template = [
  { key = ["echo1"], source = "echo1", args = { inherit = {} } },
  { key = ["again"], source = "echo1", args = { replace = { path = "{path}" } } },
]
[source.secrets1]
type = "aws_secrets_manager"
secret_id = "dev/secrets1/{path}"
pool = "awssm"
[pool.awssm]
type = "aws_secrets_manager"
min_idle = 1
max_size = 10
profile = "test"
region = "eu-west-1"
`);
    expect(coveredBy(config, "secrets1/a/b")).toEqual(["secrets1", { 1: "a/b", path: "a/b" }]);
    const connection = { pool: "awssm", maxCalls: 10, profile: "test", region: "eu-west-1" };
    expect(config.sources[2]).toMatchObject({ key: "dev/secrets1/{path}", connection });
    expect(warningsOf(config)).toEqual([
      "pool.awssm.min_idle (line 23) has no effect: a connection to AWS is opened when a call needs one",
    ]);
  });

  it("load as in its first versions: poll, and a prefix of a group", () => {
    const config = read(`[routes.instance]
prefix = "instance/"
routes = [{ match = "^(?<instance>[^/]+)/config$", source = "config" }]
[source.config]
type = "http"
url = "https://localhost/instance/{instance}/config"
action = "GET"
poll = "4s"
expiry = "30s"
`);
    expect(config.rules).toMatchObject([{ ttlMs: 4_000, expiryMs: 30_000, stripPrefix: "instance/" }]);
    expect(coveredBy(config, "instance/one/config")).toEqual(["config", { 1: "one", instance: "one" }]);
    expect(warningsOf(config)).toEqual([]);
  });

  it("list the settings that have no effect in a group of routes", () => {
    const config = read('[routes.a]\nroute = []\nprefix = "x"\n[routes.b]\nroutes = []\nextra = 1\n');
    expect(warningsOf(config)).toEqual([
      "routes.a (line 1) has no effect: a group of routes has routes and a prefix",
      "routes.a.route (line 2) has no effect: a group of routes has routes and a prefix",
      "routes.b.extra (line 6) has no effect: a group of routes has routes and a prefix",
    ]);
  });

  it.each([
    ["max_size = 0", /pool\.awssm\.max_size: expected a whole number from 1/],
    ['min_idle = "x"', /pool\.awssm\.min_idle: expected a whole number from 0/],
    ["max_sise = 1", /pool\.awssm\.max_sise: unknown setting/],
  ])("are refused if a pool of AWS has %s", (line, message) => {
    expect(problems(`[pool.awssm]\ntype = "awssm"\n${line}\n`)).toMatch(message);
  });

  it("search for their patterns, while patterns of [get.NAME] match the whole key", () => {
    const rules = (match: string) =>
      `[routes.a]\nroutes = [{ match = '${match}', to = "s" }]\n[source.s]\ntype = "echo"\n`;
    const covers = (match: string, key: string) => coveredBy(read(rules(match)), key);
    expect(covers("b(.)", "abcb2")).toEqual(["s", { 1: "c" }]);
    expect(covers("^a|b$", "xb")).toEqual(["s", {}]);
    expect(covers("^a|b$", "ax")).toEqual(["s", {}]);
    expect(covers("^a|b$", "bx")).toBeNull();
    expect(covers("^echo1/(?<path>.+)", "echo1/x y")).toEqual(["s", { 1: "x y", path: "x y" }]);
    expect(covers("^(?<x>.)$", "ab")).toBeNull();
    expect(covers("b", "a\nb\nc")).toEqual(["s", {}]);
  });

  it("accept a target as a URL, and PLATYPUS_… variables", () => {
    expect(read('[server]\ntarget = "memcache://cache:1"\n').pools[0]!.servers[0]!.address).toMatchObject({
      host: "cache",
      port: 1,
    });
    const env = { PLATYPUS_SERVER_TARGET_HOST: "other", PLATYPUS_SERVER_PREFIX: "env/" };
    const config = read(demo, env);
    expect(config.pools[0]!.servers[0]!.address).toMatchObject({ host: "other", port: 11213 });
    expect(config.server.prefix).toBe("env/");
  });

  it("read files by their whole path, confined to the configured folder", () => {
    const file = (path: string) =>
      read(`[routes.a]\nroutes = [{ match = "^(?<x>.+)$", to = "f" }]\n[source.f]\ntype = "file"\npath = "${path}"\n`)
        .sources[0];
    expect(file("/srv/values/v-{x}.txt")).toMatchObject({ root: "/srv/values", path: "v-{x}.txt" });
    expect(file("/srv/%(x)")).toMatchObject({ root: "/srv", path: "%(x)" });
  });

  it.each([
    ['[routes.a]\nroutes = [{ match = "(", to = "s" }]', /config\.toml:2: get\.a-1\.match: .*missing closing \)/],
    [
      '[routes.a]\nroutes = [\n{ match = "a", to = "none" },\n]',
      /config\.toml:3: get\.a-1\.source: there is no \[source\.none\]/,
    ],
    ["[server]\ntarget = { host = 5 }", /config\.toml:2: target\.host: expected a string/],
    ['[routes.a]\nroutes = ["x"]', /config\.toml:2: get\.a-1: expected a section/],
  ])("are refused with the line number: %s", (text, message) => {
    expect(problems(text)).toMatch(message);
  });
});
