/**
 * The worker's side: its inherited sockets, and its questions to the other workers.
 */
import type { Clock } from "../clock.ts";
import type { Question, WorkerLoad } from "../observe/siblings.ts";
import type { Expected } from "../server/config-loader.ts";
import type { GivenSocket } from "../systemd/sockets.ts";
import type { SupervisorMessage, WorkerMessage } from "./messages.ts";
import { BEAT_MS } from "./pulse.ts";

/** The index of the worker, from 0. */
const WORKER_VARIABLE = "PLATYPUS_WORKER";
/** Required properties of its configuration, as JSON. */
const EXPECTED_VARIABLE = "PLATYPUS_WORKER_EXPECTED";
/** Workers that have not answered by then are left out: clients of `stats` wait. */
const MAX_WAIT_MS = 500;

/** The index of this worker. `null` if this process is not a worker. */
export function workerIndex(): number | null {
  const text = process.env[WORKER_VARIABLE];
  return text === undefined || process.send === undefined ? null : Number(text);
}

/** The environment of worker `index`. */
export function workerEnvironment(index: number, expected: Expected | null): NodeJS.ProcessEnv {
  return { ...process.env, [WORKER_VARIABLE]: String(index), [EXPECTED_VARIABLE]: JSON.stringify(expected) };
}

/** Properties of the supervisor's configuration. `null` if this process is not a worker. */
export function expectedOfWorker(): Expected | null {
  const text = workerIndex() === null ? undefined : process.env[EXPECTED_VARIABLE];
  return text === undefined ? null : (JSON.parse(text) as Expected | null);
}

/** The connection to the supervisor. */
export class WorkerLink {
  /** Listening sockets by the text of their addresses, for `Listener.open`. */
  readonly sockets: ReadonlyMap<string, unknown>;
  /** Sockets that the supervisor got from systemd. */
  readonly given: readonly GivenSocket[];
  private readonly clock: Clock;
  private readonly asked = new Map<number, (values: readonly unknown[]) => void>();
  private answer: (question: Question) => unknown = () => null;
  private replaced: () => void = () => {};
  private load: () => WorkerLoad = () => ({ connections: 0, drainTimeoutMs: 0 });
  /** Last reported number of clients of the other workers. */
  otherConnections = 0;
  /** Last number of clients that this worker has sent. */
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
      // A supervisor that is gone cannot stop this process, so stop now.
      process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
    });
  }

  ready(): void {
    this.send({ type: "ready" });
  }

  /** Reports the result of the reload after a SIGHUP. */
  reloaded(isGood: boolean): void {
    this.send({ type: "reloaded", isGood });
  }

  /** Disconnects from the supervisor, so that this process can end. */
  close(): void {
    process.removeAllListeners("disconnect");
    if (process.connected) process.disconnect();
  }

  /** Sets the source of this process's reports. */
  onBeat(load: () => WorkerLoad): void {
    this.load = load;
  }

  /** Reports the number of clients: immediately if it has changed by `step`, else with the next heartbeat. */
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

  /** Sets the function that answers questions of other workers. */
  onQuestion(answer: (question: Question) => unknown): void {
    this.answer = answer;
  }

  /** Sets the function that runs when a successor serves. */
  onReplaced(run: () => void): void {
    this.replaced = run;
  }

  /** Asks all workers, including this one. Calls `done` once with the answers that arrive in time. */
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
    // If the supervisor is gone meanwhile, the disconnect event reports it.
    if (process.connected) process.send!(message, () => {});
  }
}
