/** Metrics as those who read them see them: Prometheus' text, and OTLP at a receiver. */
import { describe, expect, it, vi } from "vitest";
import { addressText } from "../../src/config/config.ts";
import { metrics, prometheusName } from "../../src/observe/metrics.ts";
import type { Platypus } from "../../src/server/platypus.ts";
import { type Family, parseOpenMetrics, parsePrometheus, sampleValue } from "../support/clients/prometheus-text.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, startMemcached, startPlatypus } from "../support/rigs/started.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { OtlpCollector } from "../support/servers/otlp-collector.ts";

const ADMIN = `admin = "127.0.0.1:0"`;
const ECHO = `[get.hello]
match = "hello/(.*)"
source = "greeting"
[source.greeting]
type = "echo"
template = "Hello, {1}!"
`;

function start(toml: string, log = new KeptLog()): Promise<Platypus> {
  return startPlatypus(toml, { log: log.log });
}

function urlOf(platypus: Platypus, path: string): string {
  return `http://${addressText(platypus.adminAddress!)}${path}`;
}

async function scrape(platypus: Platypus): Promise<Map<string, Family>> {
  const response = await fetch(urlOf(platypus, "/metrics"));
  expect(response.headers.get("content-type")).toContain("version=0.0.4");
  return parsePrometheus(await response.text());
}

describe("/metrics", () => {
  it("counts client activity by operation and protocol", async () => {
    const platypus = await start(`[server]\n${ADMIN}\n${ECHO}`);
    const client = await connect(platypus);
    await client.ask("set k 0 0 1\r\nv");
    await client.ask("get k none", "END\r\n");
    await client.ask("mg k v");
    await client.until("v\r\n");
    await client.ask("get hello/a", "END\r\n");
    await client.ask("incr k 1");
    const seen = await scrape(platypus);
    const duration = (labels: Record<string, string>) =>
      sampleValue(seen, "platypus_client_request_duration_seconds_count", labels);
    expect(duration({ operation: "set", protocol: "classic" })).toBe(1);
    expect(duration({ operation: "get", protocol: "classic" })).toBe(2);
    expect(duration({ operation: "get", protocol: "meta" })).toBe(1);
    expect(sampleValue(seen, "platypus_client_get_keys_total", { result: "hit" })).toBe(3);
    expect(sampleValue(seen, "platypus_client_get_keys_total", { result: "miss" })).toBe(1);
    expect(
      sampleValue(seen, "platypus_client_request_errors_total", {
        operation: "incr",
        protocol: "classic",
        error: "client",
      }),
    ).toBe(1);
    expect(sampleValue(seen, "platypus_fill_flights_total", { rule: "hello" })).toBe(1);
    expect(sampleValue(seen, "platypus_fill_answered_total", { rule: "hello" })).toBe(1);
    expect(sampleValue(seen, "platypus_source_fetches_total", { source: "greeting" })).toBe(1);
    expect(sampleValue(seen, "platypus_source_fetch_duration_seconds_count", { source: "greeting" })).toBe(1);
    expect(sampleValue(seen, "platypus_refresh_tracked", { rule: "hello" })).toBe(1);
    expect(sampleValue(seen, "platypus_client_connections")).toBe(1);
    expect(sampleValue(seen, "platypus_store_items")).toBe(2);
  });

  it("stays unchanged when a client resets its stats", async () => {
    const platypus = await start(`[server]\n${ADMIN}`);
    const client = await connect(platypus);
    await client.ask("get k", "END\r\n");
    await client.ask("stats reset");
    expect(await client.ask("stats", "END\r\n")).toContain("STAT get_misses 0\r\n");
    expect(sampleValue(await scrape(platypus), "platypus_client_get_keys_total", { result: "miss" })).toBe(1);
    await client.ask("get k", "END\r\n");
    expect(await client.ask("stats", "END\r\n")).toContain("STAT get_misses 1\r\n");
  });

  it("contains no key, however many clients request keys", async () => {
    const platypus = await start(`[server]\n${ADMIN}\n${ECHO}`);
    const client = await connect(platypus);
    for (let i = 0; i < 50; i++) await client.ask(`get hello/secret${i}`, "END\r\n");
    const before = (await (await fetch(urlOf(platypus, "/metrics"))).text()).split("\n").length;
    for (let i = 50; i < 100; i++) await client.ask(`get hello/secret${i}`, "END\r\n");
    const text = await (await fetch(urlOf(platypus, "/metrics"))).text();
    expect(text).not.toContain("secret");
    expect(text.split("\n")).toHaveLength(before);
  });

  it.skipIf(MemcachedProcess.isMissing)("shows each server of a pool, up and down", async () => {
    const server = await startMemcached();
    const gone = await freePort();
    const platypus = await start(`[server]\n${ADMIN}\n${targetOf([server.port, gone])}`);
    const client = await connect(platypus);
    for (let i = 0; i < 20; i++) await client.ask(`get k${i}`, "END\r\n");
    const seen = await scrape(platypus);
    const [up, down] = [server.port, gone].map((port) => ({ pool: "target", backend: `127.0.0.1:${port}` }));
    expect(sampleValue(seen, "platypus_backend_up", up)).toBe(1);
    expect(sampleValue(seen, "platypus_backend_up", down)).toBe(0);
    expect(sampleValue(seen, "platypus_backend_connections", up)).toBe(1);
    expect(sampleValue(seen, "platypus_backend_tko_total", { ...down, kind: "hard" })).toBe(1);
    expect(sampleValue(seen, "platypus_backend_errors_total", { ...down, error: "tko" })).toBeGreaterThan(0);
    const requests = sampleValue(seen, "platypus_backend_requests_total", up);
    expect(requests).toBeGreaterThan(0);
    expect(
      sampleValue(seen, "db_client_operation_duration_seconds_count", { ...up, db_system_name: "memcached" }),
    ).toBe(requests);
  });
});

describe("/metrics as OpenMetrics", () => {
  const accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

  it("has the samples of the text format, and exemplars that lead to sampled traces", async () => {
    const collector = await OtlpCollector.start();
    afterTest(() => collector.close());
    const telemetry = `[telemetry]\notlp_endpoint = "${collector.url}"\nmetrics_interval = "1h"\ntraces_sample = 1\n`;
    const platypus = await start(`[server]\n${ADMIN}\n${telemetry}${ECHO}`);
    const client = await connect(platypus);
    await client.ask("get hello/a", "END\r\n");
    const response = await fetch(urlOf(platypus, "/metrics"), { headers: { accept } });
    expect(response.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(response.headers.get("vary")).toBe("accept, accept-encoding");
    const { families, exemplars } = parseOpenMetrics(await response.text());
    const seen = await scrape(platypus);
    expect([...families.keys()]).toEqual([...seen.keys()]);
    const labelsOf = (family: Family) => family.samples.map(({ name, labels }) => ({ name, labels }));
    const name = "platypus_client_request_duration_seconds";
    expect(labelsOf(families.get(name)!)).toEqual(labelsOf(seen.get(name)!));
    client.close();
    await platypus.drain();
    const spans = new Set(collector.spans.map(({ traceId, spanId }) => `${traceId} ${spanId}`));
    expect(new Set(exemplars.map(({ bucket }) => bucket.name.replace("_bucket", "")))).toEqual(
      new Set([name, "platypus_rule_fetch_duration_seconds", "platypus_source_fetch_duration_seconds"]),
    );
    for (const { bucket, labels, value } of exemplars) {
      expect(spans).toContain(`${labels.trace_id} ${labels.span_id}`);
      expect(value).toBeLessThanOrEqual(Number(bucket.labels.le));
      expect(bucket.value).toBeGreaterThan(0);
    }
  });

  it("has no exemplars of requests that are not sampled", async () => {
    const collector = await OtlpCollector.start();
    afterTest(() => collector.close());
    const telemetry = `[telemetry]\notlp_endpoint = "${collector.url}"\nmetrics_interval = "1h"\ntraces_sample = 0\n`;
    const platypus = await start(`[server]\n${ADMIN}\n${telemetry}${ECHO}`);
    const client = await connect(platypus);
    await client.ask("get hello/a", "END\r\n");
    const text = await (await fetch(urlOf(platypus, "/metrics"), { headers: { accept } })).text();
    expect(parseOpenMetrics(text).exemplars).toEqual([]);
  });
});

describe("the table of metrics", () => {
  it("has valid names, units and descriptions for every format, each once", () => {
    const names = metrics.map(prometheusName);
    expect(new Set(names).size).toBe(names.length);
    for (const { name, unit, meaning, attributes } of metrics) {
      expect(name).toMatch(/^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$/);
      expect(unit).toMatch(/^(s|By|1|\{[a-z]+\})$/);
      expect(meaning).toMatch(/^\S.*\.$/);
      for (const attribute of attributes) expect(attribute).toMatch(/^[a-z0-9_.]+$/);
    }
  });
});

describe("the OTLP export", () => {
  it("has every metric that Prometheus has, with equal numbers", async () => {
    const collector = await OtlpCollector.start();
    afterTest(() => collector.close());
    const telemetry = `[telemetry]
otlp_endpoint = "${collector.url}/"
otlp_headers = { authorization = "Bearer abc" }
service_name = "cache"
metrics_interval = "1s"
`;
    const platypus = await start(`[server]\n${ADMIN}\n${telemetry}${ECHO}`);
    const client = await connect(platypus);
    for (const name of ["a", "b", "a"]) await client.ask(`get hello/${name}`, "END\r\n");
    await collector.until(() => (collector.metrics.get("platypus.fill.flights")?.points[0]?.value ?? 0) > 0);
    expect(collector.resource).toMatchObject({ "service.name": "cache", "service.version": expect.any(String) });
    expect(collector.headers).toMatchObject({ authorization: "Bearer abc", "content-type": "application/x-protobuf" });
    expect(collector.metrics.get("platypus.fill.flights")).toMatchObject({
      kind: "sum",
      isMonotonic: true,
      temporality: 2,
      points: [{ attributes: { "platypus.rule": "hello" }, value: 2 }],
    });
    const duration = collector.metrics.get("platypus.client.request.duration")!;
    expect(duration).toMatchObject({ kind: "histogram", unit: "s", temporality: 2 });
    const gets = duration.points.find(({ attributes }) => attributes["db.operation.name"] === "get")!;
    expect(gets.value).toBe(3);
    expect(gets.buckets.reduce((sum, count) => sum + count, 0)).toBe(3);
    expect(gets.buckets).toHaveLength(gets.bounds.length + 1);
    expect(collector.metrics.get("platypus.client.connections")).toMatchObject({
      kind: "sum",
      isMonotonic: false,
      points: [{ value: 1 }],
    });
    const seen = await scrape(platypus);
    const inText = metrics.filter((metric) => seen.has(prometheusName(metric))).map(({ name }) => name);
    expect([...collector.metrics.keys()].sort()).toEqual(inText.sort());
  });

  it("is cumulative, as the warning about another preference says", async () => {
    vi.stubEnv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta");
    afterTest(() => vi.unstubAllEnvs());
    const collector = await OtlpCollector.start();
    afterTest(() => collector.close());
    const platypus = await start(`[telemetry]\notlp_endpoint = "${collector.url}"\nmetrics_interval = "1s"\n${ECHO}`);
    const client = await connect(platypus);
    await client.ask("get hello/a", "END\r\n");
    const flights = () => collector.metrics.get("platypus.fill.flights");
    await collector.until(() => flights()?.points[0]?.value === 1);
    const { metricRequests } = collector;
    await collector.until(() => collector.metricRequests > metricRequests);
    expect(flights()).toMatchObject({ temporality: 2, points: [{ value: 1 }] });
  });

  it("is sent once more when the process stops", async () => {
    const collector = await OtlpCollector.start();
    afterTest(() => collector.close());
    const platypus = await start(`[telemetry]\notlp_endpoint = "${collector.url}"\nmetrics_interval = "1h"\n${ECHO}`);
    const client = await connect(platypus);
    await client.ask("get hello/a", "END\r\n");
    client.close();
    await platypus.drain();
    expect(collector.metrics.get("platypus.fill.flights")?.points[0]?.value).toBe(1);
  });

  it("changes its destination after a reload that sets another", async () => {
    const [first, second] = [await OtlpCollector.start(), await OtlpCollector.start()];
    afterTest(() => Promise.all([first.close(), second.close()]));
    const to = (url: string) => `[telemetry]\notlp_endpoint = "${url}"\nmetrics_interval = "1s"\n`;
    const platypus = await start(to(first.url));
    platypus.reload(nativeConfig(to(second.url)));
    await second.until(() => second.metricRequests > 0);
    // What there was until then.
    expect(first.metricRequests).toBe(1);
  });

  it("reports a missing receiver once, and disturbs no client", async () => {
    const log = new KeptLog();
    const url = `http://127.0.0.1:${await freePort()}`;
    const platypus = await start(`[telemetry]\notlp_endpoint = "${url}"\nmetrics_interval = "1s"\n${ECHO}`, log);
    const client = await connect(platypus);
    await log.said(/telemetry: not sent: .*ECONNREFUSED/);
    expect(await client.ask("get hello/a", "END\r\n")).toContain("Hello, a!");
  });
});
