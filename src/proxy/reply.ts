/**
 * What a backend, the store or a route answered. A reply points at bytes that are good only while it is being handled;
 * whoever wants to keep them copies them, unless `isKept` says that nobody will overwrite them.
 */
import type { BufferLease } from "./wire/buffer-lease.ts";

/** How a request ended. Numbers below `firstFailure` are answers; from there on something went wrong. */
export const Status = {
  /** A retrieval: `found` with at least one value, `missing` with none. */
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
  /** A meta command's own answer, see `Reply.code`. */
  meta: 11,
  /** CLIENT_ERROR or ERROR: the request was wrong, the backend is well. */
  clientError: 20,
  /** SERVER_ERROR from the backend. */
  serverError: 21,
  timeout: 22,
  connectTimeout: 23,
  connectError: 24,
  /** The connection broke, or could no longer be trusted, after the request was sent. */
  connectionLost: 25,
  /** The backend is being left alone after failures. */
  tko: 26,
  /** Too much is waiting for this backend already. */
  overloaded: 27,
  /** No backend was asked: a route refused it. */
  localError: 28,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Room for something by status. */
export const STATUS_COUNT = 32;

/** True for everything that is not an answer. */
export function isFailure(status: Status): boolean {
  return status >= Status.clientError;
}

/** Codes of meta answers, as `Reply.code` has them: the two letters as `a << 8 | b`. */
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

/** A reply in its text form, with the parts a route may want located in it. One object is used again and again. */
export class Reply {
  status: Status = Status.missing;
  /** Holds the reply's bytes, `[start, end)`, with all its lines and their CRLF; for a retrieval of one key with the END line. */
  chunk: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** True: `chunk` is never written again, so it may be sent later from where it is. */
  isKept = false;
  /** Not null: to be retained by who needs `chunk` for longer than the call. */
  lease: BufferLease | null = null;
  /** First value of a retrieval, or the value of a meta `VA`: data without CRLF. */
  valueStart = 0;
  valueEnd = 0;
  /** Client flags of the first value. */
  flags = 0;
  /** Of a meta answer one of `MetaCode`; of a route's own error the number of its result (see result.ts), else 0. */
  code = 0;

  /** The same reply, to be kept: in an object of its own, and with bytes of its own where they would be overwritten. */
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

  /** Puts `head` in place of what stands before byte `from` of `chunk`, in bytes of the reply's own. */
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

/** A reply with a text of its own that can be used for ever: `line` without CRLF. */
export function fixedReply(status: Status, line: string): Reply {
  const reply = new Reply();
  reply.status = status;
  reply.chunk = Buffer.from(`${line}\r\n`, "latin1");
  reply.end = reply.chunk.length;
  reply.isKept = true;
  return reply;
}

const RETRIEVAL_TAIL = Buffer.from("\r\nEND\r\n", "latin1");

/** The answer to a retrieval of one key, made here; `cas` null: the answer has none. It is kept. */
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

/** The texts of failures that Platypus itself answers, after mcrouter's. */
export const failures = {
  timeout: fixedReply(Status.timeout, "SERVER_ERROR timeout"),
  connectTimeout: fixedReply(Status.connectTimeout, "SERVER_ERROR connection timeout"),
  connectError: fixedReply(Status.connectError, "SERVER_ERROR connection error"),
  connectionLost: fixedReply(Status.connectionLost, "SERVER_ERROR remote error"),
  /** The server is left alone because it refused connections, or because requests timed out. */
  tko: fixedReply(Status.tko, "SERVER_ERROR unavailable"),
  tkoAfterTimeouts: fixedReply(Status.tko, "SERVER_ERROR unavailable"),
  overloaded: fixedReply(Status.overloaded, "SERVER_ERROR busy"),
} as const;

/** Stands for the blocks in the request's `keys`, each where it was found; the END line is still to be written. */
export const gatheredReply = fixedReply(Status.found, "END");

/** A server that is not spoken to in meta cannot be asked for everything that meta can. */
export const notSupported = fixedReply(Status.clientError, "CLIENT_ERROR not supported by this pool");

/** A retrieval that found nothing. */
export const missReply = fixedReply(Status.missing, "END");

/** An item of the pool as far as fill and refresh want to know it. */
export interface PoolItem {
  /** Whole seconds it has left; −1: no end; null: the servers cannot say. */
  readonly ttlSeconds: number | null;
  readonly cas: bigint;
}

/** A value of the pool with its client flags. */
export interface PoolValue {
  readonly value: Buffer;
  readonly flags: number;
}

/** What became of a write of Platypus' own: `cas` is the stored item's own. */
export type WriteResult =
  /** Null: the servers cannot say. */
  { readonly result: "stored"; readonly cas: bigint | null } | { readonly result: "notStored" | "exists" | "notFound" };
