/**
 * Durations of requests to an HTTP server, by method, path template, status and error.
 *
 * Source: OpenTelemetry semantic conventions, "HTTP client metrics".
 */
import type { Durations } from "../telemetry/durations.ts";
import type { TracedIds } from "../telemetry/exemplars.ts";
import { Histogram } from "../telemetry/histogram.ts";

/** The attributes of a request in metrics and spans. */
interface HttpCall {
  readonly method: string;
  /** The template of the path, without the query and without secrets. */
  readonly template: string;
  /** `null` if there was no response. */
  readonly status: number | null;
  /** The status of a failure, or the code of an error. `null` if the request did not fail. */
  readonly error: string | null;
}

export interface HttpCallNumbers extends HttpCall {
  readonly address: string;
  readonly port: number;
  readonly latency: Durations;
}

export class HttpCalls {
  readonly address: string;
  readonly port: number;
  private readonly calls = new Map<string, HttpCall & { readonly histogram: Histogram }>();

  constructor(origin: string) {
    const { hostname, port, protocol } = new URL(origin);
    this.address = hostname;
    this.port = Number(port) || (protocol === "https:" ? 443 : 80);
  }

  /** Records a request that took `ms` to the head of its response. `span` is `null` if it is not traced. */
  add(call: HttpCall, ms: number, span: TracedIds | null): void {
    const { method, template, status, error } = call;
    const name = `${method} ${template} ${status} ${error}`;
    const { histogram } = this.calls.get(name) ?? { histogram: new Histogram() };
    this.calls.set(name, { method, template, status, error, histogram });
    histogram.add(ms);
    if (span !== null) histogram.mark(ms, span);
  }

  read(): HttpCallNumbers[] {
    const { address, port } = this;
    return [...this.calls.values()].map(({ histogram, ...call }) => {
      return { ...call, address, port, latency: histogram.read() };
    });
  }
}
