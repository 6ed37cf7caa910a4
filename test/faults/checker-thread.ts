/**
 * The thread of the checking clients: what a scenario does on the main thread must not be seen as a delay of Platypus.
 * It is asked by messages, see checkers.ts.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Random } from "../fuzz/random.ts";
import type { CheckerAnswer, CheckerJob, CheckerQuestion } from "./checkers.ts";
import { CheckingClient } from "./checking-client.ts";
import type { dialects } from "./dialects.ts";
import { Newcomer } from "./newcomer.ts";
import { Tally } from "./tally.ts";

const CLIENTS: readonly (keyof typeof dialects)[] = ["classic", "meta", "binary", "classic", "meta", "binary"];

const job = workerData as CheckerJob;
const port = parentPort!;
const tally = new Tally();
const clients = CLIENTS.map((dialect, i) => {
  const random = new Random(job.seed + i);
  const name = `${job.name}${i}`;
  return new CheckingClient({ port: job.port, dialect, name, random, tally, hasPages: job.hasPages });
});
const newcomers = job.newcomerPorts.map((at) => new Newcomer(at.port, at.isTls, tally));
const running = Promise.all([...clients, ...newcomers].map((client) => client.run()));

port.on("message", async ({ id, kind }: CheckerQuestion) => {
  if (kind === "stop") {
    for (const client of [...clients, ...newcomers]) client.stop();
    await running;
    // Ends the thread, also where a connection was just being opened.
    process.exit();
  }
  const answer: CheckerAnswer =
    kind === "take"
      ? { id, report: tally.take() }
      : {
          id,
          lastTroubleMs: tally.lastTroubleMs,
          waitingMs: Math.max(0, ...clients.map(({ waitingMs }) => waitingMs)),
        };
  port.postMessage(answer);
});
