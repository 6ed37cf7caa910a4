/**
 * How long clients' requests took and how many failed, by operation and protocol: plain numbers, added to once for each
 * request.
 */

import { LatencyHistogram } from "../telemetry/latency-histogram.ts";
import { isFailure, Status } from "./reply.ts";
import { isMeta, OPERATION_COUNT, Operation, type Request } from "./request.ts";

/** In the order of their numbers. */
const protocols = ["classic", "meta", "binary"] as const;

/** What clients see an operation do, whatever protocol they say it in. */
const names: Readonly<Partial<Record<Operation, string>>> = {
  [Operation.metaGet]: "get",
  [Operation.metaSet]: "set",
  [Operation.metaDelete]: "delete",
  [Operation.metaArithmetic]: "arithmetic",
  [Operation.metaDebug]: "debug",
  [Operation.flushAll]: "flush_all",
};

/** Name by `Operation`. */
const operationNames: readonly string[] = Array.from({ length: OPERATION_COUNT }, (_, operation) => {
  const [own = "unknown"] = Object.entries(Operation).find(([, number]) => number === operation) ?? [];
  return names[operation as Operation] ?? own;
});

/** What clients call the request's operation. */
export function operationNameOf(request: Request): string {
  return operationNames[request.operation]!;
}

/** In which protocol it was said. */
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
  /** Requests that were wrong, and those that we or a server could not carry out. */
  clientErrors: number;
  serverErrors: number;
}

export class RequestMetrics {
  /** By operation and protocol; null: not seen yet. */
  private readonly series: (RequestSeries | null)[] = new Array(OPERATION_COUNT * protocols.length).fill(null);

  /** A request was answered `micros` after it was read. */
  record(request: Request, status: Status, micros: number): void {
    const protocol = protocolOf(request);
    const at = request.operation * protocols.length + protocol;
    const series = this.series[at] ?? this.begin(at, request.operation, protocol);
    series.latency.add(micros);
    if (isFailure(status)) {
      if (status === Status.clientError) series.clientErrors++;
      else series.serverErrors++;
    }
  }

  /** Those that were seen. */
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
    };
    this.series[at] = series;
    return series;
  }
}
