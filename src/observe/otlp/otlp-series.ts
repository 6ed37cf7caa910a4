/**
 * The series of a metric for OTLP. Prometheus' labels are those of existing dashboards; OTLP's attributes have the names
 * and values that spans have, so that a metric leads to its traces.
 *
 * Sources: OpenTelemetry semantic conventions, "Database client metrics", "HTTP client metrics", "Recording errors".
 */
import type { Attributes } from "@opentelemetry/api";
import { parseAddress } from "../../config/address.ts";
import { serverAttributes } from "../../proxy/backend/traced-call.ts";
import { Status } from "../../proxy/reply.ts";
import { statusNameOf } from "../../proxy/request-span.ts";
import { type BucketCounts, durationsTogether, durationsWithout, shownBuckets } from "../../telemetry/durations.ts";
import type { Metric } from "../metrics.ts";
import type { Snapshot } from "../snapshot.ts";

export type OtlpSeries = readonly [attributes: Attributes, value: number | BucketCounts];

/** Attributes for Prometheus' labels. A label with a dot is an attribute of the conventions already. */
export const attributeNames: Readonly<Record<string, string>> = {
  backend: "server.address",
  direction: "network.io.direction",
  error: "error.type",
  kind: "platypus.tko.kind",
  operation: "db.operation.name",
  pool: "platypus.pool",
  protocol: "platypus.protocol",
  reason: "platypus.reason",
  report: "platypus.report",
  result: "platypus.result",
  rule: "platypus.rule",
  source: "platypus.source",
  step: "platypus.step",
  version: "service.version",
};

/** Metrics with other series than Prometheus: finer ones, or values that spans have. */
export const ownSeries: Readonly<Record<string, (snapshot: Snapshot) => OtlpSeries[]>> = {
  "platypus.client.request.duration": ({ clients: { requests } }) =>
    requests.flatMap(({ operation, protocol, latency, failed }) => {
      const attributes = { ...memcached, "db.operation.name": operation, "platypus.protocol": protocol };
      const failures = Object.entries(failed);
      const succeeded = durationsWithout(
        latency,
        failures.map(([, durations]) => durations).reduce(durationsTogether, nothingOf(latency)),
      );
      return [
        ...counted(attributes, succeeded),
        ...failures.flatMap(([error, durations]) => counted({ ...attributes, "error.type": error }, durations)),
      ];
    }),
  "platypus.client.request.errors": ({ clients: { requests } }) =>
    requests.flatMap(({ operation, protocol, clientErrors, failed }) => {
      const attributes = { ...memcached, "db.operation.name": operation, "platypus.protocol": protocol };
      const failures = Object.entries(failed).map(([error, { count }]): [string, number] => [error, count]);
      const errors: [string, number][] = [[statusNameOf(Status.clientError), clientErrors], ...failures];
      return errors.map(([error, count]): OtlpSeries => [{ ...attributes, "error.type": error }, count]);
    }),
  "platypus.client.get.keys": ({ clients: { getHits, getMisses } }) => [
    [{ "platypus.result": statusNameOf(Status.found) }, getHits],
    [{ "platypus.result": statusNameOf(Status.missing) }, getMisses],
  ],
  "db.client.operation.duration": ({ servers }) =>
    servers.flatMap(({ pool, name, operationDurations }) =>
      operationDurations.flatMap(({ operation, error, latency }) => {
        const attributes = {
          ...memcached,
          ...serverOf(name),
          "db.operation.name": operation,
          "platypus.pool": pool,
          ...(error !== null && { "error.type": error }),
        };
        return counted(attributes, latency);
      }),
    ),
  "platypus.backend.errors": ({ servers }) =>
    servers.flatMap(({ pool, name, results }) =>
      results.flatMap((count, status): OtlpSeries[] => {
        if (count === 0 || status < Status.clientError) return [];
        return [[{ ...serverOf(name), "platypus.pool": pool, "error.type": statusNameOf(status) }, count]];
      }),
    ),
  "platypus.source.failures": ({ sources }) =>
    sources.flatMap(({ name, failures }) =>
      Object.entries(failures).map(
        ([code, count]): OtlpSeries => [{ "platypus.source": name, "error.type": code }, count],
      ),
    ),
  "http.client.request.duration": ({ sources }) =>
    sources.flatMap(({ name, calls }) =>
      calls.flatMap(({ method, address, port, template, status, error, latency }) => {
        const attributes = {
          "http.request.method": method,
          "server.address": address,
          "server.port": port,
          "url.template": template,
          "platypus.source": name,
          ...(status !== null && { "http.response.status_code": status }),
          ...(error !== null && { "error.type": error }),
        };
        return counted(attributes, latency);
      }),
    ),
};

/** All series of `metric`. */
export function otlpSeriesOf(metric: Metric, snapshot: Snapshot): OtlpSeries[] {
  const own = ownSeries[metric.name];
  if (own !== undefined) return own(snapshot);
  return metric.read(snapshot).map(([values, value]) => {
    const attributes = metric.attributes.map((label, i) => attributesOf(label, values[i]!));
    return [Object.assign({}, ...attributes), value];
  });
}

const memcached = { "db.system.name": "memcached" } as const;

function attributesOf(label: string, value: string): Attributes {
  return label === "backend" ? serverOf(value) : { [attributeNames[label] ?? label]: value };
}

/** `name` is an address as text. */
function serverOf(name: string): Attributes {
  const address = parseAddress(name, "/");
  return address === null ? { "server.address": name } : serverAttributes(address);
}

function counted(attributes: Attributes, durations: Parameters<typeof shownBuckets>[0]): OtlpSeries[] {
  return durations.count === 0 ? [] : [[attributes, shownBuckets(durations)]];
}

function nothingOf(durations: Parameters<typeof durationsWithout>[0]) {
  return durationsWithout(durations, durations);
}
