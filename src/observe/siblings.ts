/**
 * The workers that share an address, as one of them sees them.
 */

/** A question to all workers; every one answers, the asker included. */
export type Question =
  | { readonly kind: "stats"; readonly group: string }
  | { readonly kind: "resetStats" | "metrics" | "page" | "history" | "hasConnected" }
  | { readonly kind: "tracked"; readonly rule: string };

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

/** Asks them all; where there are none, this process alone. */
export class Workers {
  private readonly siblings: Siblings | null;
  private readonly answer: (question: Question) => unknown;

  /** `answer` is what this process answers. */
  constructor(siblings: Siblings | null, answer: (question: Question) => unknown) {
    this.siblings = siblings;
    this.answer = answer;
    siblings?.onQuestion(answer);
  }

  /** There are no others. */
  get isAlone(): boolean {
    return this.siblings === null;
  }

  /** What all answer, this one first. */
  ask<T>(question: Question): Promise<T[]> {
    const { siblings } = this;
    if (siblings === null) return Promise.resolve([this.answer(question) as T]);
    return new Promise((resolve) => siblings.ask(question, (values) => resolve(values as T[])));
  }
}
