/**
 * A key that clients ask for often, and the copy of its value, if there is one. The copy belongs to one get: that
 * request is the only one that may store its reply, until a write or a newer value takes the right away.
 */
import { MetaCode, Reply, Status, valueReply } from "../reply.ts";
import type { Request } from "../request.ts";
import { equalBytes } from "../wire/ascii.ts";
import { metaFound, returnedFlags, tokenOf } from "../wire/meta-line.ts";

/** Approximate size of a hot key without its bytes and its copy. */
export const HOT_KEY_BYTES = 400;
/** Approximate size of a copy without its bytes. */
const COPY_BYTES = 300;
/** A copy is renewed in the last quarter of its time, so that it is rarely missed when its time ends. */
const RENEW_SHARE = 0.25;

/** Gets of a key, for reports. */
export interface HotKeyCounts {
  /** One character per byte. */
  readonly key: string;
  /** Gets since the key became hot, and how many of them were answered from memory. */
  readonly gets: number;
  readonly hits: number;
}

export class HotKey {
  readonly hash: number;
  /** Its own memory, not a part of a larger buffer. */
  readonly bytes: Buffer;
  /** Maximum age of a copy. 0 if the configuration allows none. */
  readonly nearMs: number;
  /** Next key in the bucket. */
  next: HotKey | null = null;
  /** Recent gets: halved once a second. */
  rate: number;
  gets = 0;
  hits = 0;
  /** Time of the last get that was reported to the refreshes. */
  notedMs = Number.NEGATIVE_INFINITY;
  /** The request whose reply becomes the copy. `null` if no such request is in flight. */
  private filler: Request | null = null;
  /** Time when `filler` was sent. */
  private sentMs = 0;
  /** The copy: a reply that may be kept, with a value. It is the reply to a get if `hasFlags`. `null` if absent. */
  private copy: Reply | null = null;
  /** True if the client flags of the copy are known. */
  private hasFlags = false;
  /** True if the copy was read by an `mg`: a get does not show that an item is stale or must be recached. */
  private isProven = false;
  private endMs = 0;
  private renewMs = 0;
  /** The last line of an `mg` that was answered, and the reply. */
  private metaLine: Buffer | null = null;
  private metaReply: Reply | null = null;

  constructor(hash: number, bytes: Buffer, nearMs: number, rate: number) {
    this.hash = hash;
    this.bytes = bytes;
    this.nearMs = nearMs;
    this.rate = rate;
  }

  get hasCopy(): boolean {
    return this.copy !== null;
  }

  /** Approximate size in memory of the copy. */
  get copyBytes(): number {
    if (this.copy === null) return 0;
    // The reply to an `mg` is made from the copy later.
    return COPY_BYTES + this.copy.chunk.length * (this.isProven ? 2 : 1);
  }

  /** True if the key has these bytes. */
  equals(chunk: Buffer, start: number, end: number): boolean {
    return end - start === this.bytes.length && equalBytes(chunk, start, end, this.bytes, 0);
  }

  /**
   * The copy as the reply to a get. `null` if a server must be asked: there is no copy, its time has ended, or it is
   * time to renew it.
   */
  replyToGet(nowMs: number): Reply | null {
    return this.hasFlags && this.mayAnswer(nowMs) ? this.copy : null;
  }

  /** The same for an `mg`, with its line, that asks for nothing but value, size, key and (`asksFlags`) client flags. */
  replyToMeta(request: Request, asksFlags: boolean, hasOpaque: boolean, nowMs: number): Reply | null {
    if (!this.isProven || (asksFlags && !this.hasFlags) || !this.mayAnswer(nowMs)) return null;
    const { chunk, frameStart, lineEnd } = request;
    const line = this.metaLine;
    const length = lineEnd - frameStart;
    if (line !== null && line.length === length && equalBytes(chunk, frameStart, lineEnd, line, 0))
      return this.metaReply;
    const { chunk: bytes, valueStart, valueEnd, flags } = this.copy!;
    const reply = metaFound(request, bytes.subarray(valueStart, valueEnd), flags, null);
    if (!hasOpaque && reply !== null) {
      this.metaLine = Buffer.from(chunk.subarray(frameStart, lineEnd));
      this.metaReply = reply;
    }
    return reply;
  }

  /** Gives `request`, which is about to be sent, the right to store its reply. False if another request has it. */
  take(request: Request, nowMs: number): boolean {
    if (this.filler !== null) return false;
    this.filler = request;
    this.sentMs = nowMs;
    return true;
  }

  /** Ends the right of `request`. False if it does not have the right any more. */
  giveBack(request: Request): boolean {
    if (this.filler !== request) return false;
    this.filler = null;
    return true;
  }

  /** Forgets the copy, and takes the right to store a reply from the request that has it. */
  drop(): void {
    this.filler = null;
    this.copy = null;
    this.metaLine = null;
    this.metaReply = null;
  }

  /** True if `value[start, end)` is the value of the copy. */
  hasValue(chunk: Buffer, start: number, end: number): boolean {
    const { copy } = this;
    if (copy === null || copy.valueEnd - copy.valueStart !== end - start) return false;
    return equalBytes(chunk, start, end, copy.chunk, copy.valueStart);
  }

  /**
   * Keeps the copy for its time again if the VALUE block `chunk[start, end)`, which the request with the right has read,
   * has the same value and client flags. Returns false otherwise.
   */
  renew(chunk: Buffer, start: number, end: number): boolean {
    const { copy } = this;
    if (copy === null || !this.hasFlags || this.isProven) return false;
    if (end - start !== copy.chunk.length - END.length || !equalBytes(chunk, start, end, copy.chunk, 0)) return false;
    this.begin();
    return true;
  }

  /** Stores a copy of the VALUE block `chunk[start, end)`, with its CRLF, which the request with the right has read. */
  storeBlock(chunk: Buffer, start: number, end: number): void {
    const copy = Buffer.allocUnsafeSlow(end - start + END.length);
    chunk.copy(copy, 0, start, end);
    END.copy(copy, end - start);
    this.store(classicReply(copy), true, false);
  }

  /**
   * Stores the value of a reply to an `mg`. Returns false if the reply has no value, or if clients must recache the item: the
   * server says so to each of them.
   */
  storeMeta(reply: Reply): boolean {
    if (reply.status !== Status.meta || reply.code !== MetaCode.VA) return false;
    const returned = returnedFlags(reply);
    if (returned.some((flag) => "WXZ".includes(flag[0]!))) return false;
    const flags = tokenOf(returned, "f");
    const value = reply.chunk.subarray(reply.valueStart, reply.valueEnd);
    this.store(valueReply(this.bytes.toString("latin1"), value, Number(flags ?? 0)), flags !== null, true);
    return true;
  }

  private store(reply: Reply, hasFlags: boolean, isProven: boolean): void {
    this.copy = reply;
    this.hasFlags = hasFlags;
    this.isProven = isProven;
    this.metaLine = null;
    this.metaReply = null;
    this.begin();
  }

  private begin(): void {
    // The server read the value after `sentMs`.
    this.endMs = this.sentMs + this.nearMs;
    this.renewMs = this.endMs - this.nearMs * RENEW_SHARE;
  }

  private mayAnswer(nowMs: number): boolean {
    return this.copy !== null && nowMs < this.endMs && (nowMs < this.renewMs || this.filler !== null);
  }
}

const END = Buffer.from("END\r\n", "latin1");
const CRLF_BYTES = 2;

/** The reply to a get that `chunk` is: `VALUE key flags length`, the data and END. */
function classicReply(chunk: Buffer): Reply {
  const reply = new Reply();
  const lineEnd = chunk.indexOf("\r\n");
  const words = chunk.toString("latin1", 0, lineEnd).split(" ");
  reply.status = Status.found;
  reply.chunk = chunk;
  reply.end = chunk.length;
  reply.isKept = true;
  reply.flags = Number(words[2]);
  reply.valueStart = lineEnd + CRLF_BYTES;
  reply.valueEnd = chunk.length - END.length - CRLF_BYTES;
  return reply;
}
