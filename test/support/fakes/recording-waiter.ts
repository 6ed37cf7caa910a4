/** A client that waits for a fill, and records what it is told. */

import { type Reply, Status } from "../../../src/proxy/reply.ts";
import type { FillWaiter } from "../../../src/proxy/route/fill-route.ts";

/** Told once: `value …`, `miss` or `ask again`. */
export class RecordingWaiter implements FillWaiter {
  readonly told: string[] = [];
  /** Remaining time of its fill_timeout (ms), each time that it was told. */
  readonly leftMs: number[] = [];

  filled(reply: Reply, leftMs: number): void {
    this.leftMs.push(leftMs);
    const value = reply.chunk.toString("latin1", reply.valueStart, reply.valueEnd);
    this.told.push(reply.status === Status.found ? `value ${value}` : "miss");
  }

  askAgain(leftMs: number): void {
    this.leftMs.push(leftMs);
    this.told.push("ask again");
  }
}
