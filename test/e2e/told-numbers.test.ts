/**
 * Everything that a process tells of its numbers, in each form that they have: `stats`, metrics, the admin page. The files of
 * test/vectors/told are what exporters, dashboards and scripts read: a difference is a change of a contract.
 */
import net from "node:net";
import { beforeEach, describe, expect, it } from "vitest";
import { addressText, type Config } from "../../src/config/config.ts";
import type { Question, Siblings } from "../../src/observe/siblings.ts";
import type { Platypus } from "../../src/server/platypus.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, startPlatypus } from "../support/rigs/started.ts";
import { treeConfig } from "../support/rigs/tree-config.ts";
import { freePort } from "../support/servers/memcached-process.ts";
import { ScriptedBackend } from "../support/servers/scripted-backend.ts";

const RULES = `[get.hello]
match = "hello/(.*)"
source = "greeting"
lease = "process"
[source.greeting]
type = "echo"
template = "Hello, {1}!"
`;
const groups = ["", "settings", "items", "slabs", "sizes", "conns", "platypus", "nothing"];
const mcrouterGroups = ["all", "basic", "cmd-error", "servers", "suspect_servers", "external", "version"];

/** What a port is called in the vectors, whatever it was this time. */
let ports: Map<string, string>;
beforeEach(() => {
  ports = new Map();
});

/** A server that stores what it is told to, has nothing, and answers `stats` with fixed numbers. */
async function startServer(): Promise<number> {
  const server = await ScriptedBackend.start();
  afterTest(() => server.stop());
  server.script = (line, data) => {
    if (line.startsWith("stats")) return "STAT curr_items 7\r\nSTAT limit_maxbytes 100\r\nSTAT threads 4\r\nEND\r\n";
    if (line.startsWith("get")) return "END\r\n";
    if (line.startsWith("mg")) return "EN\r\n";
    return data === null ? "NOT_FOUND\r\n" : "STORED\r\n";
  };
  ports.set(String(server.port), "SERVER");
  return server.port;
}

/** The line to another worker that has the same numbers: what it tells has been through the supervisor. */
async function twin(): Promise<Siblings> {
  const admin = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => admin.once("listening", resolve));
  afterTest(() => admin.close());
  let answer: (question: Question) => unknown = () => null;
  const told = (question: Question): unknown => JSON.parse(JSON.stringify(answer(question)));
  return {
    sockets: new Map([["admin", admin]]),
    ask: (question, done) => done([told(question), told(question)]),
    onQuestion: (given) => {
      answer = given;
    },
    onReplaced: () => {},
    onBeat: () => {},
    connectionsChanged: () => {},
    otherConnections: 0,
  };
}

async function start(config: Config, siblings: Siblings | null): Promise<{ platypus: Platypus; client: TextClient }> {
  const platypus = await startPlatypus(config, { log: new KeptLog().log, siblings });
  const [address] = platypus.addresses;
  const port = address!.type === "tcp" ? address!.port : 0;
  ports.set(String(port), "LISTEN");
  const client = await connect(port);
  ports.set(String((client.socket.address() as net.AddressInfo).port), "CLIENT");
  return { platypus, client };
}

async function talk(client: TextClient): Promise<void> {
  // The server that is gone has been found out, where there is one.
  await expect.poll(async () => named(await client.ask("stats platypus", "END\r\n"))).not.toContain("GONE:state up");
  for (let i = 0; i < 3; i++) await client.ask(`set stored${i} 0 0 1\r\nv`);
  for (let i = 0; i < 5; i++) await client.ask(`get a${i}`, "\r\n");
  for (const name of ["x", "y", "x"]) await client.ask(`get hello/${name}`, "END\r\n");
  await client.ask("delete stored0");
  await client.ask("incr stored1 1");
  await client.ask("mg stored2 v");
  await client.ask("nonsense");
}

function named(text: string): string {
  return text.replaceAll(/\b\d{4,5}\b/g, (digits) => ports.get(digits) ?? digits);
}

/** Stats whose values depend on the machine or on the time. */
const changing =
  /^(pid|parent_pid|time|start_time|uptime|commandargs|version|mcrouter-version|rusage_.*|ps_.*|duration.*|config_last.*|fibers.*|bytes_\w+|.*fetch_ms:(p50|p99|max)|items:1:age|config_age|.*:fetch_ms|limit_maxbytes)$/;
/** mcrouter's rates. */
const rates = /^(cmd|result|request|failover|final_result|asynclog)_.*(?<!_count)$/;

async function statsText(client: TextClient, all: readonly string[]): Promise<string> {
  const parts: string[] = [];
  for (const group of all) {
    const answer = named(await client.ask(`stats ${group}`.trim(), group === "nothing" ? "\r\n" : "END\r\n"));
    const lines = answer.split("\r\n").map((line) => {
      const [, name, value] = /^STAT (\S+) ?(.*)$/.exec(line) ?? [];
      if (name === undefined) return line;
      const isChanging = changing.test(name) || (rates.test(name) && group === "all");
      return `${name} ${isChanging ? "*" : value!.replace(/avg_latency_us:[\d.]+/, "avg_latency_us:*")}`.trim();
    });
    parts.push(`stats ${group}\n${lines.filter((line) => line !== "" && line !== "END").join("\n")}\n`);
  }
  return parts.join("\n");
}

async function metricsText(platypus: Platypus): Promise<string> {
  const text = await (await fetch(`http://${addressText(platypus.adminAddress!)}/metrics`)).text();
  const bounds = new Map<string, string[]>();
  const lines = named(text)
    .split("\n")
    .flatMap((line) => {
      const [, family, bound] = /^(\S+)_bucket\{.*le="([^"]+)"\}/.exec(line) ?? [];
      if (family !== undefined) {
        const known = bounds.get(family) ?? [];
        if (!known.includes(bound!)) known.push(bound!);
        bounds.set(family, known);
        return [];
      }
      const isChanging =
        /_sum[ {]|^(process|nodejs|v8js)_|^platypus_(config_age|memory|eventloop|info|client_io|store_limit)/.test(
          line,
        );
      return [isChanging ? line.replace(/ \S+$/, " *").replace(/version="[^"]*"/, 'version="*"') : line];
    });
  return `${lines.join("\n")}${[...bounds].map(([family, all]) => `${family} ${all.join(" ")}`).join("\n")}\n`;
}

/** The paths of a JSON value, a line each; of numbers that change only the path. */
function paths(value: unknown, path: string): string[] {
  if (Array.isArray(value)) return value.flatMap((entry, i) => paths(entry, `${path}[${i}]`));
  if (typeof value === "object" && value !== null)
    return Object.entries(value).flatMap(([name, inner]) => paths(inner, `${path}.${name}`));
  const isChanging = /(Ms|Seconds|[bB]ytes|\.version)$/.test(path) || path.includes("sample.");
  return [`${path} ${isChanging ? (value === null ? "null or *" : "*") : named(JSON.stringify(value))}`];
}

async function pageText(platypus: Platypus): Promise<string> {
  const abort = new AbortController();
  const response = await fetch(`http://${addressText(platypus.adminAddress!)}/events`, { signal: abort.signal });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk, { stream: true });
    // The second one of them has a sample.
    if (/event: now\n.*\n\n[\s\S]*event: now\n.*\n\n/.test(text)) break;
  }
  abort.abort();
  const all = [...text.matchAll(/event: now\ndata: (.*)\n/g)].map(([, data]) => JSON.parse(data!));
  return `${paths(all.at(-1), "now")
    .map((line) => line.replace("null or *", "*"))
    .join("\n")}\n`;
}

const ADMIN = `[server]\nadmin = "127.0.0.1:0"\n`;

const configs: Readonly<Record<string, { groups: readonly string[]; make(): Promise<Config> }>> = {
  pool: {
    groups,
    make: async () => {
      const gone = await freePort();
      ports.set(String(gone), "GONE");
      const config = nativeConfig(`${ADMIN}${targetOf([await startServer(), gone], 'hash = "ch3"')}${RULES}`);
      // No probe counts as a failure to connect while the test runs.
      const withoutProbes = config.pools.map((pool) => ({ ...pool, health: { ...pool.health, firstProbeMs: 1e6 } }));
      return { ...config, pools: withoutProbes };
    },
  },
  store: { groups, make: async () => nativeConfig(`${ADMIN}${RULES}`) },
  mcrouter: {
    groups: ["", ...mcrouterGroups, "settings", "platypus", "nothing"],
    make: async () => {
      const gone = await freePort();
      ports.set(String(gone), "GONE");
      const servers = [`127.0.0.1:${await startServer()}`, `127.0.0.1:${gone}`];
      const config = await treeConfig({ pools: { A: { servers } }, route: "PoolRoute|A" });
      return { ...config, server: { ...config.server, admin: nativeConfig(ADMIN).server.admin } };
    },
  },
};

/** The store in a process has one owner: there are no workers. */
const rows = Object.keys(configs).flatMap((name) =>
  (name === "store" ? [1] : [1, 2]).map((count) => [name, count] as const),
);

describe("the reported numbers", () => {
  it.each(rows)(
    "with a %s, of %i processes together, have the names and values of their contract",
    async (name, count) => {
      const { groups: all, make } = configs[name]!;
      const { platypus, client } = await start(await make(), count === 1 ? null : await twin());
      await talk(client);
      const vector = (kind: string) => `../vectors/told/${name}-${count}-${kind}.txt`;
      await expect(await statsText(client, all)).toMatchFileSnapshot(vector("stats"));
      await expect(await metricsText(platypus)).toMatchFileSnapshot(vector("metrics"));
      await expect(await pageText(platypus)).toMatchFileSnapshot(vector("page"));
    },
  );
});
