/**
 * Messages between the benchmark and its load generator. The job is JSON in the generator's argument; the rest uses its
 * IPC channel: "ready" once all connections are open, then one "result" for each "run".
 */

/** A load, fixed for the lifetime of a generator process. */
export interface Job {
  readonly host: string;
  /** 0 if `host` is the path of a Unix socket. */
  readonly port: number;
  readonly isTls: boolean;
  readonly connections: number;
  /** Maximum number of requests in flight per connection. */
  readonly depth: number;
  /** When further requests are sent: after all replies, as in a client's multi-get, or after each reply. */
  readonly refill: "whenAllAnswered" | "forEachAnswer";
  /**
   * "set" stores each key of the key space, "get" reads them; "mix" is nine gets per set. "meta" and "binary" are gets
   * in these protocols; "fill" is gets of keys that were never requested; "zipf" is gets of a million keys, Zipf-distributed with
   * exponent 1, and "zipf set" stores those of them that are requested; "one" is gets of one key.
   */
  readonly operation: Operation;
  /** Number of keys per request; 1 for all commands except gets. */
  readonly keysPerRequest: number;
  readonly valueBytes: number;
  /** Requests per second, independent of replies. `null` sends as fast as replies arrive. */
  readonly rate: number | null;
}

type Operation = "get" | "set" | "mix" | "meta" | "binary" | "fill" | "zipf" | "zipf set" | "one";

/** The length of a run: a time, or a number of requests. Requests in flight at the end are awaited. */
export type Limit = { readonly seconds: number } | { readonly requests: number };

/** The result of a run. All replies were compared with the expected bytes. */
export interface JobResult {
  readonly requests: number;
  /** From the first request to the last reply. */
  readonly seconds: number;
  /** CPU time of the generator during the run, all threads. */
  readonly generatorCpuSeconds: number;
  /**
   * As measured by the generator, including its own queueing; with a rate, from the due time of a request. At most
   * 250,000.
   */
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
}

export interface RunMessage {
  readonly kind: "run";
  readonly limit: Limit;
}

/** "failed" is the generator's last message: a connection broke, or a reply was wrong. */
export type GeneratorMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "result"; readonly result: JobResult }
  | { readonly kind: "failed"; readonly message: string };
