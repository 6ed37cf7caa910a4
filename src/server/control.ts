/**
 * Executes an operator's commands in this process (`observe/control.ts`).
 *
 *     refresh   tracked keys ─► scheduler.refreshNow: at refresh priority, as their source has room
 *     forget    tracked keys ─► as a client's delete: flights and leases end, the item is deleted, the key is untracked
 */
import { parseLogLevels } from "../config/log-levels.ts";
import { BackendError } from "../errors.ts";
import type { ControlAnswer, ControlCommand, Counts, Selector } from "../observe/control.ts";
import type { NearCache } from "../proxy/near/near-cache.ts";
import { isFailure, type Reply, Status } from "../proxy/reply.ts";
import { classicStatus, Operation, type Request } from "../proxy/request.ts";
import { isText, keyedRequest } from "../proxy/route/keyed-request.ts";
import type { Filler } from "../refresh/filler.ts";
import type { Scheduler } from "../refresh/scheduler.ts";
import type { Log } from "../telemetry/log.ts";
import type { Running } from "./running.ts";

/** Maximum number of deletes in flight of one job. */
const DELETES_AT_ONCE = 64;
/** Finished jobs are kept for a last question about their progress. */
const MAX_JOBS = 100;

export interface ControlMeans {
  running(): Running;
  readonly scheduler: Scheduler;
  readonly filler: Filler;
  readonly near: NearCache;
  readonly log: Log;
}

interface Job {
  readonly matched: number;
  left: number;
  readonly outcomes: Record<string, number>;
}

export class Control {
  private readonly means: ControlMeans;
  private readonly jobs = new Map<string, Job>();

  constructor(means: ControlMeans) {
    this.means = means;
  }

  execute(command: ControlCommand): ControlAnswer {
    switch (command.type) {
      case "refresh":
        return this.begin(command.job, command.selector, (job, keys) => this.refresh(job, keys));
      case "forget":
        return this.begin(command.job, command.selector, (job, keys) => void this.forget(job, keys));
      case "progress":
        return { counts: countsOf(this.jobs.get(command.job)) };
      case "drain":
      case "undrain":
        return this.setDrained(command.server, command.type === "drain");
      case "closeBreaker":
        return this.closeBreaker(command.source);
      case "logLevel":
        return this.setLogLevel(command.level);
    }
  }

  private begin(name: string, selector: Selector, run: (job: Job, keys: readonly string[]) => void): ControlAnswer {
    const { config } = this.means.running();
    if ("rule" in selector && !config.rules.some((rule) => rule.name === selector.rule)) {
      return { error: `there is no rule ${selector.rule}; ${listed(config.rules.map((rule) => rule.name))}` };
    }
    const keys = this.keysOf(selector);
    const job: Job = { matched: keys.length, left: keys.length, outcomes: {} };
    this.jobs.set(name, job);
    if (this.jobs.size > MAX_JOBS) this.jobs.delete(this.jobs.keys().next().value!);
    run(job, keys);
    return { counts: countsOf(job) };
  }

  private keysOf(selector: Selector): string[] {
    const { scheduler } = this.means;
    if ("key" in selector) return scheduler.isTracked(selector.key) ? [selector.key] : [];
    const keys: string[] = [];
    for (const [key, rule] of scheduler.keys()) {
      if ("rule" in selector ? rule === selector.rule : key.startsWith(selector.prefix)) keys.push(key);
    }
    return keys;
  }

  private refresh(job: Job, keys: readonly string[]): void {
    for (const key of keys) this.means.scheduler.refreshNow(key, (end) => ended(job, end));
  }

  private async forget(job: Job, keys: readonly string[]): Promise<void> {
    const next = keys[Symbol.iterator]();
    const work = async () => {
      for (const key of next) ended(job, await this.deleteKey(key));
    };
    await Promise.all(Array.from({ length: DELETES_AT_ONCE }, work));
  }

  /** Deletes as a client does: see `FillRoute` and `NearRoute`. */
  async deleteKey(key: string): Promise<"deleted" | "notFound" | "failed"> {
    const { filler, scheduler, near, log } = this.means;
    near.writtenText(key);
    filler.beforeWrite(key);
    scheduler.untrack(key);
    try {
      return (await this.sendDelete(key)) ? "deleted" : "notFound";
    } catch (error) {
      log.debug("rule", `a key could not be forgotten: ${(error as Error).message}`);
      return "failed";
    } finally {
      near.writtenText(key);
    }
  }

  /**
   * Sends a delete on the way of a client's delete: a route may have the key in several places, and would copy it back
   * from one of them. Rejects with a BackendError.
   */
  private sendDelete(key: string): Promise<boolean> {
    const { leaf, config } = this.means.running();
    const [operation, verb] = isText(key) ? [Operation.delete, "delete"] : [Operation.metaDelete, "md"];
    return new Promise((resolve, reject) => {
      const onReply = (request: Request, reply: Reply) => {
        if (isFailure(reply.status)) {
          reject(new BackendError(reply.chunk.toString("latin1", reply.start, reply.end - 2)));
        } else {
          resolve(classicStatus(request.operation, reply) === Status.deleted);
        }
      };
      leaf.route(keyedRequest(operation, key, { verb, rest: "" }, config.server.prefix, { onReply }));
    });
  }

  private setDrained(server: string, isDrained: boolean): ControlAnswer {
    const backends = [...this.means.running().pools.backends.values()];
    const found = backends.filter((backend) => backend.name === server);
    if (found.length === 0) {
      return { error: `there is no server ${server}; ${listed([...new Set(backends.map(({ name }) => name))])}` };
    }
    for (const backend of found) {
      if (isDrained) backend.drain();
      else backend.undrain();
    }
    return { counts: { servers: 1 } };
  }

  private closeBreaker(name: string): ControlAnswer {
    const { sources } = this.means.running();
    const source = sources.get(name);
    if (source === undefined) return { error: `there is no source ${name}; ${listed([...sources.keys()])}` };
    source.limiter.closeBreaker();
    return { counts: { sources: 1 } };
  }

  private setLogLevel(text: string): ControlAnswer {
    const levels = parseLogLevels(text);
    if ("problem" in levels) return { error: levels.problem };
    this.means.log.configure({ ...levels, form: this.means.running().config.server.log.form });
    return { counts: { processes: 1 } };
  }
}

function ended(job: Job, outcome: string): void {
  job.left--;
  job.outcomes[outcome] = (job.outcomes[outcome] ?? 0) + 1;
}

function countsOf(job: Job | undefined): Counts {
  return job === undefined ? { matched: 0, left: 0 } : { matched: job.matched, left: job.left, ...job.outcomes };
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? "there are none" : `there are ${names.join(", ")}`;
}
