import { writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { parseNative } from "../../../src/config/native.ts";
import { explain } from "../../../src/observe/admin/explain.ts";
import { shownConfig, withoutSecrets } from "../../../src/observe/admin/shown-config.ts";
import { loadWing } from "../../../src/observe/mcrouter-wing.ts";
import type { Span } from "../../../src/proxy/tracing.ts";
import { buildSources } from "../../../src/sources/build.ts";
import { sourceTypes } from "../../../src/sources/types.ts";
import { afterTest, startOrigin, temporaryFolder } from "../../support/rigs/started.ts";
import { treeConfig } from "../../support/rigs/tree-config.ts";
import { PlatypusProcess } from "../../support/servers/platypus-process.ts";

const TOML = `[server]
prefix = "p:"
[target]
servers = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
[get.users]
match = "user/(?<id>[^/]+)"
source = "web"
ttl = "60s"
stale = "10m"
[get.all]
match = "all/(.*)"
source = "both"
[source.web]
type = "http"
url = "http://origin:8080/users/{id}?x=1"
bearer_token = "\${ENV:TOKEN}"
[source.echo]
type = "echo"
template = "<{id}>"
[get.secret]
match = "secret/(.*)"
source = "passwords"
[source.passwords]
type = "awssm"
key = "app/{1}"
field = "password"
[source.both]
type = "merge"
template = [{ key = ["a"], source = "echo", args = { replace = { id = "{1}" } } }]
`;

function lines(key: string, toml = TOML): Map<string, string> {
  const config = parseNative({ file: null, text: toml, env: { TOKEN: "secret" }, sourceTypes });
  return new Map(explain(config, buildSources(config.sources, new Map(), systemClock), key));
}

describe("the explanation of a key", () => {
  it("has its server, its rule, the call and the times", () => {
    const explained = lines("user/a b");
    expect(explained.get("on the servers")).toBe('"p:user/a b"');
    expect(explained.get("server")).toMatch(/^10\.0\.0\.[123]:11211 of pool target \([123] of 3 by ketama, at \d+\)$/);
    expect(explained.get("rule")).toBe('users, number 1 of 3: match = "user/(?<id>[^/]+)"');
    expect(explained.get("captures")).toBe('{1} = "a b", {id} = "a b"');
    expect(explained.get("  asks for")).toBe(
      "GET http://origin:8080/users/a%20b?x=(hidden) with accept-encoding, authorization",
    );
    expect(explained.get("is stored for")).toBe("661 s (ttl, stale 10m and 1 s)");
    expect(explained.get("is refreshed")).toBe("54s after it was stored, or up to a tenth earlier");
    expect([...explained.values()].join()).not.toContain("secret");
  });

  it("says how the server was chosen", () => {
    const serverBy = (hash: string) => lines("key", `[target]\nservers = ["a:1", "b:1"]\n${hash}`).get("server");
    expect(serverBy('hash = "ch3"')).toMatch(/^[ab]:1 of pool target \([12] of 2 by ch3, at \d+\)$/);
    expect(serverBy('hash = "random"')).toBe("any of the 2 of pool target");
  });

  it("lists the requests of the parts of a merge", () => {
    expect(lines("all/x").get("  asks for")).toBe('a: "<x>"');
  });

  it("names the requested secret", () => {
    expect(lines("secret/db").get("  asks for")).toBe('secret "app/db", version AWSCURRENT, its field "password"');
  });

  it("says why its source would refuse it", () => {
    expect(lines("user/..").get("  refuses")).toContain('".." segment');
  });

  it("says that no rule covers it", () => {
    expect(lines("other").get("rule")).toContain("none covers it");
  });

  it("says that the store of this process has it, and no other process", () => {
    expect(lines("k", "").get("server")).toBe("the store in this process");
    expect(lines("user/1").get("one fetch for")).toBe("all processes over the pool (lease)");
    const alone = TOML.replace(/\[target\]\n.*\n/, "");
    expect(lines("user/1", alone).get("one fetch for")).toBe("this process");
  });
});

describe("platypus explain", () => {
  async function run(args: string[], env: Record<string, string> = {}) {
    const child = PlatypusProcess.run(args, env);
    afterTest(() => child.stop());
    return { code: await child.exit(), stdout: child.stdout, stderr: child.stderr };
  }

  it("asks the source with --fetch, and shows everything except the value", async () => {
    const origin = await startOrigin();
    origin.handle = (_request, response) =>
      response.writeHead(200, { etag: '"1"', "cache-control": "max-age=30" }).end("a secret value");
    const folder = await temporaryFolder();
    const config = path.join(folder, "platypus.toml");
    const toml = `[get.a]\nmatch = "(.*)"\nsource = "web"\n[source.web]\ntype = "http"\nurl = "${origin.url}/{1}"\n`;
    await writeFile(config, toml);
    const { code, stdout } = await run(["explain", "k", "--config", config, "--fetch"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/fetched +14 bytes in \d+ ms; good for \d+s; marked etag "1"/);
    expect(stdout).not.toContain("a secret value");
    expect(origin.requests).toEqual(["GET /k"]);
  });

  it("reports why its source did not answer", async () => {
    const folder = await temporaryFolder();
    const config = path.join(folder, "platypus.toml");
    await writeFile(
      config,
      '[get.a]\nmatch = "(.*)"\nsource = "web"\n[source.web]\ntype = "http"\nurl = "http://127.0.0.1:1/{1}"\n',
    );
    const { code, stdout, stderr } = await run(["explain", "k", "--config", config, "--fetch"]);
    expect([code, stderr]).toEqual([1, ""]);
    expect(stdout).toMatch(/failed +SOURCE_UNREACHABLE: source web: .*ECONNREFUSED/);
  });

  it("does not ask a source without --fetch", async () => {
    const { code, stdout } = await run(["explain", "quickstart/hello", "--config", "config/quickstart.toml"]);
    expect(code).toBe(0);
    expect(stdout).toContain("quickstart");
  });

  it("describes its arguments in one sentence", async () => {
    const { code, stderr } = await run(["explain", "--config", "config/quickstart.toml"]);
    expect([code, stderr.split("\n")[0]]).toEqual([
      2,
      "platypus: explain takes keys and a file: platypus explain KEY --config FILE [--fetch]",
    ]);
  });
});

describe("platypus explain with mcrouter's tree", () => {
  beforeAll(() => loadWing());

  it("shows the servers of get, set and delete, and the routes between", async () => {
    const config = await treeConfig({
      pools: { A: { servers: ["10.0.0.1:11211", "10.0.0.2:11211"] }, B: { servers: ["10.0.1.1:11211"] } },
      route: {
        type: "OperationSelectorRoute",
        default_policy: { type: "FailoverRoute", children: ["PoolRoute|A", "PoolRoute|B"] },
        operation_policies: { delete: { type: "AllSyncRoute", children: ["PoolRoute|A", "PoolRoute|B"] } },
      },
    });
    const explained = new Map(explain(config, new Map(), "foo"));
    const first = explained.get("get")!;
    expect(first).toMatch(/^10\.0\.0\.[12]:11211$/);
    expect(explained.get("set")).toBe(first);
    expect(explained.get("delete")).toBe(`${first}, 10.0.1.1:11211`);
    expect(explained.get("route")).toBe("root");
    expect(explain(config, new Map(), "foo").map(([, text]) => text)).toContain(" operation-selector");
    expect(explained.get("rule")).toBe("none covers it: it is forwarded, and a miss is a miss");
  });
});

describe("secrets", () => {
  const env = { TOKEN: 'a {b} "ü" c&d', PART: "x y{z}" };
  const text = `
[get.page]
match = "page/(.*)"
source = "web"
[source.web]
type = "http"
url = "http://origin/\${ENV:PART}/{1}?token=literal-{1}-word&only-a-token&lang={1}"
query = { more = "\${ENV:TOKEN}", other = "sec-{1}-ret" }
[get.made]
match = "made/(.*)"
source = "made"
[source.made]
type = "file"
root = "/"
path = "\${ENV:TOKEN}/{1}"
[telemetry]
otlp_endpoint = "http://user:login@127.0.0.1:4318"
`;
  const config = parseNative({ file: null, text, env, sourceTypes });
  const sources = buildSources(config.sources, new Map(), systemClock);
  const leaks = /literal|word|only-a-token|sec|ret[^r]|x y|x%20y|%7Bz|a {b|a%20|%C3%BC|ü|login/;

  it("are in no line of an explanation, and neither is text that the key inserts", () => {
    const lines = explain(config, sources, "page/KEY").map(([, line]) => withoutSecrets(line, config));
    const call = lines.find((line) => line.startsWith("GET"))!;
    expect(call).toBe(
      "GET http://origin/(hidden)/KEY?token=(hidden)KEY(hidden)&(hidden)&lang=KEY&more=(hidden)&other=(hidden)KEY(hidden) with accept-encoding",
    );
    expect(
      explain(config, sources, "made/KEY")
        .map(([, line]) => withoutSecrets(line, config))
        .join(),
    ).not.toMatch(leaks);
  });

  it("are in no part of the shown configuration", () => {
    expect(JSON.stringify(shownConfig(config))).not.toMatch(leaks);
  });

  it("are in no attribute of a trace or of a metric", async () => {
    const told: unknown[] = [];
    const call = {
      traceparent: "00-1-2-01",
      setKeyText: (_name: string, value: string) => told.push(value),
      set: (_name: string, value: unknown) => told.push(value),
      fail: () => {},
      end: () => {},
    };
    const span = {
      begin: (name: string) => {
        told.push(name);
        return call;
      },
    };
    const { source } = sources.get("web")!;
    const groups = new Map([["1", "KEY"]]);
    const context = { key: "KEY", groups, encoding: "utf8", tag: null, priority: "fill", span } as const;
    const abort = AbortSignal.abort();
    await source.fetch({ ...context, signal: abort, span: span as unknown as Span }).catch(() => {});
    const calls = source.httpCalls!.read();
    expect(calls).toMatchObject([{ method: "GET", template: "/(hidden)/{1}" }]);
    told.push(...Object.values(calls[0]!));
    expect(told.join(" ")).toContain(" /(hidden)/{1} ");
    expect(told.join(" ")).toContain("/KEY?token=(hidden)KEY(hidden)&");
    expect(told.join(" ")).not.toMatch(leaks);
  });
});
