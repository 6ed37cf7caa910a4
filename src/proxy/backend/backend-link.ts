/**
 * A connection as its backend sees it, whatever is spoken on it: what it is given, what it tells, and what it does.
 */
import type { Clock } from "../../clock.ts";
import type { Address, Login, TlsConfig } from "../../config/config.ts";
import type { Status } from "../reply.ts";
import type { Request } from "../request.ts";
import type { Turn } from "../wire/turn.ts";
import type { GreetingEvents } from "./greeting.ts";

/** What the connections of one backend have in common. */
export interface ConnectionOptions {
  readonly address: Address;
  readonly tls: TlsConfig | null;
  readonly prefix: Buffer;
  readonly serverTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Times a connection that is not there in time is tried again before that counts as a failure. */
  readonly connectRetries: number;
  /** 0: none. */
  readonly keepAliveMs: number;
  /** For the text authentication of memcached (doc/protocol.txt, "Authentication"); null: none. */
  readonly login: Login | null;
  readonly maxReplyBytes: number;
  readonly clock: Clock;
  readonly turn: Turn;
}

/** What happens on a connection, for the backend it belongs to. */
export interface ConnectionEvents extends GreetingEvents {
  /**
   * A request sent at `sentMs` was answered; told before it is completed. `status` is a classic one (`classicStatus`), 0 for
   * requests that are not counted.
   */
  answered(status: Status | 0, sentMs: number): void;
  /** A request on its way failed with `status`. */
  failed(status: Status): void;
  /** A connection was made. */
  opened(): void;
  /** One that had been made is gone. */
  closed(): void;
  timedOut(): void;
  connectFailed(reason: string): void;
  /** It was closed because it could not be trusted any more. */
  outOfStep(reason: string): void;
}

/** What a backend needs of a connection, whatever is spoken on it. */
export interface BackendLink {
  /** Requests sent or waiting to be sent, not answered yet. */
  readonly outstanding: number;
  readonly isConnected: boolean;
  /** False: a get of several keys is not answered as memcached does; it is to be asked for one key at a time. */
  readonly mayShare: boolean;
  /** Takes `request`: sends it and completes it once, with the server's reply or a failure. May complete it at once. */
  send(request: Request): void;
  /** Closes the socket if nothing was sent since the last call; the next request opens another one. */
  closeIfIdle(): void;
  /**
   * Closes the connection for good once everything outstanding has been answered or has timed out; then calls `done` once,
   * perhaps before this returns.
   */
  retire(done: () => void): void;
  /** Closes the connection for good; what is outstanding fails. */
  close(): void;
}
