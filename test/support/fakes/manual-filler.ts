/** A MissFiller whose fills end when the test says so. */

import { missReply, Reply, Status } from "../../../src/proxy/reply.ts";
import type { KeyList } from "../../../src/proxy/request.ts";
import type { FillWaiter, MissFiller } from "../../../src/proxy/route/fill-route.ts";

/** Covers every key but those in `notCovered`, and writes down what it is told: `get k`, `fill k`, `write k`, `flush`. */
export class ManualFiller implements MissFiller {
  readonly told: string[] = [];
  readonly notCovered = new Set<string>();
  /** Keys of which the pool did not report a miss. */
  readonly failed: string[] = [];
  /** Keys that are answered at once, from within `fill`: with a value, or null for a miss. */
  readonly atOnce = new Map<string, string | null>();
  /** What waiters are told they have left. */
  leftMs = 1_000;
  private readonly waiters = new Map<string, FillWaiter[]>();

  noteGet(chunk: Buffer, start: number, end: number): void {
    this.told.push(`get ${chunk.toString("latin1", start, end)}`);
  }

  noteGets({ bytes, starts, ends }: KeyList): void {
    for (const [i, start] of starts.entries()) this.noteGet(bytes, start, ends[i]!);
  }

  noteTraced(): void {}

  fill(key: string, waiter: FillWaiter, hasPoolFailed = false): boolean {
    if (this.notCovered.has(key)) return false;
    this.told.push(`fill ${key}`);
    if (hasPoolFailed) this.failed.push(key);
    const value = this.atOnce.get(key);
    if (value !== undefined) waiter.filled(value === null ? missReply : valueReply(key, value), this.leftMs);
    else this.waiters.set(key, [...(this.waiters.get(key) ?? []), waiter]);
    return true;
  }

  beforeWrite(key: string): void {
    this.told.push(`write ${key}`);
  }

  beforeFlush(): void {
    this.told.push("flush");
  }

  /** Ends the fills of `key` with a value, or null for a miss. */
  end(key: string, value: string | null): void {
    for (const waiter of this.take(key))
      waiter.filled(value === null ? missReply : valueReply(key, value), this.leftMs);
  }

  /** Sends those who wait for `key` to the pool. */
  sendToPool(key: string): void {
    for (const waiter of this.take(key)) waiter.askAgain(this.leftMs);
  }

  private take(key: string): FillWaiter[] {
    const waiters = this.waiters.get(key) ?? [];
    this.waiters.delete(key);
    return waiters;
  }
}

function valueReply(key: string, value: string): Reply {
  const reply = new Reply();
  reply.status = Status.found;
  reply.chunk = Buffer.from(`VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`, "latin1");
  reply.end = reply.chunk.length;
  reply.isKept = true;
  reply.valueStart = reply.chunk.indexOf("\r\n") + 2;
  reply.valueEnd = reply.valueStart + value.length;
  return reply;
}
