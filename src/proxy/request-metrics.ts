/**
 * Durations and failures of clients' requests, by operation and protocol: plain counters, updated once per request.
 */

import type { TracedIds } from "../telemetry/exemplars.ts";
import { LatencyHistogram } from "../telemetry/latency-histogram.ts";
import { isFailure, Status } from "./reply.ts";
import { isMeta, OPERATION_COUNT, Operation, type Request } from "./request.ts";

/** In the order of their numbers. */
const protocols = ["classic", "meta", "binary"] as const;

/** Names of operations for clients, independent of the protocol. */
const names: Readonly<Partial<Record<Operation, string>>> = {
  [Operation.metaGet]: "get",
  [Operation.metaSet]: "set",
  [Operation.metaDelete]: "delete",
  [Operation.metaArithmetic]: "arithmetic",
  [Operation.metaDebug]: "debug",
  [Operation.flushAll]: "flush_all",
};

/** Names by `Operation`. */
export const operationNames: readonly string[] = Array.from({ length: OPERATION_COUNT }, (_, operation) => {
  const [own = "unknown"] = Object.entries(Operation).find(([, number]) => number === operation) ?? [];
  return names[operation as Operation] ?? own;
});

/** The name of the request's operation. */
export function operationNameOf(request: Request): string {
  return operationNames[request.operation]!;
}

/** The protocol of the request. */
export function protocolNameOf(request: Request): (typeof protocols)[number] {
  return protocols[protocolOf(request)]!;
}

/** Index into `protocols`. */
function protocolOf(request: Request): number {
  if (request.binary !== null) return 2;
  return isMeta(request.operation) ? 1 : 0;
}

/** Requests of one operation in one protocol. */
export interface RequestSeries {
  readonly operation: string;
  readonly protocol: (typeof protocols)[number];
  readonly latency: LatencyHistogram;
  /** Requests that were wrong, and requests that Platypus or a server could not execute. */
  clientErrors: number;
  serverErrors: number;
  /** The part of `latency` that Platypus or a server could not execute, by result. */
  readonly failed: Map<Status, LatencyHistogram>;
}

export class RequestMetrics {
  /** By operation and protocol. `null` for combinations that have not occurred. */
  private readonly series: (RequestSeries | null)[] = new Array(OPERATION_COUNT * protocols.length).fill(null);

  /** Records a request that was answered `micros` after it was read. */
  record(request: Request, status: Status, micros: number): void {
    const protocol = protocolOf(request);
    const at = request.operation * protocols.length + protocol;
    const series = this.series[at] ?? this.begin(at, request.operation, protocol);
    series.latency.add(micros);
    if (isFailure(status)) {
      if (status === Status.clientError) series.clientErrors++;
      else countFailure(series, status, micros);
    }
  }

  /** Says that a request, which was recorded, belongs to a sampled span. */
  mark(request: Request, micros: number, span: TracedIds): void {
    this.series[request.operation * protocols.length + protocolOf(request)]?.latency.mark(micros, span);
  }

  /** All combinations that have occurred. */
  all(): RequestSeries[] {
    return this.series.filter((series) => series !== null);
  }

  private begin(at: number, operation: Operation, protocol: number): RequestSeries {
    const series: RequestSeries = {
      operation: operationNames[operation]!,
      protocol: protocols[protocol]!,
      latency: new LatencyHistogram(),
      clientErrors: 0,
      serverErrors: 0,
      failed: new Map(),
    };
    this.series[at] = series;
    return series;
  }
}

function countFailure(series: RequestSeries, status: Status, micros: number): void {
  series.serverErrors++;
  const histogram = series.failed.get(status) ?? new LatencyHistogram();
  series.failed.set(status, histogram);
  histogram.add(micros);
}
