/** Traces as a receiver of OTLP sees them: who is whose parent, what is linked to what, and what they say. */
import { beforeEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { afterTest, startMemcached, startOrigin } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { OtlpCollector, type ReceivedSpan } from "../support/servers/otlp-collector.ts";

const [INTERNAL, SERVER, CLIENT] = [1, 2, 3];
const ERROR = 2;
const CALLER_TRACE = "0af7651916cd43dd8448eb211c80319c";
const CALLER_SPAN = "b7ad6b7169203331";

let collector: OtlpCollector;
beforeEach(async () => {
  collector = await OtlpCollector.start();
  afterTest(() => collector.close());
});

function telemetry(settings: string): string {
  return `[telemetry]\notlp_endpoint = "${collector.url}"\nmetrics_interval = "1h"\n${settings}\n`;
}

/** Spans of what `talk` did, once the server is gone and has sent them all. */
async function spansOf(
  toml: string,
  talk: (client: TextClient, log: KeptLog) => Promise<void>,
): Promise<ReceivedSpan[]> {
  const kept = new KeptLog();
  const platypus = await Platypus.start(nativeConfig(toml), { log: kept.log });
  const [address] = platypus.addresses;
  const client = await TextClient.connect(address!.type === "tcp" ? address!.port : 0);
  try {
    await talk(client, kept);
  } finally {
    client.close();
    await platypus.drain();
  }
  return collector.spans;
}

function named(spans: readonly ReceivedSpan[], name: string, kind: number): ReceivedSpan {
  const found = spans.filter((span) => span.name === name && span.kind === kind);
  expect(found, `spans named ${name}`).toHaveLength(1);
  return found[0]!;
}

/** A rule over an http source. */
function web(origin: HttpOrigin, settings = ""): string {
  return `[get.page]
match = "page/(.*)"
source = "web"
fill_timeout = "10s"
${settings}
[source.web]
type = "http"
url = "${origin.url}/p/{1}"
`;
}

describe.skipIf(MemcachedProcess.isMissing)("a traced get that is filled", () => {
  it("has each step as a span below its parent, and propagates the trace to the HTTP server", async () => {
    const memcached = await startMemcached();
    const origin = await startOrigin();
    origin.handle = (_request, response) => response.end("value");
    const toml = `${telemetry("traces_sample = 1")}${targetOf([memcached.port])}${web(origin)}`;
    const spans = await spansOf(toml, async (client) => {
      expect(await client.ask("get page/1", "END\r\n")).toContain("value");
    });
    const request = named(spans, "get", SERVER);
    const fill = named(spans, "fill", INTERNAL);
    const fetched = named(spans, "fetch", INTERNAL);
    const call = named(spans, "GET /p/{1}", CLIENT);
    const backend = named(spans, "get", CLIENT);
    const [lease, populate] = [named(spans, "lease", INTERNAL), named(spans, "populate", INTERNAL)];
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect(request.parentId).toBe("");
    expect([backend.parentId, fill.parentId]).toEqual([request.spanId, request.spanId]);
    expect([lease.parentId, fetched.parentId, populate.parentId]).toEqual([fill.spanId, fill.spanId, fill.spanId]);
    expect(call.parentId).toBe(fetched.spanId);
    expect(request.attributes).toEqual({
      "db.system.name": "memcached",
      "db.operation.name": "get",
      "platypus.protocol": "classic",
      "platypus.result": "found",
    });
    expect(backend.attributes).toMatchObject({
      "db.system.name": "memcached",
      "db.operation.name": "get",
      "server.address": "127.0.0.1",
      "server.port": memcached.port,
      "platypus.pool": "target",
      "platypus.result": "missing",
    });
    expect(call.attributes).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "server.address": "127.0.0.1",
      "url.template": "/p/{1}",
    });
    expect(lease.attributes).toEqual({ "platypus.lease": "taken" });
    expect(populate.attributes).toEqual({ "platypus.result": "stored" });
    expect(origin.headers[0]!.traceparent).toBe(`00-${call.traceId}-${call.spanId}-01`);
    // Times are in whole microseconds. A fill ends after its clients have been answered.
    for (const ns of [backend.startNs, backend.endNs, fill.startNs]) {
      expect(ns).toBeGreaterThanOrEqual(request.startNs - 1_000n);
      expect(ns).toBeLessThanOrEqual(request.endNs + 1_000n);
    }
    expect(JSON.stringify(spans.map(({ attributes }) => attributes))).not.toContain("page/1");
  });

  it("has the key, or its rule, if configured", async () => {
    const origin = await startOrigin();
    origin.handle = (_request, response) => response.end("value");
    const get = async (client: TextClient) => void (await client.ask("get page/1", "END\r\n"));
    const byRule = await spansOf(`${telemetry('traces_sample = 1\nkeys = "rule"')}${web(origin)}`, get);
    expect(named(byRule, "fill", INTERNAL).attributes).toEqual({ "platypus.rule": "page" });
    expect(JSON.stringify(byRule.map(({ attributes }) => attributes))).not.toContain("page/1");
    collector.spans.length = 0;
    const full = await spansOf(`${telemetry('traces_sample = 1\nkeys = "full"')}${web(origin)}`, get);
    expect(named(full, "get", SERVER).attributes).toMatchObject({ "platypus.key": "page/1" });
    expect(named(full, "fill", INTERNAL).attributes).toEqual({ "platypus.rule": "page", "platypus.key": "page/1" });
    expect(named(full, "GET /p/{1}", CLIENT).attributes).toMatchObject({ "url.full": `${origin.url}/p/1` });
  });

  it("has one fill for joined requests, which the joining trace records", async () => {
    const origin = await startOrigin();
    origin.handle = (_request, response) => response.end("value");
    const spans = await spansOf(`${telemetry("traces_sample = 1")}${web(origin)}`, async (client) => {
      client.send("get page/1\r\nget page/1\r\n");
      await client.until("END\r\n");
      await client.until("END\r\n");
    });
    const requests = spans.filter(({ kind }) => kind === SERVER);
    const fill = named(spans, "fill", INTERNAL);
    expect(requests).toHaveLength(2);
    expect(requests.filter(({ attributes }) => attributes["platypus.fill"] === "joined")).toHaveLength(1);
    expect(requests.find(({ spanId }) => spanId === fill.parentId)!.attributes).not.toHaveProperty("platypus.fill");
  });

  it("shows its error if it failed, and the log has its trace", async () => {
    const origin = await startOrigin();
    origin.handle = (_request, response) => response.writeHead(500).end();
    let line = "";
    const spans = await spansOf(`${telemetry("traces_sample = 1")}${web(origin)}`, async (client, log) => {
      expect(await client.ask("get page/1", "END\r\n")).toBe("END\r\n");
      await log.said(/rule page/);
      line = log.lines.find((each) => each.includes("rule page"))!;
    });
    const fill = named(spans, "fill", INTERNAL);
    expect(fill).toMatchObject({ status: ERROR, attributes: { "error.type": "SOURCE_STATUS" } });
    expect(named(spans, "GET /p/{1}", CLIENT)).toMatchObject({ status: ERROR, attributes: { "error.type": "500" } });
    // The get itself was answered: with a miss.
    expect(named(spans, "get", SERVER)).toMatchObject({ status: 0, attributes: { "platypus.result": "missing" } });
    expect(line).toContain(`trace_id=${fill.traceId} span_id=${fill.spanId}`);
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a traced get of several keys", () => {
  it("has a call for each server that was asked", async () => {
    const servers = await Promise.all([MemcachedProcess.start(), MemcachedProcess.start()]);
    afterTest(() => Promise.all(servers.map((server) => server.stop())));
    const toml = `${telemetry("traces_sample = 1")}${targetOf(servers.map(({ port }) => port))}`;
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    const spans = await spansOf(toml, async (client) => {
      await client.ask(`get ${keys.join(" ")}`, "END\r\n");
    });
    const request = named(spans, "get", SERVER);
    expect(request.attributes).toMatchObject({ "db.operation.batch.size": 20 });
    const calls = spans.filter(({ kind }) => kind === CLIENT);
    expect(calls.map(({ parentId }) => parentId)).toEqual([request.spanId, request.spanId]);
    const sizes = calls.map(({ attributes }) => Number(attributes["db.operation.batch.size"] ?? 1));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(20);
  });
});

describe("a refresh", () => {
  it("is a separate trace, linked to the request that caused the key to be tracked", async () => {
    const origin = await startOrigin();
    let asked = 0;
    const told = Promise.withResolvers<void>();
    origin.handle = (_request, response) => {
      if (++asked === 2) told.resolve();
      response.end(`value ${asked}`);
    };
    const rule = web(origin, 'ttl = "1s"\nrefresh_before = "900ms"');
    const spans = await spansOf(`${telemetry("traces_sample = 1")}${rule}`, async (client) => {
      await client.ask("get page/1", "END\r\n");
      await told.promise;
    });
    const request = named(spans, "get", SERVER);
    const refresh = named(spans, "refresh", INTERNAL);
    expect(refresh.traceId).not.toBe(request.traceId);
    expect(refresh).toMatchObject({ parentId: "", links: [{ traceId: request.traceId, spanId: request.spanId }] });
    const fetched = spans.find(({ name, traceId }) => name === "fetch" && traceId === refresh.traceId)!;
    expect(fetched.parentId).toBe(refresh.spanId);
    expect(origin.headers[1]!.traceparent).toContain(refresh.traceId);
  });
});

describe("the log line of a traced failure", () => {
  it("of a refresh has the ids of its span", async () => {
    const origin = await startOrigin();
    let asked = 0;
    origin.handle = (_request, response) => (++asked === 1 ? response.end("value") : response.writeHead(503).end());
    const rule = web(origin, 'ttl = "1s"\nrefresh_before = "900ms"');
    let line = "";
    const spans = await spansOf(`${telemetry("traces_sample = 1")}${rule}retries = 0\n`, async (client, log) => {
      await client.ask("get page/1", "END\r\n");
      await log.said(/rule page: .*status 503/);
      line = log.lines.find((each) => each.includes("status 503"))!;
    });
    const refreshes = spans.filter(({ name, status }) => name === "refresh" && status === ERROR);
    expect(refreshes.map(({ traceId, spanId }) => `trace_id=${traceId} span_id=${spanId}`)).toContain(
      /trace_id=\w+ span_id=\w+/.exec(line)?.[0],
    );
  });

  it.skipIf(MemcachedProcess.isMissing)("of a value that the pool refuses has the ids of its fill", async () => {
    const memcached = await startMemcached();
    const origin = await startOrigin();
    origin.handle = (_request, response) => response.end("v".repeat(1_100_000));
    const toml = `${telemetry("traces_sample = 1")}${targetOf([memcached.port])}${web(origin)}max_body = "2MiB"\n`;
    let line = "";
    const spans = await spansOf(toml, async (client, log) => {
      await client.ask("get page/1", "END\r\n");
      await log.said(/rule page: not stored: /);
      line = log.lines.find((each) => each.includes("not stored"))!;
    });
    const fill = named(spans, "fill", INTERNAL);
    expect(line).toContain(`trace_id=${fill.traceId} span_id=${fill.spanId}`);
  });
});

describe("the sampling of traces", () => {
  it("with a ratio of zero makes spans only for failures, and a client's own mistake is none", async () => {
    const port = await freePort();
    const dead = `${telemetry("traces_sample = 0")}${targetOf([port])}`;
    const spans = await spansOf(dead, async (client) => {
      await client.ask("version");
      await client.ask("incr k1 x");
      await client.ask("set k 0 0 1\r\nv");
    });
    expect(spans).toHaveLength(1);
    expect(named(spans, "set", SERVER)).toMatchObject({
      parentId: "",
      status: ERROR,
      attributes: { "platypus.sampled_at_end": 1 },
    });
  });

  it("shows a client's own mistake without an error in a sampled span", async () => {
    const spans = await spansOf(telemetry("traces_sample = 1"), async (client) => {
      await client.ask("set text 0 0 1\r\nv");
      await client.ask("incr text 1");
    });
    expect(named(spans, "incr", SERVER)).toMatchObject({ status: 0, attributes: { "platypus.result": "clientError" } });
  });

  it.each(["get none", "mg none v"])("names a miss alike in all protocols: %s", async (line) => {
    const spans = await spansOf(telemetry("traces_sample = 1"), async (client) => {
      await client.ask(line);
    });
    expect(named(spans, "get", SERVER).attributes).toMatchObject({ "platypus.result": "missing" });
  });

  it("records slow requests as one span with their duration", async () => {
    const origin = await startOrigin();
    origin.handle = (_request, response) => void setTimeout(() => response.end("value"), 60);
    const toml = `${telemetry('traces_sample = 0\nslow = "50ms"\nerrors = false')}${web(origin)}`;
    const spans = await spansOf(toml, async (client) => {
      await client.ask("get page/1", "END\r\n");
      await client.ask("get page/1", "END\r\n");
      await client.ask("incr page/1 1");
    });
    expect(spans).toHaveLength(1);
    const { endNs, startNs } = named(spans, "get", SERVER);
    expect(endNs - startNs).toBeGreaterThan(50_000_000n);
    expect(origin.headers[0]).not.toHaveProperty("traceparent");
  });

  it("with a ratio traces about that share", async () => {
    const spans = await spansOf(telemetry("traces_sample = 0.25\nerrors = false"), async (client) => {
      client.send("get k\r\n".repeat(2_000));
      for (let i = 0; i < 2_000; i++) await client.until("END\r\n");
    });
    // Five standard deviations on either side.
    expect(spans.length).toBeGreaterThan(500 - 97);
    expect(spans.length).toBeLessThan(500 + 97);
  });
});

describe("the P token of a meta command", () => {
  const parent = (flags: string) => `P00-${CALLER_TRACE}-${CALLER_SPAN}-${flags}`;

  it("joins the caller's trace, whatever the ratio", async () => {
    const spans = await spansOf(telemetry("traces_sample = 0"), async (client) => {
      await client.ask(`mg k v ${parent("01")}`);
      await client.ask(`ms k 1 ${parent("01")}\r\nv`);
    });
    expect(spans.map(({ name }) => name).sort()).toEqual(["get", "set"]);
    for (const span of spans) {
      expect(span).toMatchObject({ traceId: CALLER_TRACE, parentId: CALLER_SPAN, kind: SERVER });
      expect(span.attributes).toMatchObject({ "platypus.protocol": "meta" });
    }
  });

  it("makes no trace if it is not sampled, and changes nothing if invalid", async () => {
    const spans = await spansOf(telemetry("traces_sample = 1"), async (client) => {
      await client.ask(`mg a v ${parent("00")}`);
      await client.ask(`mg b v Psomething-else-that-is-as-long-as-a-traceparent-would-be-000000`);
      await client.ask(`mg c v P00-${"0".repeat(32)}-${CALLER_SPAN}-01`);
    });
    expect(spans).toHaveLength(2);
    for (const span of spans) expect(span.parentId).toBe("");
  });
});
