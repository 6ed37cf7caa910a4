/** The workers that share an address, from the view of one worker. */
import { addAnswers, type ControlAnswer, type ControlCommand } from "./control.ts";
import { merge } from "./merge.ts";
import type { OwnSnapshot } from "./own-snapshot.ts";
import type { Details, Snapshot } from "./snapshot.ts";

/** A question to all workers. Each of them answers, including the one that asks. */
export type Question =
  /** Asks for a snapshot. */
  | { readonly kind: "snapshot"; readonly details: Details }
  /** Resets the statistics of clients. */
  | { readonly kind: "resetStats" }
  /** The list of servers of a pool has changed. */
  | { readonly kind: "listChanged"; readonly pool: string }
  /** Executes an operator's command. */
  | { readonly kind: "control"; readonly command: ControlCommand };

/** Report of a worker in each heartbeat. */
export interface WorkerLoad {
  /** Number of connected clients. */
  readonly connections: number;
  /** Maximum time of a drain in the current configuration (ms). */
  readonly drainTimeoutMs: number;
}

/** The workers that share the listening sockets, including this one. */
export interface Siblings {
  /** Inherited listening sockets, by the text of their addresses. */
  readonly sockets: ReadonlyMap<string, unknown>;
  /** Asks all workers. Calls `done` once with the answers that arrive in time. */
  ask(question: Question, done: (values: readonly unknown[]) => void): void;
  onQuestion(answer: (question: Question) => unknown): void;
  /** Number of clients of the other workers. */
  readonly otherConnections: number;
  /** Sets the source of this process's reports. */
  onBeat(load: () => WorkerLoad): void;
  /** Reports the number of this process's clients. The other workers are told after a change of at least `step`. */
  connectionsChanged(connections: number, step: number): void;
  /** Calls `run` when a successor of this process serves, just before this process is told to stop. */
  onReplaced(run: () => void): void;
}

/** What a worker does for the others. */
export interface WorkerActions {
  /** Another worker has found a change of the servers of a pool. */
  listChanged(pool: string): void;
  /** Executes an operator's command in this process. */
  execute(command: ControlCommand): ControlAnswer;
}

/** Asks all workers, or this process alone if there are no others. */
export class Workers {
  private readonly siblings: Siblings | null;
  private readonly own: OwnSnapshot;
  private readonly actions: WorkerActions;

  constructor(siblings: Siblings | null, own: OwnSnapshot, actions: WorkerActions) {
    this.siblings = siblings;
    this.own = own;
    this.actions = actions;
    siblings?.onQuestion((question) => this.answer(question));
  }

  /** True if there are no other workers. */
  get isAlone(): boolean {
    return this.siblings === null;
  }

  /** Calls `done` once, synchronously or later, with the snapshot of all workers. */
  snapshot(details: Details, done: (snapshot: Snapshot) => void): void {
    if (this.siblings === null) {
      done(this.own.take(details));
      return;
    }
    this.siblings.ask({ kind: "snapshot", details }, (answers) => {
      const snapshots = (answers as readonly (Snapshot | null)[]).filter((answer) => answer != null);
      done(snapshots.length === 0 ? this.own.take(details) : merge(snapshots));
    });
  }

  /** Handles `stats reset`. */
  resetStats(): void {
    if (this.siblings === null) this.own.resetStats();
    else this.siblings.ask({ kind: "resetStats" }, () => {});
  }

  /** Tells the other workers that the servers of a pool have changed, so that all of them look. */
  tellListChanged(pool: string): void {
    this.siblings?.ask({ kind: "listChanged", pool }, () => {});
  }

  /** Executes a command in all workers. */
  control(command: ControlCommand): Promise<ControlAnswer> {
    const { siblings } = this;
    if (siblings === null) return Promise.resolve(this.actions.execute(command));
    return new Promise((resolve) => {
      siblings.ask({ kind: "control", command }, (answers) => {
        // A worker of an earlier version does not know the command.
        resolve(addAnswers((answers as readonly (ControlAnswer | null)[]).filter((answer) => answer !== null)));
      });
    });
  }

  /** The answer of this process. `null` for an unknown question, from a worker of another version. */
  private answer(question: Question): unknown {
    switch (question.kind) {
      case "snapshot":
        return this.own.take(question.details);
      case "resetStats":
        this.own.resetStats();
        return true;
      case "listChanged":
        this.actions.listChanged(question.pool);
        return true;
      case "control":
        return this.actions.execute(question.command);
      default:
        return null;
    }
  }
}
