/** A connection of a backend, alone, and what it tells of itself. */
import type { Clock } from "../../../src/clock.ts";
import type { ConnectionOptions } from "../../../src/proxy/backend/backend-link.ts";
import { BackendConnection } from "../../../src/proxy/backend/connection.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";

export const SERVER_TIMEOUT_MS = 250;
export const CONNECT_TIMEOUT_MS = 100;

/** To 127.0.0.1:`port`; what happens on it is added to `happened`. */
export function backendConnection(
  port: number,
  clock: Clock,
  happened: string[],
  changes: Partial<ConnectionOptions> = {},
): BackendConnection {
  const options: ConnectionOptions = {
    address: { type: "tcp", isTls: false, host: "127.0.0.1", port },
    prefix: Buffer.alloc(0),
    serverTimeoutMs: SERVER_TIMEOUT_MS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    login: null,
    tls: null,
    connectRetries: 0,
    keepAliveMs: 0,
    maxReplyBytes: 10_000_000,
    clock,
    turn: new Turn(() => (changes.clock ?? clock).nowMs()),
    ...changes,
  };
  return new BackendConnection(options, {
    answered: () => {},
    failed: () => {},
    opened: () => {},
    closed: () => {},
    lost: () => {},
    written: () => {},
    read: () => {},
    timedOut: () => happened.push("timed out"),
    connectFailed: () => happened.push("connect failed"),
    outOfStep: (reason) => happened.push(`out of step: ${reason}`),
    refused: (reason) => happened.push(reason),
    hello: (line) => happened.push(line),
    speaksMeta: () => {},
  });
}
