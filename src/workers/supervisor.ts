/**
 * Keeps workers running: processes that accept from shared sockets. A worker that ends is started again; the delay
 * grows if workers end soon. On SIGUSR2 the workers are replaced one by one, each when its successor serves, so that no
 * client is refused.
 *
 *     starting ── ready ──► serving ── ends ──► waiting (0.1 s, 0.2 s … 10 s) ──► starting
 *                                  ├─ hangs: killed ──► ends
 *                                  └─ replaced: its successor is ready ──► SIGTERM ──► drains, ends
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Clock } from "../clock.ts";
import { addressText } from "../config/config.ts";
import type { WorkerLoad } from "../observe/siblings.ts";
import type { Expected } from "../server/config-loader.ts";
import type { GivenSocket } from "../systemd/sockets.ts";
import type { Log } from "../telemetry/log.ts";
import type { SupervisorMessage, WorkerMessage } from "./messages.ts";
import { Pulse } from "./pulse.ts";
import type { SharedSocket } from "./shared-socket.ts";
import { workerEnvironment } from "./worker.ts";

const MAX_LEAVE_MS = 2_000;
const FIRST_BACK_OFF_MS = 100;
const LAST_BACK_OFF_MS = 10_000;
/** A worker that ran for this time did not end because of its start. */
const STABLE_MS = 30_000;
const ANSWER_TIMEOUT_MS = 400;
/** Maximum time from the start of a worker until it serves (ms). Heartbeats alone do not show that it serves. */
const MAX_READY_MS = 300_000;
/** Maximum time of a reload (ms). */
const MAX_RELOAD_MS = 60_000;
/** Maximum time after its drain timeout until a stopped worker has ended (ms). */
const MAX_END_MS = 10_000;

export interface SupervisorOptions {
  readonly count: number;
  readonly sockets: readonly SharedSocket[];
  /** The sockets that come from systemd. */
  readonly given: readonly GivenSocket[];
  /** The program of a worker, and its arguments. */
  readonly command: readonly string[];
  /** Variables of the workers, in addition to those of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** Required properties of the configuration in each worker. */
  readonly expected: Expected | null;
  readonly clock: Clock;
  readonly log: Log;
}

interface Worker {
  readonly index: number;
  readonly child: ChildProcess;
  readonly startedMs: number;
  readonly pulse: Pulse;
  load: WorkerLoad;
  isReady: boolean;
  /** Result of its last reload. `null` if it is not known yet. */
  reloaded: boolean | null;
  /** True if it was told to stop. */
  isStopping: boolean;
  /** True if its successor has taken over. */
  hasLeft: boolean;
}

interface Asked {
  readonly asker: Worker;
  readonly id: number;
  readonly waiting: Set<Worker>;
  readonly values: unknown[];
  finish(): void;
}

/** The workers of one process. */
export class Supervisor {
  private readonly options: SupervisorOptions;
  private readonly workers = new Set<Worker>();
  private readonly asked = new Map<number, Asked>();
  private readonly backOffMs: number[];
  private questions = 0;
  private isStopping = false;
  private replacing: Promise<void> = Promise.resolve();
  private wake: () => void = () => {};

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.backOffMs = new Array(options.count).fill(FIRST_BACK_OFF_MS);
  }

  /**
   * Starts all workers. Resolves to false if `stop` was called meanwhile. Rejects with the exit code of a worker that
   * ends before it serves; then no worker is left.
   */
  async start(): Promise<boolean> {
    const started = Array.from({ length: this.options.count }, (_, index) => this.spawn(index));
    for (const worker of started) {
      await this.untilReady(worker);
      if (worker.isReady || this.isStopping) continue;
      const { exitCode } = worker.child;
      await this.stop("SIGKILL");
      throw new WorkerFailed(exitCode ?? 1);
    }
    return !this.isStopping;
  }

  /**
   * Replaces the workers one by one. Resolves when all are replaced, or when one cannot be started. A call during a
   * replacement starts another round after it.
   */
  replace(): Promise<void> {
    this.replacing = this.replacing.then(() => this.replaceAll());
    return this.replacing;
  }

  private async replaceAll(): Promise<void> {
    const { log } = this.options;
    for (const old of [...this.workers].sort((a, b) => a.index - b.index)) {
      // A worker that has ended has a successor, or will get one.
      if (this.isStopping || old.isStopping || !this.workers.has(old)) continue;
      const next = this.spawn(old.index);
      await this.untilReady(next);
      if (!next.isReady) {
        log.error("workers", `worker ${old.index} is not replaced: its successor ended before it served`);
        if (!this.workers.has(old)) this.restart(old.index);
        return;
      }
      old.isStopping = true;
      await this.leave(old);
      this.end(old, "SIGTERM");
      while (this.workers.has(old)) await this.changed();
    }
    log.info("workers", "all workers are replaced");
  }

  /** Signals all workers. Resolves when all have ended. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.isStopping = true;
    for (const worker of this.workers) {
      worker.isStopping = true;
      this.end(worker, signal);
    }
    while (this.workers.size > 0) await this.changed();
    for (const socket of this.options.sockets) socket.close();
  }

  /** Signals all workers. */
  signal(signal: NodeJS.Signals): void {
    for (const { child } of this.workers) child.kill(signal);
  }

  /**
   * Makes the workers reload their configuration; workers that are starting read it anyway. Resolves when all have
   * reloaded, to true if the new configuration is in use in all of them.
   */
  async reload(): Promise<boolean> {
    const asked = [...this.workers].filter(({ isReady, isStopping }) => isReady && !isStopping);
    for (const worker of asked) {
      worker.reloaded = null;
      worker.child.kill("SIGHUP");
    }
    const isDone = () => !asked.some((worker) => worker.reloaded === null && this.workers.has(worker));
    await this.until(isDone, MAX_RELOAD_MS, () => {
      for (const worker of asked) worker.reloaded ??= false;
      this.options.log.error("workers", `a reload did not end within ${MAX_RELOAD_MS / 1000} s`);
    });
    return asked.every(({ reloaded }) => reloaded !== false);
  }

  /** Makes a worker leave the shared tasks to its successor. A hung worker is not waited for. */
  private async leave(worker: Worker): Promise<void> {
    this.send(worker, { type: "replaced" });
    const isDone = () => worker.hasLeft || !this.workers.has(worker);
    await this.until(isDone, MAX_LEAVE_MS, () => {
      worker.hasLeft = true;
    });
  }

  /** Resolves when `worker` serves or has ended. A worker that does neither in time is killed. */
  private untilReady(worker: Worker): Promise<void> {
    const isDone = () => worker.isReady || !this.workers.has(worker);
    return this.until(isDone, MAX_READY_MS, () => this.kill(worker, `did not serve within ${MAX_READY_MS / 1000} s`));
  }

  /** Stops `worker`. If it does not end in time, it is killed. */
  private end(worker: Worker, signal: NodeJS.Signals): void {
    const { clock } = this.options;
    worker.child.kill(signal);
    const maxMs = worker.load.drainTimeoutMs + MAX_END_MS;
    const timer = clock.setTimer(maxMs, () => this.kill(worker, `did not end within ${maxMs / 1000} s`));
    worker.child.once("exit", () => clock.clearTimer(timer));
  }

  private kill(worker: Worker, why: string): void {
    if (!this.workers.has(worker)) return;
    this.options.log.error("workers", `worker ${worker.index} ${why}: killed`);
    worker.child.kill("SIGKILL");
  }

  /** Resolves when `isDone` returns true. After `maxMs`, calls `onLate`, which must make it true. */
  private async until(isDone: () => boolean, maxMs: number, onLate: () => void): Promise<void> {
    const { clock } = this.options;
    const timer = clock.setTimer(maxMs, () => {
      onLate();
      this.notify();
    });
    while (!isDone()) await this.changed();
    clock.clearTimer(timer);
  }

  /** Tells each worker the number of clients of the others: `max_connections` applies to all of them together. */
  private tellConnections(): void {
    let all = 0;
    for (const { load } of this.workers) all += load.connections;
    for (const worker of this.workers) {
      if (worker.isReady) this.send(worker, { type: "others", connections: all - worker.load.connections });
    }
  }

  private changed(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.wake;
      this.wake = () => {
        before();
        resolve();
      };
    });
  }

  private spawn(index: number): Worker {
    const { command, sockets, given, clock } = this.options;
    const [program, ...args] = command;
    const child = spawn(program!, args, {
      env: { ...workerEnvironment(index, this.options.expected), ...this.options.env },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const worker: Worker = {
      index,
      child,
      startedMs: clock.nowMs(),
      pulse: new Pulse(clock, () => this.kill(worker, "has hung")),
      load: { connections: 0, drainTimeoutMs: 0 },
      isReady: false,
      reloaded: null,
      isStopping: false,
      hasLeft: false,
    };
    this.workers.add(worker);
    child.on("message", (message: WorkerMessage) => this.read(worker, message));
    child.on("error", () => {
      // A process that failed to start emits no exit event.
      if (child.pid === undefined) child.emit("exit", 1, null);
    });
    child.once("exit", (code, signal) => this.ended(worker, signal ?? `code ${code}`));
    for (const socket of sockets) socket.sendTo(child);
    this.send(worker, { type: "start", given });
    return worker;
  }

  private ended(worker: Worker, how: string): void {
    this.workers.delete(worker);
    worker.pulse.end();
    this.tellConnections();
    for (const asked of [...this.asked.values()]) this.answered(asked, worker, null);
    const { clock, log } = this.options;
    if (!worker.isStopping && !this.isStopping && worker.isReady) {
      const { index } = worker;
      const ranMs = clock.nowMs() - worker.startedMs;
      const delayMs = ranMs >= STABLE_MS ? FIRST_BACK_OFF_MS : this.backOffMs[index]!;
      this.backOffMs[index] = Math.min(delayMs * 2, LAST_BACK_OFF_MS);
      log.error("workers", `worker ${index} ended (${how}); started again in ${delayMs} ms`);
      clock.setTimer(delayMs, () => this.restart(index));
    }
    this.notify();
  }

  private restart(index: number): void {
    // The worker may have ended during its replacement.
    const isThere = [...this.workers].some((worker) => worker.index === index && !worker.isStopping);
    if (this.isStopping || isThere) return;
    const worker = this.spawn(index);
    // A worker that fails to start is retried as well: the cause may be temporary.
    worker.child.once("exit", () => {
      if (worker.isReady || worker.isStopping || this.isStopping) return;
      const delayMs = this.backOffMs[index]!;
      this.backOffMs[index] = Math.min(delayMs * 2, LAST_BACK_OFF_MS);
      this.options.clock.setTimer(delayMs, () => this.restart(index));
    });
  }

  private read(worker: Worker, message: WorkerMessage): void {
    switch (message.type) {
      case "ready":
        worker.isReady = true;
        worker.pulse.beat(true);
        this.tellConnections();
        this.notify();
        return;
      case "beat": {
        const isChanged = worker.load.connections !== message.load.connections;
        worker.load = message.load;
        worker.pulse.beat(worker.isReady);
        if (isChanged) this.tellConnections();
        return;
      }
      case "reloaded":
        worker.reloaded = message.isGood;
        this.notify();
        return;
      case "left":
        worker.hasLeft = true;
        this.notify();
        return;
      case "ask":
        this.ask(worker, message.id, message.question);
        return;
      case "answer": {
        const asked = this.asked.get(message.id);
        if (asked !== undefined) this.answered(asked, worker, message.value);
      }
    }
  }

  private ask(asker: Worker, id: number, question: Extract<WorkerMessage, { type: "ask" }>["question"]): void {
    const own = ++this.questions;
    const all = [...this.workers].filter(({ isReady }) => isReady);
    const { clock } = this.options;
    const asked: Asked = {
      asker,
      id,
      waiting: new Set(all),
      values: [],
      finish: () => {
        if (!this.asked.delete(own)) return;
        clock.clearTimer(timer);
        this.send(asker, { type: "answers", id, values: asked.values });
      },
    };
    const timer = clock.setTimer(ANSWER_TIMEOUT_MS, asked.finish);
    this.asked.set(own, asked);
    for (const worker of all) this.send(worker, { type: "question", id: own, question });
    if (all.length === 0) asked.finish();
  }

  private answered(asked: Asked, worker: Worker, value: unknown): void {
    if (!asked.waiting.delete(worker)) return;
    if (value !== null) asked.values.push(value);
    if (asked.waiting.size === 0) asked.finish();
  }

  private send({ child }: Worker, message: SupervisorMessage): void {
    if (child.connected) child.send(message);
  }

  private notify(): void {
    const { wake } = this;
    this.wake = () => {};
    wake();
  }
}

/** A worker ended before it served. Its error message is on stderr. */
export class WorkerFailed extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`a worker ended before it served (code ${exitCode})`);
    this.exitCode = exitCode;
  }
}

/** The addresses of sockets, as text. */
export function socketTexts(sockets: readonly SharedSocket[]): string {
  return sockets.map(({ address }) => addressText(address)).join(", ");
}
