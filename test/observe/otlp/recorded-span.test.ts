import { SpanKind as ApiSpanKind, SpanStatusCode } from "@opentelemetry/api";
import { emptyResource } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RecordedSpan, type SpanStart } from "../../../src/observe/otlp/recorded-span.ts";
import { idsOf } from "../../../src/observe/otlp/span-ids.ts";
import { SpanKind } from "../../../src/proxy/tracing.ts";

const START_MS = Date.UTC(2026, 0, 1);
const plain: SpanStart = {
  name: "get",
  kind: ApiSpanKind.SERVER,
  parent: null,
  link: null,
  attributes: { "db.system.name": "memcached" },
  agoMs: 0,
};
let ended: ReadableSpan[] = [];

function begin(start: Partial<SpanStart> = {}, keys: "none" | "rule" | "full" = "rule"): RecordedSpan {
  const processor = {
    onStart: () => {},
    onEnd: (span: ReadableSpan) => ended.push(span),
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  const origin = { resource: emptyResource(), instrumentationScope: { name: "platypus" }, keys, processor };
  return new RecordedSpan(origin, { ...plain, attributes: { ...plain.attributes }, ...start });
}

beforeEach(() => {
  ended = [];
  vi.useFakeTimers({ now: START_MS, toFake: ["Date", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a recorded span", () => {
  it("is exported when it ends, with its times in seconds and nanoseconds", () => {
    const span = begin({ agoMs: 0.25 });
    vi.advanceTimersByTime(1_500);
    expect(ended).toEqual([]);
    span.end();
    expect(ended).toEqual([span]);
    const seconds = START_MS / 1000;
    expect([span.startTime, span.endTime, span.duration]).toEqual([
      [seconds - 1, 999_750_000],
      [seconds + 1, 500_000_000],
      [1, 500_250_000],
    ]);
  });

  it("has the right duration even if the wall clock changes", () => {
    const span = begin();
    vi.advanceTimersByTime(20);
    vi.setSystemTime(START_MS - 3_600_000);
    span.end();
    expect(span.duration).toEqual([0, 20_000_000]);
    expect(span.endTime).toEqual([START_MS / 1000, 20_000_000]);
  });

  it("has times that fit those of its child spans even if the wall clock changes", () => {
    const span = begin();
    vi.advanceTimersByTime(5);
    vi.setSystemTime(START_MS + 3_600_000);
    const below = span.begin("call", SpanKind.client) as RecordedSpan;
    vi.advanceTimersByTime(10);
    below.end();
    span.end();
    const seconds = START_MS / 1000;
    expect([below.startTime, below.endTime, span.endTime]).toEqual([
      [seconds, 5_000_000],
      [seconds, 15_000_000],
      [seconds, 15_000_000],
    ]);
  });

  it("has child spans in its trace", () => {
    const span = begin();
    const below = span.begin("call", SpanKind.client, { "server.port": 1 }) as RecordedSpan;
    expect(below.traceId).toBe(span.traceId);
    expect(below.spanId).not.toBe(span.spanId);
    expect(below.parentSpanContext).toBe(span.spanContext());
    expect([below.kind, below.attributes]).toEqual([ApiSpanKind.CLIENT, { "server.port": 1 }]);
    expect(span.parentSpanContext).toBeUndefined();
    expect(span.traceparent).toBe(`00-${span.traceId}-${span.spanId}-01`);
  });

  it("belongs to the trace of its parent, and links to another trace", () => {
    const other = idsOf(`00-${"a".repeat(32)}-${"b".repeat(16)}-01`)!;
    expect(begin({ parent: other }).traceId).toBe("a".repeat(32));
    const linked = begin({ link: other });
    expect(linked.traceId).not.toBe(other.traceId);
    expect(linked.links).toEqual([{ context: other }]);
  });

  it("records when it failed", () => {
    const span = begin();
    expect(span.status.code).toBe(SpanStatusCode.UNSET);
    span.fail("timeout");
    expect([span.status.code, span.attributes["error.type"]]).toEqual([SpanStatusCode.ERROR, "timeout"]);
  });

  it.each([
    { keys: "none" as const, told: {} },
    { keys: "rule" as const, told: { "platypus.rule": "users" } },
    { keys: "full" as const, told: { "platypus.rule": "users", "platypus.key": "user:1", "url.full": "/1" } },
  ])("shows keys as far as the setting allows: $keys", ({ keys, told }) => {
    const span = begin({ attributes: {} }, keys);
    span.about("user:1", "users");
    span.setKeyText("url.full", "/1");
    expect(span.attributes).toEqual(told);
  });
});
