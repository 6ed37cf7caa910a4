/**
 * A receiver of OTLP over HTTP that decodes what it is sent.
 *
 * Source: opentelemetry-proto (collector, metrics, trace, common), field numbers; Protocol Buffers, "Encoding".
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";

export type Attributes = Readonly<Record<string, unknown>>;

export interface ReceivedMetric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  readonly kind: "gauge" | "sum" | "histogram";
  readonly isMonotonic: boolean;
  /** 2: cumulative. */
  readonly temporality: number;
  readonly points: readonly ReceivedPoint[];
}

interface ReceivedPoint {
  readonly attributes: Attributes;
  /** The value, or the count of a histogram. */
  readonly value: number;
  readonly sum: number;
  readonly bounds: readonly number[];
  readonly buckets: readonly number[];
}

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** "": a root. */
  readonly parentId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Attributes;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number;
  readonly statusMessage: string;
  readonly flags: number;
}

export interface ReceivedLog {
  readonly unixNs: bigint;
  /** 9 info, 13 warn, 17 error. */
  readonly severity: number;
  readonly severityText: string;
  readonly body: unknown;
  readonly attributes: Attributes;
  /** "": none. */
  readonly traceId: string;
  readonly spanId: string;
}

type Kind = "string" | "bytes" | "varint" | "bool" | "double" | "fixed64" | "fixed32";
type Field = readonly [name: string, kind: Kind | Schema, isRepeated?: "repeated"];
interface Schema {
  readonly [number: number]: Field;
}
type Message = Record<string, unknown>;

const anyValue: Schema = {
  1: ["string", "string"],
  2: ["bool", "bool"],
  3: ["int", "varint"],
  4: ["double", "double"],
};
const keyValue: Schema = { 1: ["key", "string"], 2: ["value", anyValue] };
const resource: Schema = { 1: ["attributes", keyValue, "repeated"] };
const scope: Schema = { 1: ["name", "string"], 2: ["version", "string"] };
const numberPoint: Schema = {
  2: ["start", "fixed64"],
  3: ["time", "fixed64"],
  4: ["double", "double"],
  6: ["int", "fixed64"],
  7: ["attributes", keyValue, "repeated"],
};
const histogramPoint: Schema = {
  2: ["start", "fixed64"],
  3: ["time", "fixed64"],
  4: ["count", "fixed64"],
  5: ["sum", "double"],
  6: ["buckets", "fixed64", "repeated"],
  7: ["bounds", "double", "repeated"],
  9: ["attributes", keyValue, "repeated"],
};
const gauge: Schema = { 1: ["points", numberPoint, "repeated"] };
const sum: Schema = {
  1: ["points", numberPoint, "repeated"],
  2: ["temporality", "varint"],
  3: ["isMonotonic", "bool"],
};
const histogram: Schema = { 1: ["points", histogramPoint, "repeated"], 2: ["temporality", "varint"] };
const metric: Schema = {
  1: ["name", "string"],
  2: ["description", "string"],
  3: ["unit", "string"],
  5: ["gauge", gauge],
  7: ["sum", sum],
  9: ["histogram", histogram],
};
const metricsRequest: Schema = {
  1: [
    "resources",
    {
      1: ["resource", resource],
      2: [
        "scopes",
        { 1: ["scope", scope], 2: ["metrics", metric, "repeated"], 3: ["schemaUrl", "string"] },
        "repeated",
      ],
      3: ["schemaUrl", "string"],
    },
    "repeated",
  ],
};
const link: Schema = { 1: ["traceId", "bytes"], 2: ["spanId", "bytes"] };
const span: Schema = {
  1: ["traceId", "bytes"],
  2: ["spanId", "bytes"],
  4: ["parentId", "bytes"],
  5: ["name", "string"],
  6: ["kind", "varint"],
  7: ["start", "fixed64"],
  8: ["end", "fixed64"],
  9: ["attributes", keyValue, "repeated"],
  13: ["links", link, "repeated"],
  15: ["status", { 2: ["message", "string"], 3: ["code", "varint"] }],
  16: ["flags", "fixed32"],
};
const tracesRequest: Schema = {
  1: [
    "resources",
    {
      1: ["resource", resource],
      2: ["scopes", { 1: ["scope", scope], 2: ["spans", span, "repeated"], 3: ["schemaUrl", "string"] }, "repeated"],
      3: ["schemaUrl", "string"],
    },
    "repeated",
  ],
};

const logRecord: Schema = {
  1: ["time", "fixed64"],
  2: ["severity", "varint"],
  3: ["severityText", "string"],
  5: ["body", anyValue],
  6: ["attributes", keyValue, "repeated"],
  8: ["flags", "fixed32"],
  9: ["traceId", "bytes"],
  10: ["spanId", "bytes"],
  11: ["observed", "fixed64"],
};
const logsRequest: Schema = {
  1: [
    "resources",
    {
      1: ["resource", resource],
      2: [
        "scopes",
        { 1: ["scope", scope], 2: ["logs", logRecord, "repeated"], 3: ["schemaUrl", "string"] },
        "repeated",
      ],
      3: ["schemaUrl", "string"],
    },
    "repeated",
  ],
};

/** A running receiver; what came is kept. */
export class OtlpCollector {
  /** The metrics of the last request, by name. */
  metrics: ReadonlyMap<string, ReceivedMetric> = new Map();
  readonly spans: ReceivedSpan[] = [];
  readonly logs: ReceivedLog[] = [];
  /** True: requests are kept, and answered with 400. */
  isRefusing = false;
  /** Requests for logs so far. */
  logRequests = 0;
  /** Resource and headers of the last request. */
  resource: Attributes = {};
  headers: http.IncomingHttpHeaders = {};
  /** Schema URLs of the resources and scopes of the last request. */
  schemaUrls: readonly unknown[] = [];
  /** Requests for metrics so far. */
  metricRequests = 0;
  private readonly server: http.Server;
  private wake: () => void = () => {};

  private constructor(server: http.Server) {
    this.server = server;
    server.on("request", (request, response) => void this.receive(request, response));
  }

  static async start(): Promise<OtlpCollector> {
    const server = http.createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new OtlpCollector(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Resolves when `isThere` holds after something came. */
  async until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  private async receive(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const plain = request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
    this.headers = request.headers;
    if (request.url === "/v1/metrics") this.takeMetrics(decode(metricsRequest, plain));
    else if (request.url === "/v1/traces") this.takeSpans(decode(tracesRequest, plain));
    else if (request.url === "/v1/logs") this.takeLogs(decode(logsRequest, plain));
    else response.statusCode = 404;
    if (this.isRefusing) response.statusCode = 400;
    response.setHeader("content-type", "application/x-protobuf");
    response.end();
    this.wake();
  }

  private takeMetrics(message: Message): void {
    const all = scopesOf(message).flatMap(({ metrics }) => list(metrics));
    this.metrics = new Map(all.map((one) => [String(one.name), metricOf(one)]));
    this.takeResource(message);
    this.metricRequests++;
  }

  private takeSpans(message: Message): void {
    this.spans.push(...scopesOf(message).flatMap(({ spans }) => list(spans).map(spanOf)));
    this.takeResource(message);
  }

  private takeLogs(message: Message): void {
    this.logs.push(...scopesOf(message).flatMap(({ logs }) => list(logs).map(logOf)));
    this.takeResource(message);
    this.logRequests++;
  }

  private takeResource(message: Message): void {
    this.resource = attributesOf((list(message.resources)[0]!.resource as Message).attributes);
    this.schemaUrls = [...list(message.resources), ...scopesOf(message)].map(({ schemaUrl }) => schemaUrl);
  }
}

/** The content of a request for traces. */
export function decodedSpans(bytes: Uint8Array) {
  const message = decode(tracesRequest, Buffer.from(bytes));
  return {
    resource: attributesOf((list(message.resources)[0]!.resource as Message).attributes),
    scope: scopesOf(message)[0]!.scope,
    schemaUrls: [...list(message.resources), ...scopesOf(message)].map(({ schemaUrl }) => schemaUrl),
    spans: scopesOf(message).flatMap(({ spans }) => list(spans).map(spanOf)),
  };
}

function scopesOf(message: Message): Message[] {
  return list(message.resources).flatMap(({ scopes }) => list(scopes));
}

function metricOf(one: Message): ReceivedMetric {
  const kind = one.gauge !== undefined ? "gauge" : one.sum !== undefined ? "sum" : "histogram";
  const data = one[kind] as Message;
  return {
    name: String(one.name),
    unit: String(one.unit ?? ""),
    description: String(one.description ?? ""),
    kind,
    isMonotonic: data.isMonotonic === true,
    temporality: Number(data.temporality ?? 0),
    points: list(data.points).map((point) => ({
      attributes: attributesOf(point.attributes),
      value: Number(point.double ?? point.int ?? point.count ?? 0),
      sum: Number(point.sum ?? 0),
      bounds: (point.bounds as number[] | undefined) ?? [],
      buckets: ((point.buckets as bigint[] | undefined) ?? []).map(Number),
    })),
  };
}

function spanOf(one: Message): ReceivedSpan {
  return {
    traceId: hexOf(one.traceId),
    spanId: hexOf(one.spanId),
    parentId: hexOf(one.parentId),
    name: String(one.name),
    kind: Number(one.kind ?? 0),
    startNs: one.start as bigint,
    endNs: one.end as bigint,
    attributes: attributesOf(one.attributes),
    links: list(one.links).map(({ traceId, spanId }) => ({ traceId: hexOf(traceId), spanId: hexOf(spanId) })),
    status: Number((one.status as Message | undefined)?.code ?? 0),
    statusMessage: String((one.status as Message | undefined)?.message ?? ""),
    flags: Number(one.flags ?? 0),
  };
}

function logOf(one: Message): ReceivedLog {
  return {
    unixNs: one.time as bigint,
    severity: Number(one.severity ?? 0),
    severityText: String(one.severityText ?? ""),
    body: Object.values((one.body as Message | undefined) ?? {})[0],
    attributes: attributesOf(one.attributes),
    traceId: hexOf(one.traceId),
    spanId: hexOf(one.spanId),
  };
}

function hexOf(bytes: unknown): string {
  return bytes === undefined ? "" : (bytes as Buffer).toString("hex");
}

function attributesOf(pairs: unknown): Attributes {
  return Object.fromEntries(
    list(pairs).map(({ key, value }) => {
      const [only] = Object.values((value as Message | undefined) ?? {});
      return [String(key), typeof only === "bigint" ? Number(only) : only];
    }),
  );
}

function list(value: unknown): Message[] {
  return (value as Message[] | undefined) ?? [];
}

function decode(schema: Schema, bytes: Buffer): Message {
  const message: Message = {};
  let at = 0;
  const varint = (): bigint => {
    let result = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return result;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const [name, kind, repeated] = schema[tag >>> 3] ?? ["", "bytes"];
    const wire = tag & 7;
    let values: unknown[];
    if (wire === 0) values = [scalar(kind, varint())];
    else if (wire === 1) {
      values = [eight(kind, bytes, at)];
      at += 8;
    } else if (wire === 5) {
      values = [bytes.readUInt32LE(at)];
      at += 4;
    } else if (wire === 2) {
      const length = Number(varint());
      const piece = bytes.subarray(at, at + length);
      if (piece.length !== length) throw new Error("a field is longer than its message");
      at += length;
      values = piecesOf(kind, piece);
    } else throw new Error(`unknown wire type ${wire}`);
    if (name === "") continue;
    if (repeated) message[name] = [...((message[name] as unknown[] | undefined) ?? []), ...values];
    else message[name] = values[0];
  }
  return message;
}

function piecesOf(kind: Kind | Schema, piece: Buffer): unknown[] {
  if (typeof kind !== "string") return [decode(kind, piece)];
  if (kind === "string") return [piece.toString("utf8")];
  if (kind === "bytes") return [piece];
  // Packed numbers.
  return Array.from({ length: piece.length / 8 }, (_, i) => eight(kind, piece, i * 8));
}

function eight(kind: Kind | Schema, bytes: Buffer, at: number): number | bigint {
  return kind === "double" ? bytes.readDoubleLE(at) : bytes.readBigUInt64LE(at);
}

function scalar(kind: Kind | Schema, value: bigint): bigint | boolean {
  return kind === "bool" ? value === 1n : value;
}
