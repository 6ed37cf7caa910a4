/** The HTTP origin that pages are filled from (origin-thread.ts). */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

export type OriginMode = "well" | "hangs" | "resets" | "fails" | "slow" | "too-large";

export class Origin {
  readonly url: string;
  private readonly worker: Worker;

  private constructor(port: number, worker: Worker) {
    this.url = `http://127.0.0.1:${port}`;
    this.worker = worker;
  }

  static async start(): Promise<Origin> {
    const worker = new Worker(new URL("./origin-thread.ts", import.meta.url));
    const [port] = (await once(worker, "message")) as [number];
    return new Origin(port, worker);
  }

  async setMode(mode: OriginMode): Promise<void> {
    await (await fetch(`${this.url}/mode/${mode}`)).text();
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }
}
