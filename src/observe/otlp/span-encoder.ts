/**
 * Encodes spans for OTLP. The SDK's serializer takes as long for a span as Platypus for the whole request; this one takes
 * a tenth, because it knows `RecordedSpan`: ids are numbers, and attributes are encoded once, since most spans have the
 * same ones.
 *
 * Sources: opentelemetry-proto (trace.proto, common.proto), field numbers; Protocol Buffers, "Encoding".
 */
import { type ISerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { SpanAttributes } from "../../proxy/tracing.ts";
import type { RecordedSpan } from "./recorded-span.ts";
import type { SpanIds } from "./span-ids.ts";

/** Maximum number of attributes and names that are kept encoded. */
const MAX_KEPT = 4_096;
/** Longer values are encoded each time: they may be keys. */
const MAX_KEPT_LENGTH = 64;
/** Upper limit of the fields of fixed size: ids, times, kind, flags and the tags of all fields. */
const FIXED_BYTES = 160;

const HAS_IS_REMOTE = 0x100;
const IS_REMOTE = 0x200;

/** Bytes of a message, in the order of its fields. */
interface Envelope {
  readonly resource: Buffer;
  readonly resourceSchema: Buffer;
  readonly scope: Buffer;
  readonly scopeSchema: Buffer;
}

type Response = ReturnType<typeof ProtobufTraceSerializer.deserializeResponse>;

/** For spans of one resource and scope. */
export class SpanEncoder implements ISerializer<RecordedSpan[], Response> {
  private bytes = Buffer.allocUnsafe(64 * 1024);
  private at = 0;
  /** `null` before the first request: some attributes of the resource become known after the start. */
  private envelope: Envelope | null = null;
  /** By the object with the attributes. */
  private readonly shared = new Map<SpanAttributes, Buffer>();
  private readonly names = new Map<string, Buffer>();
  /** Encoded attributes by name and value. */
  private readonly kept = new Map<string, Map<string | number, Buffer>>();
  private keptCount = 0;

  serializeRequest(spans: RecordedSpan[]): Uint8Array {
    const [first] = spans;
    if (first === undefined) return new Uint8Array();
    this.envelope ??= envelopeOf(ProtobufTraceSerializer.serializeRequest([first])!);
    this.at = 0;
    for (const span of spans) this.encode(span);
    const { resource, resourceSchema, scope, scopeSchema } = this.envelope;
    const scopeSpans = [scope, this.bytes.subarray(0, this.at), scopeSchema];
    const resourceSpans = [resource, ...delimited(2, scopeSpans), resourceSchema];
    return Buffer.concat(delimited(1, resourceSpans));
  }

  deserializeResponse(data: Uint8Array): Response {
    return ProtobufTraceSerializer.deserializeResponse(data);
  }

  private encode(span: RecordedSpan): void {
    this.reserve(FIXED_BYTES);
    // The length of the body takes two bytes of a varint for usual spans.
    const start = this.at;
    this.at = start + 3;
    const ids = span.spanContext();
    this.tag(1, 16);
    this.word(ids.trace0);
    this.word(ids.trace1);
    this.word(ids.trace2);
    this.word(ids.trace3);
    this.tag(2, 8);
    this.spanId(ids);
    const parent = span.parentSpanContext;
    if (parent !== undefined) {
      this.tag(4, 8);
      this.spanId(parent);
    }
    this.copy(this.nameOf(span.name));
    // OTLP counts kinds from 1.
    this.bytes[this.at++] = (6 << 3) | 0;
    this.bytes[this.at++] = span.kind + 1;
    this.time(7, span.startMicros);
    this.time(8, span.endMicros);
    this.copy(this.sharedOf(span.shared));
    const { own } = span;
    for (const name in own) this.copy(this.attributeOf(name, own[name] as string | number));
    if (span.link !== null) this.copy(linkOf(span.link));
    if (span.status.code !== 0) this.copy(statusOf(span.status));
    this.reserve(8);
    this.bytes[this.at++] = 0x85;
    this.bytes[this.at++] = 0x01;
    this.littleEndian(ids.traceFlags | HAS_IS_REMOTE | (parent?.isRemote === true ? IS_REMOTE : 0));
    this.endBody(start);
  }

  /** Writes the tag and the length of the body that begins at `start + 3`. */
  private endBody(start: number): void {
    const { bytes } = this;
    const length = this.at - start - 3;
    bytes[start] = (2 << 3) | 2;
    if (length >= 0x80 && length < 0x4000) {
      bytes[start + 1] = (length & 0x7f) | 0x80;
      bytes[start + 2] = length >> 7;
      return;
    }
    const size = varint(length);
    this.reserve(size.length);
    this.bytes.copyWithin(start + 1 + size.length, start + 3, this.at);
    this.bytes.set(size, start + 1);
    this.at += size.length - 2;
  }

  private sharedOf(attributes: SpanAttributes): Buffer {
    return this.shared.get(attributes) ?? this.keepShared(attributes);
  }

  private keepShared(attributes: SpanAttributes): Buffer {
    const encoded = Buffer.concat(Object.entries(attributes).map(([name, value]) => this.attributeOf(name, value)));
    // After a reload, other objects have the same attributes.
    if (this.shared.size >= MAX_KEPT) this.shared.clear();
    this.shared.set(attributes, encoded);
    return encoded;
  }

  private nameOf(name: string): Buffer {
    return this.names.get(name) ?? this.keepName(name);
  }

  private keepName(name: string): Buffer {
    const encoded = textField(5, name);
    if (this.names.size < MAX_KEPT) this.names.set(name, encoded);
    return encoded;
  }

  private attributeOf(name: string, value: string | number): Buffer {
    return this.kept.get(name)?.get(value) ?? this.keepAttribute(name, value);
  }

  private keepAttribute(name: string, value: string | number): Buffer {
    const encoded = Buffer.concat(delimited(9, [textField(1, name), ...delimited(2, [anyValue(value)])]));
    if (this.keptCount >= MAX_KEPT || String(value).length > MAX_KEPT_LENGTH) return encoded;
    let values = this.kept.get(name);
    if (values === undefined) {
      values = new Map();
      this.kept.set(name, values);
    }
    values.set(value, encoded);
    this.keptCount++;
    return encoded;
  }

  private copy(encoded: Buffer): void {
    this.reserve(encoded.length + FIXED_BYTES);
    this.bytes.set(encoded, this.at);
    this.at += encoded.length;
  }

  private tag(field: number, length: number): void {
    this.bytes[this.at++] = (field << 3) | 2;
    this.bytes[this.at++] = length;
  }

  private spanId({ span0, span1 }: SpanIds): void {
    this.word(span0);
    this.word(span1);
  }

  private word(value: number): void {
    this.at = this.bytes.writeInt32BE(value, this.at);
  }

  private littleEndian(value: number): void {
    this.at = this.bytes.writeInt32LE(value, this.at);
  }

  /** A fixed64 of nanoseconds, which a double cannot hold. */
  private time(field: number, micros: number): void {
    this.bytes[this.at++] = (field << 3) | 1;
    const high = Math.floor(micros / 0x1_0000_0000);
    const low = (micros - high * 0x1_0000_0000) * 1000;
    const carry = Math.floor(low / 0x1_0000_0000);
    this.littleEndian((low - carry * 0x1_0000_0000) | 0);
    this.littleEndian((high * 1000 + carry) | 0);
  }

  private reserve(count: number): void {
    if (this.at + count <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(this.bytes.length * 2 + count);
    larger.set(this.bytes.subarray(0, this.at));
    this.bytes = larger;
  }
}

function anyValue(value: string | number): Buffer {
  if (typeof value === "string") return textField(1, value);
  if (Number.isSafeInteger(value) && value >= 0) return Buffer.concat([Buffer.from([(3 << 3) | 0]), varint(value)]);
  const double = Buffer.alloc(9);
  double[0] = (4 << 3) | 1;
  double.writeDoubleLE(value, 1);
  return double;
}

function linkOf(link: SpanIds): Buffer {
  const ids = Buffer.alloc(24);
  [link.trace0, link.trace1, link.trace2, link.trace3, link.span0, link.span1].forEach((word, i) => {
    ids.writeInt32BE(word, i * 4);
  });
  const fields = [...delimited(1, [ids.subarray(0, 16)]), ...delimited(2, [ids.subarray(16)])];
  return Buffer.concat(delimited(13, fields));
}

function statusOf({ code, message }: { readonly code: number; readonly message?: string }): Buffer {
  const text = message === undefined ? [] : [textField(2, message)];
  return Buffer.concat(delimited(15, [...text, Buffer.from([(3 << 3) | 0, code])]));
}

function textField(field: number, text: string): Buffer {
  return Buffer.concat(delimited(field, [Buffer.from(text, "utf8")]));
}

/** A field with a length: its tag, the length, and the parts of its content. */
function delimited(field: number, parts: readonly Buffer[]): Buffer[] {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return [Buffer.from([(field << 3) | 2]), varint(length), ...parts];
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The parts of a request, encoded by the SDK, that are the same in all requests. */
function envelopeOf(request: Uint8Array): Envelope {
  const resourceSpans = fieldsOf(contentOf(fieldsOf(Buffer.from(request)).get(1)!));
  const scopeSpans = fieldsOf(contentOf(resourceSpans.get(2)!));
  const nothing = Buffer.alloc(0);
  return {
    resource: resourceSpans.get(1) ?? nothing,
    resourceSchema: resourceSpans.get(3) ?? nothing,
    scope: scopeSpans.get(1) ?? nothing,
    scopeSchema: scopeSpans.get(3) ?? nothing,
  };
}

/** The fields of a message whose fields all have a length: the last one of each number, with its tag. */
function fieldsOf(message: Buffer): Map<number, Buffer> {
  const fields = new Map<number, Buffer>();
  for (let at = 0; at < message.length; ) {
    const { contentStart, length } = lengthAfterTag(message, at);
    const end = contentStart + length;
    fields.set(message[at]! >> 3, message.subarray(at, end));
    at = end;
  }
  return fields;
}

function contentOf(field: Buffer): Buffer {
  return field.subarray(lengthAfterTag(field, 0).contentStart);
}

function lengthAfterTag(bytes: Buffer, tagAt: number): { contentStart: number; length: number } {
  let length = 0;
  let at = tagAt + 1;
  for (let shift = 1; ; shift *= 0x80) {
    const byte = bytes[at++]!;
    length += (byte & 0x7f) * shift;
    if (byte < 0x80) return { contentStart: at, length };
  }
}
