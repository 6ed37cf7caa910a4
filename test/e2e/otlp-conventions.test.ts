/** Names and values of OTLP metrics and spans, by OpenTelemetry's semantic conventions, at a receiver. */
import { beforeEach, describe, expect, it } from "vitest";
import type { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, startMemcached, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { type Attributes, OtlpCollector } from "../support/servers/otlp-collector.ts";
import { ScriptedBackend } from "../support/servers/scripted-backend.ts";

const [SERVER, CLIENT] = [2, 3];
const SCHEMA_URL = /^https:\/\/opentelemetry\.io\/schemas\/1\.\d+\.0$/;

let collector: OtlpCollector;
beforeEach(async () => {
  collector = await OtlpCollector.start();
  afterTest(() => collector.close());
});

/** Runs `talk` with a server that traces everything, until it has sent all data. */
async function report(toml: string, talk: (client: TextClient) => Promise<void>): Promise<void> {
  const telemetry = `[telemetry]\notlp_endpoint = "${collector.url}"\nmetrics_interval = "1h"\ntraces_sample = 1\n`;
  const platypus = await startPlatypus(`${telemetry}${toml}`, { log: new KeptLog().log });
  const client = await connect(platypus);
  await talk(client);
  client.close();
  await platypus.drain();
}

function pointsOf(name: string): readonly { readonly attributes: Attributes; readonly value: number }[] {
  return collector.metrics.get(name)!.points.map(({ attributes, value }) => ({ attributes, value }));
}

/** Attributes of the spans of `kind`, reduced to those of `like`. */
function spanAttributes(kind: number, like: Attributes): Attributes[] {
  return collector.spans
    .filter((span) => span.kind === kind)
    .map(({ attributes }) => Object.fromEntries(Object.keys(like).map((name) => [name, attributes[name]])));
}

async function startBackend(script: ScriptedBackend["script"]): Promise<ScriptedBackend> {
  const server = await ScriptedBackend.start();
  afterTest(() => server.stop());
  server.script = script;
  return server;
}

async function originOf(handle: HttpOrigin["handle"]): Promise<HttpOrigin> {
  const origin = await startOrigin();
  origin.handle = handle;
  return origin;
}

function web(url: string): string {
  return `[get.page]\nmatch = "page/(.*)"\nsource = "web"\nlease = "process"\n[source.web]\ntype = "http"\nurl = "${url}/p/{1}?token=secret"\nretries = 0\nmax_body = "2MiB"\n`;
}

describe("the metrics of calls to servers", () => {
  it("have an operation, an address, a pool and an error, with the names and values that spans have", async () => {
    const server = await startBackend((line) => {
      if (line.startsWith("set")) return "SERVER_ERROR out of memory storing object\r\n";
      return line.startsWith("mg") ? "EN\r\n" : "END\r\n";
    });
    await report(targetOf([server.port]), async (client) => {
      await client.ask("get a", "END\r\n");
      await client.ask("get b", "END\r\n");
      await client.ask("mg c v");
      await client.ask("set d 0 0 1\r\nv");
    });
    const common = {
      "db.system.name": "memcached",
      "server.address": "127.0.0.1",
      "server.port": server.port,
      "platypus.pool": "target",
    };
    const points = pointsOf("db.client.operation.duration");
    expect(points).toEqual([
      { attributes: { ...common, "db.operation.name": "get" }, value: 3 },
      { attributes: { ...common, "db.operation.name": "set", "error.type": "serverError" }, value: 1 },
    ]);
    for (const { attributes } of points) expect(spanAttributes(CLIENT, attributes)).toContainEqual(attributes);
    expect(pointsOf("platypus.backend.errors")).toEqual([
      {
        attributes: {
          "server.address": "127.0.0.1",
          "server.port": server.port,
          "platypus.pool": "target",
          "error.type": "serverError",
        },
        value: 1,
      },
    ]);
  });

  it("include calls whose connection is lost", async () => {
    const server = await startBackend((line) => (line.startsWith("set") ? null : "END\r\n"));
    await report(targetOf([server.port]), async (client) => {
      client.send("set a 0 0 1\r\nv\r\n");
      await server.command();
      for (const connection of server.connections) connection.socket.destroy();
      await client.until("\r\n");
    });
    expect(pointsOf("db.client.operation.duration")).toMatchObject([
      { attributes: { "db.operation.name": "set", "error.type": "connectionLost" }, value: 1 },
    ]);
  });

  it("include calls that time out", async () => {
    const server = await startBackend((line) => (line.startsWith("set") ? null : "END\r\n"));
    await report(targetOf([server.port], `server_timeout = "50ms"`), async (client) => {
      await client.ask("set a 0 0 1\r\nv");
    });
    expect(pointsOf("db.client.operation.duration")).toMatchObject([
      { attributes: { "db.operation.name": "set", "error.type": "timeout" }, value: 1 },
    ]);
  });
});

describe("the metrics of clients' requests", () => {
  it("have the names and values that server spans have", async () => {
    const server = await startBackend((line) => {
      if (line.startsWith("set")) return "SERVER_ERROR out of memory storing object\r\n";
      return line.startsWith("incr") || line.startsWith("ma") ? "CLIENT_ERROR no number\r\n" : "END\r\n";
    });
    await report(targetOf([server.port]), async (client) => {
      await client.ask("get a", "END\r\n");
      await client.ask("set a 0 0 1\r\nv");
      await client.ask("incr a 1");
    });
    const common = { "db.system.name": "memcached", "platypus.protocol": "classic" };
    const points = pointsOf("platypus.client.request.duration");
    expect(points).toEqual([
      { attributes: { ...common, "db.operation.name": "get" }, value: 1 },
      { attributes: { ...common, "db.operation.name": "set", "error.type": "serverError" }, value: 1 },
      { attributes: { ...common, "db.operation.name": "incr" }, value: 1 },
    ]);
    for (const { attributes } of points) expect(spanAttributes(SERVER, attributes)).toContainEqual(attributes);
    const incr = { ...common, "db.operation.name": "incr", "error.type": "clientError" };
    expect(pointsOf("platypus.client.request.errors")).toContainEqual({ attributes: incr, value: 1 });
  });
});

describe("the metrics of HTTP sources", () => {
  it("have a method, an address, a path template, a status and an error, as spans have", async () => {
    const origin = await originOf((request, response) => {
      response.writeHead(request.url!.includes("bad") ? 503 : 200).end("value");
    });
    await report(web(origin.url), async (client) => {
      await client.ask("get page/good", "END\r\n");
      await client.ask("get page/bad", "END\r\n");
    });
    const common = {
      "http.request.method": "GET",
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(origin.url).port),
      "url.template": "/p/{1}",
    };
    const good = { ...common, "http.response.status_code": 200 };
    const bad = { ...common, "http.response.status_code": 503, "error.type": "503" };
    expect(pointsOf("http.client.request.duration")).toEqual([
      { attributes: { ...good, "platypus.source": "web" }, value: 1 },
      { attributes: { ...bad, "platypus.source": "web" }, value: 1 },
    ]);
    expect(spanAttributes(CLIENT, bad)).toEqual(expect.arrayContaining([{ ...good, "error.type": undefined }, bad]));
  });

  it("have the error of a request without a response", async () => {
    await report(web(`http://127.0.0.1:${await freePort()}`), async (client) => {
      await client.ask("get page/1", "END\r\n");
    });
    const { attributes } = pointsOf("http.client.request.duration")[0]!;
    expect(attributes).toMatchObject({ "error.type": "ECONNREFUSED" });
    expect(attributes).not.toHaveProperty("http.response.status_code");
    expect(spanAttributes(CLIENT, { "error.type": "" })).toEqual([{ "error.type": "ECONNREFUSED" }]);
  });
});

describe("everything that is sent by OTLP", () => {
  it("has attributes with a namespace, without keys and secrets, and names the version of the conventions", async () => {
    const origin = await originOf((_request, response) => response.end("value"));
    await report(web(origin.url), async (client) => {
      await client.ask("get page/private none", "END\r\n");
      await client.ask("incr none 1");
    });
    const points = [...collector.metrics.values()].flatMap(({ points }) => points);
    const all = [...points, ...collector.spans].map(({ attributes }) => attributes);
    for (const name of all.flatMap(Object.keys)) {
      expect(name).toMatch(/^(platypus|db|server|error|http|url|network|service|cpu|nodejs|v8js)(\.[a-z0-9_]+)+$/);
    }
    expect(JSON.stringify(all)).not.toMatch(/private|secret/);
    expect(collector.schemaUrls.length).toBeGreaterThan(1);
    for (const url of collector.schemaUrls) expect(url).toMatch(SCHEMA_URL);
  });

  it("has amounts as sums that may fall, and states as gauges", async () => {
    const port = await freePort();
    await report(`${targetOf([port])}${web("http://127.0.0.1:1")}`, async (client) => {
      await client.ask("get a", "END\r\n");
    });
    const kinds = new Map([...collector.metrics].map(([name, { kind, isMonotonic }]) => [name, [kind, isMonotonic]]));
    for (const name of [
      "platypus.client.connections",
      "platypus.backend.outstanding",
      "platypus.backend.connections",
      "platypus.refresh.tracked",
      "platypus.source.in_flight",
      "process.memory.usage",
    ]) {
      expect(kinds.get(name), name).toEqual(["sum", false]);
    }
    for (const name of ["platypus.backend.up", "platypus.source.breaker", "process.uptime"]) {
      expect(kinds.get(name), name).toEqual(["gauge", false]);
    }
  });
});

describe.skipIf(MemcachedProcess.isMissing)("the span of a value that the server refuses to store", () => {
  it("has the server's message", async () => {
    const memcached = await startMemcached();
    const origin = await originOf((_request, response) => response.end("v".repeat(1_100_000)));
    await report(`${targetOf([memcached.port])}${web(origin.url)}`, async (client) => {
      await client.ask("get page/1", "END\r\n");
    });
    const populate = collector.spans.find(({ name }) => name === "populate")!;
    expect(populate).toMatchObject({
      status: 2,
      attributes: { "error.type": "BACKEND", "platypus.result": "refused" },
    });
    expect(populate.statusMessage).toContain("object too large for cache");
  });
});
