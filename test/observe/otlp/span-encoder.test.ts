import { SpanKind } from "@opentelemetry/api";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecordedSpan, type SpanStart } from "../../../src/observe/otlp/recorded-span.ts";
import { SpanEncoder } from "../../../src/observe/otlp/span-encoder.ts";
import { idsOf } from "../../../src/observe/otlp/span-ids.ts";
import { SpanKind as OwnKind, type SpanAttributes } from "../../../src/proxy/tracing.ts";
import { decodedSpans } from "../../support/servers/otlp-collector.ts";

const SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0";
const resource = resourceFromAttributes({ "service.name": "cache", args: ["a", "b"] }, { schemaUrl: SCHEMA_URL });
const instrumentationScope = { name: "platypus", version: "1", schemaUrl: SCHEMA_URL };
const plain: SpanStart = {
  name: "get",
  kind: SpanKind.SERVER,
  parent: null,
  link: null,
  attributes: { "db.system.name": "memcached" },
  agoMs: 0,
};

const processor = {
  onStart: () => {},
  onEnd: () => {},
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};

function begin(start: Partial<SpanStart> = {}): RecordedSpan {
  return new RecordedSpan({ resource, instrumentationScope, keys: "full", processor }, { ...plain, ...start });
}

/** The span as a receiver decodes it. */
function received(span: RecordedSpan) {
  span.end();
  return decodedSpans(new SpanEncoder().serializeRequest([span])).spans[0]!;
}

describe("the encoder of spans", () => {
  it("encodes ids, parent, name, kind, times and attributes", () => {
    const parent = begin();
    const span = parent.begin("call", OwnKind.client, { "server.address": "a", "server.port": 11_211 }) as RecordedSpan;
    span.set("platypus.result", "found");
    expect(received(span)).toEqual({
      traceId: parent.traceId,
      spanId: span.spanId,
      parentId: parent.spanId,
      name: "call",
      kind: 3,
      startNs: BigInt(span.startMicros) * 1000n,
      endNs: BigInt(span.endMicros) * 1000n,
      attributes: { "server.address": "a", "server.port": 11_211, "platypus.result": "found" },
      links: [],
      status: 0,
      statusMessage: "",
      flags: 0x101,
    });
  });

  it("encodes a remote parent, a link and a failure with its message", () => {
    const remote = idsOf(`00-${"a".repeat(32)}-${"f".repeat(16)}-01`)!;
    const link = idsOf(`00-${"1".repeat(32)}-${"2".repeat(16)}-01`)!;
    const span = begin({ parent: remote, link });
    span.fail("BACKEND", "SERVER_ERROR out of memory");
    expect(received(span)).toMatchObject({
      traceId: "a".repeat(32),
      parentId: "f".repeat(16),
      links: [{ traceId: "1".repeat(32), spanId: "2".repeat(16) }],
      status: 2,
      statusMessage: "SERVER_ERROR out of memory",
      attributes: { "error.type": "BACKEND" },
      flags: 0x301,
    });
  });

  it("encodes resource, scope and the versions of the conventions as the SDK does", () => {
    const { resource: attributes, scope, schemaUrls } = decodedSpans(new SpanEncoder().serializeRequest([begin()]));
    expect(attributes).toMatchObject({ "service.name": "cache" });
    expect(scope).toEqual({ name: "platypus", version: "1" });
    expect(schemaUrls).toEqual([SCHEMA_URL, SCHEMA_URL]);
  });

  it("gives each span of a request its own data, in their order", () => {
    const spans = Array.from({ length: 2_000 }, (_, i) => {
      const span = begin({ name: `n${i % 7}` });
      span.set("platypus.number", i);
      span.set("platypus.key", `key ${i} ${"x".repeat(i % 300)}`);
      span.end();
      return span;
    });
    const { spans: all } = decodedSpans(new SpanEncoder().serializeRequest(spans));
    expect(all.map(({ spanId }) => spanId)).toEqual(spans.map(({ spanId }) => spanId));
    expect(all.map(({ attributes }) => attributes)).toEqual(spans.map(({ attributes }) => attributes));
  });

  it("encodes any texts and numbers as the SDK does, again and again", () => {
    const encoder = new SpanEncoder();
    const value = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.nat(),
      fc.double({ min: 0.001, noNaN: true }),
      fc.string({ minLength: 200, maxLength: 20_000 }),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), value), fc.string(), (attributes, name) => {
        fc.pre(!Object.hasOwn(attributes, "__proto__"));
        const span = begin({ name, attributes: attributes as SpanAttributes });
        span.set("platypus.own", "x");
        span.end();
        const decoded = decodedSpans(encoder.serializeRequest([span]));
        expect(decoded.spans[0]!.attributes).toEqual({ ...attributes, "platypus.own": "x" });
        expect(decoded).toEqual(decodedSpans(ProtobufTraceSerializer.serializeRequest([span])!));
      }),
    );
  });
});
