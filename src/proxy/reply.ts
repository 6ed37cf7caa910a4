/**
 * The reply of a backend, the store or a route. Its bytes are only valid while it is being handled. Code that needs
 * them longer must copy them, unless `isKept` says that they are never overwritten.
 */
import type { BufferLease } from "./wire/buffer-lease.ts";

/** The result of a request. Numbers below `firstFailure` are replies; the others are failures. */
export const Status = {
  /** A retrieval: `found` with at least one value, `missing` without values. */
  found: 1,
  missing: 2,
  stored: 3,
  notStored: 4,
  exists: 5,
  notFound: 6,
  deleted: 7,
  touched: 8,
  /** incr, decr: the new number. */
  number: 9,
  ok: 10,
  /** A reply to a meta command, see `Reply.code`. */
  meta: 11,
  /** CLIENT_ERROR or ERROR: the request is wrong, the backend works. */
  clientError: 20,
  /** SERVER_ERROR from the backend. */
  serverError: 21,
  timeout: 22,
  connectTimeout: 23,
  connectError: 24,
  /** The connection broke, or could no longer be trusted, after the request was sent. */
  connectionLost: 25,
  /** The backend is marked dead (TKO). */
  tko: 26,
  /** Too many requests wait for this backend. */
  overloaded: 27,
  /** No backend was asked: a route refused the request. */
  localError: 28,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Length of an array with index `Status`. */
export const STATUS_COUNT = 32;

/** True for failures. */
export function isFailure(status: Status): boolean {
  return status >= Status.clientError;
}

/** Codes of meta replies in `Reply.code`: the two letters as `a << 8 | b`. */
export const MetaCode = {
  /** A value follows. */
  VA: 0x5641,
  HD: 0x4844,
  EN: 0x454e,
  NS: 0x4e53,
  EX: 0x4558,
  NF: 0x4e46,
  ME: 0x4d45,
  MN: 0x4d4e,
} as const;

const NOTHING = Buffer.alloc(0);

/**
 * A reply in its text form, with positions of the parts that a route may need. One object is reused for many replies.
 */
export class Reply {
  status: Status = Status.missing;
  /**
   * The buffer with the reply's bytes, `[start, end)`: all its lines with CRLF; for a retrieval of one key, including
   * the END line.
   */
  chunk: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** True if `chunk` is never overwritten: then it may be sent later without a copy. */
  isKept = false;
  /** If not `null`, code that needs `chunk` for longer than the call must retain the lease. */
  lease: BufferLease | null = null;
  /** First value of a retrieval, or the value of a meta `VA`: data without CRLF. */
  valueStart = 0;
  valueEnd = 0;
  /** Client flags of the first value. */
  flags = 0;
  /** For a meta reply, one of `MetaCode`; for a route's error, the number of its result (see result.ts); else 0. */
  code = 0;

  /** A copy of the reply that may be kept: a new object, with copied bytes if they may be overwritten. */
  copy(): Reply {
    const copy = Object.assign(new Reply(), this);
    copy.lease = null;
    if (this.isKept) return copy;
    copy.chunk = Buffer.from(this.chunk.subarray(this.start, this.end));
    copy.start = 0;
    copy.end = this.end - this.start;
    copy.isKept = true;
    copy.valueStart -= this.start;
    copy.valueEnd -= this.start;
    return copy;
  }

  /** Replaces the bytes before `from` of `chunk` by `head`, in a new buffer. */
  replaceHead(head: Buffer, from: number): void {
    const shift = head.length - from;
    this.chunk = Buffer.concat([head, this.chunk.subarray(from, this.end)]);
    this.valueStart += shift;
    this.valueEnd += shift;
    this.start = 0;
    this.end = this.chunk.length;
    this.isKept = true;
    this.lease = null;
  }
}

/** A reply with a fixed text, which may be kept: `line` without CRLF. */
export function fixedReply(status: Status, line: string): Reply {
  const reply = new Reply();
  reply.status = status;
  reply.chunk = Buffer.from(`${line}\r\n`, "latin1");
  reply.end = reply.chunk.length;
  reply.isKept = true;
  return reply;
}

const RETRIEVAL_TAIL = Buffer.from("\r\nEND\r\n", "latin1");

/** A new reply to a retrieval of one key. `cas` is `null` if the reply has none. The reply may be kept. */
export function valueReply(key: string, value: Buffer, flags: number, cas: bigint | null = null): Reply {
  const unique = cas === null ? "" : ` ${cas}`;
  const head = Buffer.from(`VALUE ${key} ${flags} ${value.length}${unique}\r\n`, "latin1");
  const reply = new Reply();
  reply.status = Status.found;
  reply.chunk = Buffer.concat([head, value, RETRIEVAL_TAIL]);
  reply.end = reply.chunk.length;
  reply.isKept = true;
  reply.valueStart = head.length;
  reply.valueEnd = head.length + value.length;
  reply.flags = flags;
  return reply;
}

/** Texts of failures that Platypus answers itself, similar to mcrouter's. */
export const failures = {
  timeout: fixedReply(Status.timeout, "SERVER_ERROR timeout"),
  connectTimeout: fixedReply(Status.connectTimeout, "SERVER_ERROR connection timeout"),
  connectError: fixedReply(Status.connectError, "SERVER_ERROR connection error"),
  connectionLost: fixedReply(Status.connectionLost, "SERVER_ERROR remote error"),
  /** The server is marked dead because it refused connections, or because requests timed out. */
  tko: fixedReply(Status.tko, "SERVER_ERROR unavailable"),
  tkoAfterTimeouts: fixedReply(Status.tko, "SERVER_ERROR unavailable"),
  overloaded: fixedReply(Status.overloaded, "SERVER_ERROR busy"),
} as const;

/** Stands for the blocks in the request's `keys`, each in its buffer. The END line must still be written. */
export const gatheredReply = fixedReply(Status.found, "END");

/** The reply to a meta feature that a server without meta commands does not have. */
export const notSupported = fixedReply(Status.clientError, "CLIENT_ERROR not supported by this pool");

/** The reply to `stats` with an unknown group. */
export const unknownStats = fixedReply(Status.clientError, "ERROR");

/** A retrieval that found nothing. */
export const missReply = fixedReply(Status.missing, "END");

/** The fields of an item that fills and refreshes need. */
export interface PoolItem {
  /** Remaining TTL in whole seconds. −1 if it never expires. `null` if the servers cannot report it. */
  readonly ttlSeconds: number | null;
  readonly cas: bigint;
}

/** A value of the pool with its client flags. */
export interface PoolValue {
  readonly value: Buffer;
  readonly flags: number;
}

/** The result of a write by Platypus itself. `cas` is that of the stored item. */
export type WriteResult =
  /** `cas` is `null` if the servers cannot report it. */
  { readonly result: "stored"; readonly cas: bigint | null } | { readonly result: "notStored" | "exists" | "notFound" };
