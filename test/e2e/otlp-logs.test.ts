/** The log at a receiver of OTLP. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Platypus } from "../../src/server/platypus.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { afterTest, connect, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import { OtlpCollector } from "../support/servers/otlp-collector.ts";

let collector: OtlpCollector;
beforeEach(async () => {
  collector = await OtlpCollector.start();
  afterTest(() => collector.close());
});

function telemetry(settings = ""): string {
  return `[telemetry]\notlp_endpoint = "${collector.url}"\nmetrics_interval = "1h"\n${settings}\n`;
}

function start(toml: string, log: KeptLog): Promise<Platypus> {
  return startPlatypus(toml, { log: log.log });
}

/** A rule whose source fails. */
async function failingSource(): Promise<string> {
  const origin = await startOrigin();
  origin.handle = (_request, response) => response.writeHead(500).end();
  return `[get.page]\nmatch = "page/(.*)"\nsource = "web"\n[source.web]\ntype = "http"\nurl = "${origin.url}/p/{1}"\n`;
}

describe("the log by OTLP", () => {
  it("has the lines of the log with severity, module, time and trace", async () => {
    const kept = new KeptLog();
    const before = BigInt(Date.now()) * 1_000_000n;
    const platypus = await start(`${telemetry("traces_sample = 1")}${await failingSource()}`, kept);
    const client = await connect(platypus);
    await client.ask("get page/1", "END\r\n");
    await collector.until(() => collector.logs.length > 0);
    client.close();
    await platypus.drain();
    const line = collector.logs.find(({ body }) => String(body).startsWith("rule page:"))!;
    expect(line).toMatchObject({
      severity: 13,
      severityText: "WARN",
      body: "rule page: source web: status 500",
      attributes: { "platypus.module": "source" },
    });
    expect(line.unixNs).toBeGreaterThanOrEqual(before);
    expect(line.unixNs).toBeLessThanOrEqual(BigInt(Date.now()) * 1_000_000n);
    const fill = collector.spans.find(({ name }) => name === "fill")!;
    expect([line.traceId, line.spanId]).toEqual([fill.traceId, fill.spanId]);
    // The log's own output is the same.
    expect(kept.lines.join("")).toContain("rule page: source web: status 500");
  });

  it("has the lines up to the stop, and none below the level of the log", async () => {
    const kept = new KeptLog();
    const platypus = await start(telemetry(), kept);
    kept.log.configure({ level: "info", form: "text" });
    kept.log.debug("source", "too fine");
    kept.log.info("serve", ["several lines", "in one"], { keys: 3 });
    await platypus.drain();
    const [line] = collector.logs.filter(({ body }) => String(body).startsWith("several"));
    expect(line).toMatchObject({
      severity: 9,
      body: "several lines\nin one",
      attributes: { "platypus.module": "serve", "platypus.keys": 3 },
      traceId: "",
    });
    expect(collector.logs.map(({ body }) => body)).not.toContain("too fine");
  });

  it("stays off with otlp_logs = false", async () => {
    const kept = new KeptLog();
    const platypus = await start(telemetry("otlp_logs = false"), kept);
    kept.log.warn("serve", "only here");
    await platypus.drain();
    expect(collector.metricRequests).toBe(1);
    expect(collector.logRequests).toBe(0);
  });

  it("does not send the line about its own failure", async () => {
    const kept = new KeptLog();
    collector.isRefusing = true;
    const platypus = await start(telemetry(), kept);
    kept.log.warn("serve", "refused by the receiver");
    await kept.said(/telemetry: not sent: /);
    await platypus.drain();
    expect(collector.logs.map(({ body }) => body)).toContain("refused by the receiver");
    expect(collector.logs.filter(({ body }) => String(body).startsWith("not sent"))).toEqual([]);
  });
});
