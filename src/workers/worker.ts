/**
 * A worker's side: the sockets it was handed, and what it asks of the other workers.
 */
import type { Clock } from "../clock.ts";
import type { Question, WorkerLoad } from "../observe/siblings.ts";
import type { Expected } from "../server/config-loader.ts";
import type { GivenSocket } from "../systemd/sockets.ts";
import type { SupervisorMessage, WorkerMessage } from "./messages.ts";
import { BEAT_MS } from "./pulse.ts";

/** Set for workers: which one it is, from 0 on. */
const WORKER_VARIABLE = "PLATYPUS_WORKER";
/** What its configuration must be like, as JSON. */
const EXPECTED_VARIABLE = "PLATYPUS_WORKER_EXPECTED";
/** Whoever has not answered by then is left out: clients of `stats` wait. */
const MAX_WAIT_MS = 500;

/** Which worker this process is; null: it is none. */
export function workerIndex(): number | null {
  const text = process.env[WORKER_VARIABLE];
  return text === undefined || process.send === undefined ? null : Number(text);
}

/** The environment of worker `index`. */
export function workerEnvironment(index: number, expected: Expected | null): NodeJS.ProcessEnv {
  return { ...process.env, [WORKER_VARIABLE]: String(index), [EXPECTED_VARIABLE]: JSON.stringify(expected) };
}

/** What the supervisor's configuration was like. `null` if this process is no worker. */
export function expectedOfWorker(): Expected | null {
  const text = workerIndex() === null ? undefined : process.env[EXPECTED_VARIABLE];
  return text === undefined ? null : (JSON.parse(text) as Expected | null);
}

/** The line to the supervisor. */
export class WorkerLink {
  /** Listening sockets by the text of their addresses, for `Listener.open`. */
  readonly sockets: ReadonlyMap<string, unknown>;
  /** Those that systemd has given to the supervisor. */
  readonly given: readonly GivenSocket[];
  private readonly clock: Clock;
  private readonly asked = new Map<number, (values: readonly unknown[]) => void>();
  private answer: (question: Question) => unknown = () => null;
  private replaced: () => void = () => {};
  private load: () => WorkerLoad = () => ({ connections: 0, drainTimeoutMs: 0 });
  /** Clients of the other workers, as last heard. */
  otherConnections = 0;
  /** Clients of this worker, as last told. */
  private toldConnections = 0;
  private ids = 0;

  private constructor(sockets: ReadonlyMap<string, unknown>, given: readonly GivenSocket[], clock: Clock) {
    this.sockets = sockets;
    this.given = given;
    this.clock = clock;
    process.on("message", (message: SupervisorMessage) => this.read(message));
    this.beat();
  }

  /** Resolves when the supervisor has sent all sockets. */
  static open(clock: Clock): Promise<WorkerLink> {
    return new Promise((resolve) => {
      const sockets = new Map<string, unknown>();
      const read = (message: SupervisorMessage, handle: unknown) => {
        if (message.type === "socket") sockets.set(message.address, handle);
        if (message.type !== "start") return;
        process.off("message", read);
        resolve(new WorkerLink(sockets, message.given, clock));
      };
      process.on("message", read);
      // A supervisor that is gone will not stop us: nobody would.
      process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
    });
  }

  ready(): void {
    this.send({ type: "ready" });
  }

  /** It has done what a SIGHUP asks for. */
  reloaded(isGood: boolean): void {
    this.send({ type: "reloaded", isGood });
  }

  /** Lets go of the supervisor, so that this process can end. */
  close(): void {
    process.removeAllListeners("disconnect");
    if (process.connected) process.disconnect();
  }

  /** What this process tells of itself. */
  onBeat(load: () => WorkerLoad): void {
    this.load = load;
  }

  /** The number of clients has changed. Told at once if it has changed by `step`, else with the next beat. */
  connectionsChanged(connections: number, step: number): void {
    if (Math.abs(connections - this.toldConnections) >= step) this.tellLoad();
  }

  private beat(): void {
    this.tellLoad();
    this.clock.setTimer(BEAT_MS, () => {
      if (process.connected) this.beat();
    });
  }

  private tellLoad(): void {
    const load = this.load();
    this.toldConnections = load.connections;
    this.send({ type: "beat", load });
  }

  /** How questions of other workers are answered. */
  onQuestion(answer: (question: Question) => unknown): void {
    this.answer = answer;
  }

  /** What to do when a successor serves. */
  onReplaced(run: () => void): void {
    this.replaced = run;
  }

  /** What all workers answer, this one included, as far as they do in time. Calls `done` once. */
  ask(question: Question, done: (values: readonly unknown[]) => void): void {
    const id = ++this.ids;
    const timer = this.clock.setTimer(MAX_WAIT_MS, () => this.finish(id, [this.answer(question)]));
    this.asked.set(id, (values) => {
      this.clock.clearTimer(timer);
      done(values);
    });
    this.send({ type: "ask", id, question });
  }

  private read(message: SupervisorMessage): void {
    if (message.type === "question") {
      this.send({ type: "answer", id: message.id, value: this.answer(message.question) });
    } else if (message.type === "replaced") {
      this.replaced();
      this.send({ type: "left" });
    } else if (message.type === "others") {
      this.otherConnections = message.connections;
    } else if (message.type === "answers") {
      this.finish(message.id, message.values);
    }
  }

  private finish(id: number, values: readonly unknown[]): void {
    const done = this.asked.get(id);
    this.asked.delete(id);
    done?.(values);
  }

  private send(message: WorkerMessage): void {
    // A supervisor that is gone in the meantime is heard of by the disconnect.
    if (process.connected) process.send!(message, () => {});
  }
}
