/** The interface between a backend and its connections, for all protocols: options, events, operations. */
import type { Clock } from "../../clock.ts";
import type { Address, Login, TlsConfig } from "../../config/config.ts";
import type { Status } from "../reply.ts";
import type { Request } from "../request.ts";
import type { Turn } from "../wire/turn.ts";
import type { GreetingEvents } from "./greeting.ts";
import type { SentRequest } from "./operation-durations.ts";

/** Options of all connections of a backend. */
export interface ConnectionOptions {
  readonly address: Address;
  readonly tls: TlsConfig | null;
  readonly prefix: Buffer;
  readonly serverTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Number of retries of a connection that times out, before that counts as a failure. */
  readonly connectRetries: number;
  /** 0 disables keep-alive. */
  readonly keepAliveMs: number;
  /** For memcached's text authentication (doc/protocol.txt, "Authentication"). `null` if there is no login. */
  readonly login: Login | null;
  readonly maxReplyBytes: number;
  readonly clock: Clock;
  readonly turn: Turn;
}

/** The source of a request: a client or a route; a probe of the server; the first commands of a connection. */
type RequestSource = "client" | "probe" | "greeting";

/** Events of a connection, for its backend. */
export interface ConnectionEvents extends GreetingEvents {
  /**
   * `sent` was answered. Called before the request is completed. `status` is a classic one (`classicStatus`), or 0 for
   * requests that are not counted.
   */
  answered(sent: SentRequest, status: Status | 0): void;
  /** A request in flight failed with `status`. */
  failed(sent: SentRequest, status: Status, source: RequestSource): void;
  /** A connection was established. */
  opened(): void;
  /** An established connection has ended. */
  closed(): void;
  /** The server has ended an established connection; `isError`: by an error. Called before `closed`. */
  lost(isError: boolean): void;
  written(bytes: number): void;
  read(bytes: number): void;
  timedOut(sent: SentRequest): void;
  connectFailed(reason: string): void;
  /** The connection was closed because its order could no longer be trusted. */
  outOfStep(reason: string): void;
}

/** The operations of a connection, for all protocols. */
export interface BackendLink {
  /** Number of requests sent or waiting to be sent, without a reply. */
  readonly outstanding: number;
  /** Those of `outstanding` that are neither probes nor first commands of the connection, and have not timed out. */
  readonly inFlight: number;
  readonly isConnected: boolean;
  /** False if a get of several keys is not answered as in memcached: then send one key at a time. */
  readonly mayShare: boolean;
  /** Sends `request` and completes it once, with the server's reply or a failure. May complete it synchronously. */
  send(request: Request): void;
  /** Closes the socket if nothing was sent since the last call. The next request opens another socket. */
  closeIfIdle(): void;
  /**
   * Closes the connection for good after all outstanding requests have been answered or have timed out. Then calls
   * `done` once, possibly synchronously.
   */
  retire(done: () => void): void;
  /** Closes the connection for good; outstanding requests fail. */
  close(): void;
}
