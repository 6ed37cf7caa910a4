/**
 * What the benchmark and its load generator tell each other. The job travels as JSON in the generator's argument, the
 * rest over its IPC channel: "ready" once every connection stands, then one "result" for every "run" it is sent.
 */

/** A load, fixed for the life of one generator process. */
export interface Job {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  readonly connections: number;
  /** Requests each connection has in flight at most. */
  readonly depth: number;
  /** When further requests are sent: once all are answered, as a client's multi-get does, or for each answer. */
  readonly refill: "whenAllAnswered" | "forEachAnswer";
  /**
   * "set" stores every key of the key space, "get" reads them back; "mix" is nine gets for each set. "meta" and "binary" are
   * gets in these protocols, "fill" gets of keys that nobody has asked for.
   */
  readonly operation: Operation;
  /** Keys named by one request; 1 for all but gets. */
  readonly keysPerRequest: number;
  readonly valueBytes: number;
  /** Requests a second, offered whatever the answers do; null: as fast as the answers come. */
  readonly rate: number | null;
}

type Operation = "get" | "set" | "mix" | "meta" | "binary" | "fill";

/** How long one run lasts: for some time, or until so many requests were sent. What is in flight then is awaited. */
export type Limit = { readonly seconds: number } | { readonly requests: number };

/** What one run came to. Every reply in it was compared with the expected bytes. */
export interface JobResult {
  readonly requests: number;
  /** From the first request to the last reply. */
  readonly seconds: number;
  /** CPU the generator itself used in that time, all threads. */
  readonly generatorCpuSeconds: number;
  /** As the generator saw it, its own queueing included, at a rate from when a request was due; capped at 250,000. */
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
}

export interface RunMessage {
  readonly kind: "run";
  readonly limit: Limit;
}

/** "failed" is the generator's last message: a connection broke, or a reply was not the expected one. */
export type GeneratorMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "result"; readonly result: JobResult }
  | { readonly kind: "failed"; readonly message: string };
