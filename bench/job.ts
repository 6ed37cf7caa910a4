/**
 * What the benchmark and its load generator tell each other. The job travels as JSON in the generator's argument, the
 * rest over its IPC channel: "ready" once every connection stands, then one "result" for every "run" it is sent.
 */

/** A load, fixed for the life of one generator process. */
export interface Job {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** Requests each connection has in flight at most. */
  readonly depth: number;
  /** When further requests are sent: once all are answered, as a client's multi-get does, or for each answer. */
  readonly refill: "whenAllAnswered" | "forEachAnswer";
  /** "set" stores every key of the key space, "get" reads them back. */
  readonly operation: "get" | "set";
  /** Keys named by one request; 1 for sets. */
  readonly keysPerRequest: number;
}

/** How long one run lasts: for some time, or until so many requests were sent. What is in flight then is awaited. */
export type Limit = { readonly seconds: number } | { readonly requests: number };

/** What one run came to. Every reply in it was compared with the expected bytes. */
export interface JobResult {
  readonly requests: number;
  /** From the first request to the last reply. */
  readonly seconds: number;
  /** CPU the generator itself used in that time, all threads. */
  readonly generatorCpuSeconds: number;
  /** As the generator saw it, its own queueing included; capped at 250,000. */
  readonly p50Micros: number;
  readonly p99Micros: number;
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
