/** The checking clients, in a thread of their own (checker-thread.ts), as scenarios see them. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { Report } from "./tally.ts";

export interface CheckerJob {
  readonly port: number;
  /** Addresses at which a client connects anew for each request. */
  readonly newcomerPorts: readonly { readonly port: number; readonly isTls: boolean }[];
  readonly hasPages: boolean;
  readonly name: string;
  readonly seed: number;
}

export interface CheckerQuestion {
  readonly id: number;
  readonly kind: "take" | "state" | "stop";
}

export type CheckerAnswer =
  | { readonly id: number; readonly report: Report }
  | { readonly id: number; readonly lastTroubleMs: number; readonly waitingMs: number };

const POLL_MS = 25;
/** A request that waits longer may yet turn out to be trouble. */
const WAITING_MS = 1_000;
let made = 0;

export class Checkers {
  private readonly worker: Worker;
  private readonly exited: Promise<unknown>;
  private asked = 0;

  constructor(job: Omit<CheckerJob, "name">) {
    // Keys that no earlier checkers have used.
    const workerData: CheckerJob = { ...job, name: `${++made}.` };
    this.worker = new Worker(new URL("./checker-thread.ts", import.meta.url), { workerData });
    this.exited = once(this.worker, "exit");
  }

  /** What was seen since the last call. */
  async take(): Promise<Report> {
    const answer = await this.ask("take");
    return "report" in answer ? answer.report : Promise.reject(new Error("no report"));
  }

  /**
   * Waits until no client has had trouble for `quietMs`. Resolves to the time from `sinceMs` (wall time) to the last trouble,
   * or to `null` if it goes on for longer than `boundMs`.
   */
  async untilQuiet(sinceMs: number, quietMs: number, boundMs: number): Promise<number | null> {
    for (;;) {
      const answer = await this.ask("state");
      if (!("waitingMs" in answer)) throw new Error("no state");
      const quietSinceMs = Math.max(answer.lastTroubleMs, sinceMs);
      if (Date.now() - quietSinceMs >= quietMs && answer.waitingMs < WAITING_MS) return quietSinceMs - sinceMs;
      if (Date.now() - sinceMs > boundMs) return null;
      await sleep(POLL_MS);
    }
  }

  async stop(): Promise<void> {
    this.worker.postMessage({ id: 0, kind: "stop" } satisfies CheckerQuestion);
    await this.exited;
  }

  private async ask(kind: CheckerQuestion["kind"]): Promise<CheckerAnswer> {
    const id = ++this.asked;
    const answered = new Promise<CheckerAnswer>((resolve, reject) => {
      const onMessage = (answer: CheckerAnswer) => {
        if (answer.id !== id) return;
        this.worker.off("message", onMessage);
        this.worker.off("error", reject);
        resolve(answer);
      };
      this.worker.on("message", onMessage);
      this.worker.once("error", reject);
    });
    this.worker.postMessage({ id, kind } satisfies CheckerQuestion);
    return answered;
  }
}
