/** A client that connects anew for each request: over TCP, or over TLS. A connection that is not served counts as refused. */
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import type { Tally } from "./tally.ts";

const INTERVAL_MS = 25;
const LOST_MS = 20_000;

export class Newcomer {
  private readonly port: number;
  private readonly isTls: boolean;
  private readonly tally: Tally;
  private isStopped = false;

  constructor(port: number, isTls: boolean, tally: Tally) {
    this.port = port;
    this.isTls = isTls;
    this.tally = tally;
  }

  stop(): void {
    this.isStopped = true;
  }

  async run(): Promise<void> {
    while (!this.isStopped) {
      const beganMs = performance.now();
      const answer = await this.visit();
      if (this.isStopped) return;
      if (answer === "END\r\n") this.tally.answered(performance.now() - beganMs);
      else this.tally.trouble("refused", `${this.isTls ? "TLS" : "TCP"}: ${JSON.stringify(answer)}`);
      await sleep(INTERVAL_MS);
    }
  }

  /** What a new connection is answered, or why it was not. */
  private visit(): Promise<string> {
    return new Promise((resolve) => {
      const where = { host: "127.0.0.1", port: this.port };
      // The certificate is that of the tests.
      const socket = this.isTls ? tls.connect({ ...where, rejectUnauthorized: false }) : net.connect(where);
      let answer = "";
      const timer = setTimeout(() => socket.destroy(new Error("no answer")), LOST_MS);
      socket.on("error", (error) => {
        answer ||= error.message;
      });
      socket.on("data", (chunk) => {
        answer += chunk.toString("latin1");
        if (answer.endsWith("\r\n")) socket.destroy();
      });
      socket.on("close", () => {
        clearTimeout(timer);
        resolve(answer);
      });
      socket.write("get newcomer\r\n");
    });
  }
}
