/** The benchmark's side of a load generator: starts it, requests runs one at a time, stops it. */

import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { Competitor } from "./competitors.ts";
import type { GeneratorMessage, Job, JobResult, Limit, RunMessage } from "./job.ts";
import { BenchError, type ProcessGroup } from "./process-group.ts";
import type { Load } from "./scenarios/scenario.ts";

const modulePath = join(import.meta.dirname, "load-generator.ts");

export class GeneratorProcess {
  readonly #group: ProcessGroup;
  readonly #child: ChildProcess;
  readonly #name: string;

  private constructor(group: ProcessGroup, child: ChildProcess, name: string) {
    this.#group = group;
    this.#child = child;
    this.#name = name;
  }

  /** Resolves when all connections of the load are open. Nothing is sent before the first `run`. */
  static async open(group: ProcessGroup, competitor: Competitor, load: Load): Promise<GeneratorProcess> {
    const job: Job = { host: competitor.host, port: competitor.port, isTls: competitor.isTls, ...load };
    const name = `load on ${competitor.name}`;
    const child = group.fork(name, modulePath, [JSON.stringify(job)]);
    const generator = new GeneratorProcess(group, child, name);
    await generator.#next();
    return generator;
  }

  /** One run; the connections are idle before and after it. Rejects at the first wrong or missing reply. */
  async run(limit: Limit): Promise<JobResult> {
    const message: RunMessage = { kind: "run", limit };
    this.#child.send(message);
    const answer = await this.#next();
    if (answer.kind !== "result") throw new Error(`${this.#name}: expected a result, got "${answer.kind}"`);
    return answer.result;
  }

  async close(): Promise<void> {
    await this.#group.stop(this.#child);
  }

  #next(): Promise<GeneratorMessage> {
    return new Promise((resolve, reject) => {
      this.#child.once("message", (message: GeneratorMessage) => {
        if (message.kind === "failed") reject(new BenchError(`${this.#name}: ${message.message}`));
        else resolve(message);
      });
    });
  }
}
