/**
 * Durations of the requests to one server, by operation and error: histograms in an array with index `Operation`, so
 * that an answered request costs one look-up by a small number.
 */
import { type Durations, durationsTogether } from "../../telemetry/durations.ts";
import { LatencyHistogram } from "../../telemetry/latency-histogram.ts";
import { isFailure, STATUS_COUNT, Status } from "../reply.ts";
import { OPERATION_COUNT, type Operation } from "../request.ts";
import { operationNames } from "../request-metrics.ts";
import { statusNameOf } from "../request-span.ts";
import type { Span } from "../tracing.ts";

/** A request to a server, as far as its duration is concerned. */
export interface SentRequest {
  readonly operation: Operation;
  /** The time when it was sent. */
  readonly sentMs: number;
  /** Span of the client's request. `null` if it is not traced. */
  readonly span: Span | null;
}

/** Durations of one operation, with one error or none. */
export interface OperationNumbers {
  readonly operation: string;
  /** The name of the failure in spans, such as `timeout`. `null` for requests that did not fail. */
  readonly error: string | null;
  readonly latency: Durations;
}

export class OperationDurations {
  /** By `Operation`. `null` for operations that have not occurred. */
  private readonly succeeded: (LatencyHistogram | null)[] = new Array(OPERATION_COUNT).fill(null);
  /** Failures by operation and status: key `Operation` × STATUS_COUNT + `Status`. */
  private readonly failed = new Map<number, LatencyHistogram>();

  /** Records a request that ended with `status` after `micros`. */
  add({ operation, span }: SentRequest, status: Status, micros: number): void {
    const histogram = isFailure(status)
      ? this.failedOf(operation, status)
      : (this.succeeded[operation] ?? this.begin(operation));
    histogram.add(micros);
    if (span !== null) histogram.mark(micros, span);
  }

  /** Requests that the server answered, also with an error. */
  answered(): Durations {
    const failed = [...this.failed].filter(([key]) => isFromServer(key % STATUS_COUNT));
    const all = [...this.succeeded, ...failed.map(([, histogram]) => histogram)];
    return all
      .filter((histogram) => histogram !== null)
      .map((histogram) => histogram.read())
      .reduce(durationsTogether, new LatencyHistogram().read());
  }

  all(): OperationNumbers[] {
    const succeeded = this.succeeded.map((histogram, operation) => ({ operation, status: null, histogram }));
    const failed = [...this.failed].map(([key, histogram]) => {
      return { operation: Math.floor(key / STATUS_COUNT), status: key % STATUS_COUNT, histogram };
    });
    const byNames = new Map<string, OperationNumbers>();
    for (const { operation: number, status, histogram } of [...succeeded, ...failed]) {
      if (histogram === null) continue;
      const operation = operationNames[number]!;
      const error = status === null ? null : statusNameOf(status);
      // Two operations may have one name: `get` and `mg`.
      const name = `${operation} ${error}`;
      const same = byNames.get(name)?.latency;
      const latency = histogram.read();
      byNames.set(name, { operation, error, latency: same === undefined ? latency : durationsTogether(same, latency) });
    }
    return [...byNames.values()];
  }

  private begin(operation: Operation): LatencyHistogram {
    const histogram = new LatencyHistogram();
    this.succeeded[operation] = histogram;
    return histogram;
  }

  private failedOf(operation: Operation, status: Status): LatencyHistogram {
    const key = operation * STATUS_COUNT + status;
    const histogram = this.failed.get(key) ?? new LatencyHistogram();
    this.failed.set(key, histogram);
    return histogram;
  }
}

function isFromServer(status: number): boolean {
  return status === Status.clientError || status === Status.serverError;
}
