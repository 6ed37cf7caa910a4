import { describe, expect, it } from "vitest";
import type { Config } from "../../../src/config/config.ts";
import { answerAdmin } from "../../../src/mcrouter/report/admin.ts";
import { spooky32 } from "../../../src/proxy/hash/spooky.ts";
import type { LogConfig } from "../../../src/telemetry/log-config.ts";
import { packageVersion } from "../../../src/version.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { treeConfig } from "../../support/rigs/tree-config.ts";

const document = {
  macros: { port: { type: "constDef", result: "11211" } },
  pools: {
    A: { servers: ["10.0.0.1:%port%", "10.0.0.2:%port%"] },
    B: { servers: ["10.0.1.1:11211"], keep_routing_prefix: true },
  },
  routes: {
    "/././": {
      type: "OperationSelectorRoute",
      default_policy: "PoolRoute|A",
      operation_policies: { set: { type: "AllSyncRoute", children: "Pool|A" } },
    },
    "/b/b/": { type: "FailoverRoute", name: "f", children: ["PoolRoute|B", "ErrorRoute|no"] },
  },
};

async function setUp(
  options: Record<string, string> = {},
  files: Record<string, string> = {},
  route: object = document,
) {
  const config = await treeConfig(route, options, files);
  return asker(config);
}

function asker(config: Config) {
  let level: LogConfig["level"] = "info";
  const clock = new ManualClock();
  return (command: string): string =>
    answerAdmin(command, {
      config,
      clock,
      hostId: 42,
      configAgeSeconds: 17,
      logLevel: level,
      setLogLevel: (next) => {
        level = next;
      },
    });
}

describe("a get of an admin key __mcrouter__.", () => {
  it("returns version, hostid and config_age", async () => {
    const ask = await setUp();
    expect([ask("version"), ask("hostid"), ask("config_age")]).toEqual([`${packageVersion} mcrouter`, "42", "17"]);
  });

  it("returns the failure domains of a pool's servers", async () => {
    const servers = ["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"];
    const pool = { servers, failure_domains: [7, "row 4", 1.5] };
    const ask = await setUp({}, {}, { pools: { A: pool, B: { servers } }, route: "PoolRoute|A" });
    const row = spooky32(Buffer.from("row 4"), 0, 5, 0);
    const domains = { "10.0.0.1:1": "7()", "10.0.0.2:2": `${row}()`, "10.0.0.3:3": "0()" };
    expect(JSON.parse(ask("failure_domains(A)"))).toEqual(domains);
    expect(ask("failure_domains(none)")).toBe("{}");
    expect(ask("failure_domains")).toBe("ERROR: failure_domains: 1 arg expected");
  });

  it("returns config_file, or reports that there is none", async () => {
    expect((await setUp())("config_file")).toBe("/etc/mcrouter.json");
    const inline = await setUp({ config: JSON.stringify(document) });
    expect(inline("config_file")).toBe("ERROR: no config file found!");
  });

  it("returns config_md5_digest and config_sources_info of the original texts", async () => {
    const files = { "/pools/c.json": '{"servers":["10.0.2.1:1"]}', "/etc/more.json": '"PoolRoute|A"' };
    const route = {
      ...document,
      routes: { "/././": { type: "AllSyncRoute", children: ["PoolRoute|file:/pools/c.json", "@import(more.json)"] } },
    };
    const ask = await setUp({}, files, route);
    const digest = ask("config_md5_digest");
    expect(digest).toMatch(/^[0-9a-f]{32}$/);
    const info = ask("config_sources_info");
    expect(JSON.parse(info)).toEqual({
      config_file: "/etc/mcrouter.json",
      mcrouter_config: digest,
      config_import: { "/etc/more.json": expect.stringMatching(/^[0-9a-f]{32}$/) },
      pools: { "/pools/c.json": expect.stringMatching(/^[0-9a-f]{32}$/) },
    });
    expect(info.split("\n")[1]).toBe('  "config_file": "/etc/mcrouter.json",');
  });

  it("returns preprocessed_config, sorted and with expanded macros", async () => {
    const text = (await setUp())("preprocessed_config");
    expect(text).toContain('"10.0.0.1:11211"');
    expect(Object.keys(JSON.parse(text))).toEqual(["pools", "routes"]);
  });

  it("returns options, all of them or one", async () => {
    const ask = await setUp({ server_timeout_ms: "300" });
    const lines = ask("options").split("\n");
    expect(lines).toContain("server_timeout_ms 300");
    expect(lines).toContain("asynclog_disable 0");
    expect(ask("options(server_timeout_ms)")).toBe("300");
    expect(ask("options(no_such)")).toBe("ERROR: options: option no_such not found");
    expect(ask("options(a,b)")).toBe("ERROR: options: 0 or 1 args expected");
  });

  it("returns for route the servers that would get the request", async () => {
    const ask = await setUp();
    const owner = ask("route(get,k)");
    expect(["10.0.0.1:11211", "10.0.0.2:11211"]).toContain(owner);
    expect(ask("route(set,k)")).toBe("10.0.0.1:11211\r\n10.0.0.2:11211");
    expect(ask("route(get,/b/b/k,with,commas)")).toBe("10.0.1.1:11211");
    expect(ask("route(get,/no/such/k)")).toBe("");
    for (const operation of ["metaget", "gat", "cas", "append", "incr", "touch", "delete"]) {
      expect([operation, ask(`route(${operation},k)`)]).toEqual([operation, owner]);
    }
  });

  it("returns for route also the servers behind limits and delays, which it ignores", async () => {
    const limited = { type: "RateLimitRoute", target: "PoolRoute|B", rates: { gets_rate: 1 } };
    const slow = { type: "LatencyInjectionRoute", child: limited, before_latency_ms: 50, after_latency_ms: 5 };
    const ask = await setUp({}, {}, { pools: document.pools, macros: document.macros, route: slow });
    expect([1, 2, 3].map(() => ask("route(get,k)"))).toEqual(Array(3).fill("10.0.1.1:11211"));
  });

  it("returns for route_handles the tree that a key passes, one handle per line", async () => {
    const ask = await setUp({ default_route: "/././" });
    expect(ask("route_handles(set,k)").split("\n")).toEqual([
      "proxy",
      " root",
      "  operation-selector",
      "   all-sync",
      "    host|pool=A|id=0|ap=10.0.0.1:11211:ascii:plain:notcompressed|timeout=1000ms|keep_routing_prefix=false",
      "    host|pool=A|id=1|ap=10.0.0.2:11211:ascii:plain:notcompressed|timeout=1000ms|keep_routing_prefix=false",
    ]);
    expect(ask("route_handles(get,k)").split("\n").slice(0, 5)).toEqual([
      ...["proxy", " root", "  operation-selector", "   asynclog:A", "    selection|Ch3"],
    ]);
    expect(ask("route_handles(get,/b/b/k)").split("\n")).toEqual([
      "proxy",
      " root",
      "  failover:f:failover_targets=2",
      "   asynclog:B",
      "    host|pool=B|id=0|ap=10.0.1.1:11211:ascii:plain:notcompressed|timeout=1000ms|keep_routing_prefix=true",
      "   error|log|mc_res_local_error|no",
    ]);
  });

  it.each(["route(get)", "route(fetch,k)", "route_handles(get)", "route_handles(fetch,k)", "route"])(
    "returns an error for %s",
    async (command) => {
      expect((await setUp())(command)).toMatch(/^ERROR: route(_handles)?: (2 args expected|unknown request fetch)$/);
    },
  );

  it("returns and sets verbosity", async () => {
    const ask = await setUp();
    expect([ask("verbosity"), ask("verbosity(2)"), ask("verbosity")]).toEqual(["1", "1 -> 2", "2"]);
    expect(ask("verbosity(1,2)")).toBe("ERROR: expected at most 1 argument, got 2");
    expect(ask("verbosity(x)")).toMatch(/^ERROR: /);
  });

  it("returns pools and global_params", async () => {
    const ask = await setUp({ config_params: "a:b" });
    expect(JSON.parse(ask("pools"))).toEqual({
      A: [expect.stringContaining("id=0|ap=10.0.0.1:11211"), expect.stringContaining("id=1|ap=10.0.0.2:11211")],
      B: [expect.stringContaining("keep_routing_prefix=true")],
    });
    expect(JSON.parse(ask("global_params"))).toMatchObject({
      a: "b",
      "default-route": "/././",
      "service-name": "mcrouter",
    });
  });

  it("returns an error value for any other key", async () => {
    const ask = await setUp();
    expect([ask("no_such"), ask("no_such(1)"), ask(""), ask("toString")]).toEqual([
      ...["ERROR: unknown command: no_such", "ERROR: unknown command: no_such", "ERROR: unknown command: "],
      "ERROR: unknown command: toString",
    ]);
  });
});
