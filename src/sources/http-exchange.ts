/**
 * One request to an HTTP server, and its response in memory. It uses undici's dispatcher without a stream per response:
 * a value is stored as a whole, and a stream costs more than all the rest of a fetch.
 *
 *     head ─┬─ wanted:   gather the body up to its limit ─► resolve at its end
 *           └─ unwanted: resolve; read a short rest of the body, so that the connection can be used again
 */
import type { Dispatcher } from "undici";
import { ResponseFields } from "./response-fields.ts";

/** Maximum size and time for reading an unwanted body. */
const MAX_UNWANTED_BYTES = 16 * 1024;
const MAX_UNWANTED_MS = 1_000;

export interface HttpResponse {
  readonly status: number;
  readonly fields: ResponseFields;
  /** "unwanted" if `limitOf` has said so; "too large" if the body exceeds its limit. */
  readonly body: Buffer | "unwanted" | "too large";
}

interface ExchangeOptions {
  readonly signal: AbortSignal;
  /** Called with the head of the response. Returns the maximum size of the body; `null` if it is not wanted. */
  limitOf(status: number, fields: ResponseFields): number | null;
}

/** Rejects with the reason of `signal`, or with undici's error if there is no complete response. */
export function exchange(
  dispatcher: Dispatcher,
  request: Dispatcher.DispatchOptions,
  options: ExchangeOptions,
): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    dispatcher.dispatch(request, new Exchange(options, resolve, reject));
  });
}

class Exchange implements Dispatcher.DispatchHandler {
  private readonly options: ExchangeOptions;
  private readonly resolve: (response: HttpResponse) => void;
  private readonly reject: (reason: unknown) => void;
  private readonly onAbort = () => this.fail(this.options.signal.reason);
  private controller: Dispatcher.DispatchController | null = null;
  /** The reason of an abort. `undefined` if there was none. */
  private aborted: Error | undefined;
  private isSettled = false;
  private status = 0;
  private fields!: ResponseFields;
  private limitBytes = 0;
  private readonly chunks: Buffer[] = [];
  private length = 0;
  private timer: NodeJS.Timeout | null = null;

  constructor(options: ExchangeOptions, resolve: (response: HttpResponse) => void, reject: (reason: unknown) => void) {
    this.options = options;
    this.resolve = resolve;
    this.reject = reject;
    if (options.signal.aborted) this.onAbort();
    else options.signal.addEventListener("abort", this.onAbort);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    // It waited for a connection when it was aborted.
    if (this.aborted !== undefined) controller.abort(this.aborted);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: HttpHeaders): void {
    // An informational response precedes the real one.
    if (status < 200) return;
    this.status = status;
    this.fields = new ResponseFields(headers);
    const limit = this.options.limitOf(status, this.fields);
    if (limit !== null) {
      this.limitBytes = limit;
      return;
    }
    this.settle("unwanted");
    this.limitBytes = MAX_UNWANTED_BYTES;
    this.timer = setTimeout(() => this.abort(new Error("the rest of the response is not needed")), MAX_UNWANTED_MS);
    this.timer.unref();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.length += chunk.length;
    if (this.length > this.limitBytes) {
      if (!this.isSettled) this.settle("too large");
      this.chunks.length = 0;
      this.abort(new Error("the body is too large"));
    } else if (!this.isSettled) {
      this.chunks.push(chunk);
    }
  }

  onResponseEnd(): void {
    this.end();
    // Copied even if it is one chunk: a chunk is a view of a larger buffer.
    if (!this.isSettled) this.settle(Buffer.concat(this.chunks, this.length));
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.end();
    this.fail(error);
  }

  private settle(body: HttpResponse["body"]): void {
    this.isSettled = true;
    this.options.signal.removeEventListener("abort", this.onAbort);
    this.resolve({ status: this.status, fields: this.fields, body });
  }

  private fail(reason: unknown): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.options.signal.removeEventListener("abort", this.onAbort);
    this.reject(reason);
    this.abort(reason instanceof Error ? reason : new Error(String(reason)));
  }

  private abort(reason: Error): void {
    this.aborted = reason;
    this.controller?.abort(reason);
  }

  private end(): void {
    if (this.timer !== null) clearTimeout(this.timer);
  }
}

type HttpHeaders = ConstructorParameters<typeof ResponseFields>[0];
