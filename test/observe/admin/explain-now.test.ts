/** The state of a key in a running Platypus, as /explain and `platypus explain --admin` show it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { addressText } from "../../../src/config/config.ts";
import type { Platypus } from "../../../src/server/platypus.ts";
import { KeptLog } from "../../support/fakes/kept-log.ts";
import { targetOf } from "../../support/rigs/native-config.ts";
import { connect, startMemcached, startOrigin, startPlatypus } from "../../support/rigs/started.ts";
import { freePort, MemcachedProcess } from "../../support/servers/memcached-process.ts";

const RULES = `[get.hello]
match = "hello/(.*)"
source = "greeting"
ttl = "60s"
stale = "5m"
[source.greeting]
type = "echo"
`;

async function start(toml: string): Promise<Platypus> {
  return startPlatypus(`[server]\nadmin = "127.0.0.1:0"\n${toml}`, { log: new KeptLog().log });
}

function adminOf(platypus: Platypus): string {
  return addressText(platypus.adminAddress!);
}

async function linesOf(platypus: Platypus, key: string): Promise<Map<string, string>> {
  const response = await fetch(`http://${adminOf(platypus)}/explain?${new URLSearchParams({ key })}`);
  return new Map((await response.json()) as [string, string][]);
}

describe.skipIf(MemcachedProcess.isMissing)("the state of a key now", () => {
  it("says that a filled key is in the pool, tracked and due, and how its server and source are", async () => {
    const memcached = await startMemcached();
    const platypus = await start(`${targetOf([memcached.port])}${RULES}`);
    const client = await connect(platypus);
    const before = await linesOf(platypus, "hello/a");
    expect(before.get("now in the pool")).toBe("no: a get is a miss");
    expect(before.get("now tracked")).toBe("no: it is not refreshed");
    await client.ask("get hello/a", "END\r\n");
    await client.ask("get hello/a", "END\r\n");
    const lines = await linesOf(platypus, "hello/a");
    expect(lines.get("rule")).toContain("hello, number 1 of 1");
    // Stored for the ttl, stale and a second; fresh for the ttl.
    expect(lines.get("now in the pool")).toMatch(/^yes, it expires in 6m1?s?; fresh for (1m|5\ds)$/);
    expect(lines.get("now tracked")).toMatch(/^yes: due in [45]\ds, last get \d+m?s ago, [12] gets?$/);
    expect(lines.get(`now 127.0.0.1:${memcached.port}`)).toMatch(/^up.*; connections: 1, requests in flight: \d$/);
    expect(lines.get("now source greeting")).toBe("breaker closed; places in use: 0 of 64, waiting: 0");
  });

  it("shows a value without an expiry and without a rule, and nothing of other servers", async () => {
    const servers = [await startMemcached(), await startMemcached()];
    const platypus = await start(targetOf(servers.map(({ port }) => port)));
    const client = await connect(platypus);
    await client.ask("set plain 0 0 1\r\nv");
    const lines = await linesOf(platypus, "plain");
    expect(lines.get("now in the pool")).toBe("yes, without an expiry");
    expect(lines.has("now tracked")).toBe(false);
    expect([...lines.keys()].filter((name) => name.startsWith("now 127"))).toHaveLength(1);
  });

  it("shows a failed fetch, the source's last error, and a server that is down", async () => {
    const origin = await startOrigin();
    origin.handle = (_request, response) => response.writeHead(500).end();
    const gone = await freePort();
    const broken = `[get.bad]\nmatch = "bad/(.*)"\nsource = "web"\nfailure_ttl = "1h"\n[source.web]\ntype = "http"\nurl = "${origin.url}/{1}"\n`;
    const platypus = await start(`${targetOf([gone])}${broken}`);
    const client = await connect(platypus);
    await client.ask("get bad/1", "END\r\n");
    const lines = await linesOf(platypus, "bad/1");
    expect(lines.get("now in the pool")).toMatch(/^unknown: /);
    expect(lines.get("now left alone")).toMatch(/^its last fetch failed; not fetched for 1h/);
    expect(lines.get("now source web")).toContain("last error: source web: status 500");
    expect(lines.get(`now 127.0.0.1:${gone}`)).toMatch(/^hard TKO since 20.*: connect ECONNREFUSED/);
  });

  it("is printed by platypus explain --admin", async () => {
    const memcached = await startMemcached();
    const platypus = await start(`${targetOf([memcached.port])}${RULES}`);
    const client = await connect(platypus);
    await client.ask("get hello/b", "END\r\n");
    const { stdout } = await promisify(execFile)(process.execPath, [
      "src/main.ts",
      "explain",
      "hello/b",
      "--admin",
      adminOf(platypus),
    ]);
    expect(stdout).toMatch(/^key +"hello\/b"$/m);
    expect(stdout).toMatch(/^now in the pool +yes, it expires in 6m/m);
  });
});
