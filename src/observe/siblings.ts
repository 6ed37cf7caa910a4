/**
 * The workers that share an address, as one of them sees them.
 */
import { merge } from "./merge.ts";
import type { OwnSnapshot } from "./own-snapshot.ts";
import type { Details, Snapshot } from "./snapshot.ts";

/** A question to all workers. Each of them answers, including the one that asks. */
export type Question =
  /** Asks for a snapshot. */
  | { readonly kind: "snapshot"; readonly details: Details }
  /** Has the statistics of clients begin at 0 again. */
  | { readonly kind: "resetStats" };

/** What a worker tells of itself with each beat. */
export interface WorkerLoad {
  /** Clients that are connected. */
  readonly connections: number;
  /** Maximum time of a drain, as it is configured now (ms). */
  readonly drainTimeoutMs: number;
}

/** The workers that share our sockets, this one included. */
export interface Siblings {
  /** Listening sockets that were handed over, by the text of their addresses. */
  readonly sockets: ReadonlyMap<string, unknown>;
  /** What all answer to a question, as far as they do in time. Calls `done` once. */
  ask(question: Question, done: (values: readonly unknown[]) => void): void;
  onQuestion(answer: (question: Question) => unknown): void;
  /** Clients of the others. */
  readonly otherConnections: number;
  /** What this process tells of itself. */
  onBeat(load: () => WorkerLoad): void;
  /** The number of this process' clients has changed; the others are told when it has changed by `step`. */
  connectionsChanged(connections: number, step: number): void;
  /** Calls `run` when a successor of this process serves, just before it is told to stop. */
  onReplaced(run: () => void): void;
}

/** Asks all workers, or this process alone if there are no others. */
export class Workers {
  private readonly siblings: Siblings | null;
  private readonly own: OwnSnapshot;

  constructor(siblings: Siblings | null, own: OwnSnapshot) {
    this.siblings = siblings;
    this.own = own;
    siblings?.onQuestion((question) => this.answer(question));
  }

  /** There are no others. */
  get isAlone(): boolean {
    return this.siblings === null;
  }

  /** Calls `done` once, now or later, with the snapshot of all workers. */
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

  /** `stats reset`. */
  resetStats(): void {
    if (this.siblings === null) this.own.resetStats();
    else this.siblings.ask({ kind: "resetStats" }, () => {});
  }

  /** The answer of this process; `null` to a question of another version that is not known here. */
  private answer(question: Question): unknown {
    switch (question.kind) {
      case "snapshot":
        return this.own.take(question.details);
      case "resetStats":
        this.own.resetStats();
        return true;
      default:
        return null;
    }
  }
}
