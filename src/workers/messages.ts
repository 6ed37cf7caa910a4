/** What a supervisor and its workers say to each other. */
import type { Question, WorkerLoad } from "../observe/siblings.ts";
import type { GivenSocket } from "../systemd/sockets.ts";

/** From a worker. */
export type WorkerMessage =
  /** It serves. */
  | { readonly type: "ready" }
  /** Sent once a second, and when the number of its clients has changed by much. */
  | { readonly type: "beat"; readonly load: WorkerLoad }
  /** It has read its configuration again; whether that one serves now. */
  | { readonly type: "reloaded"; readonly isGood: boolean }
  /** What is common to all workers is left to its successor: it may be told to stop. */
  | { readonly type: "left" }
  /** Asks for the answers of all workers. */
  | { readonly type: "ask"; readonly id: number; readonly question: Question }
  | { readonly type: "answer"; readonly id: number; readonly value: unknown };

/** From the supervisor. */
export type SupervisorMessage =
  /** A listening socket comes with it. */
  | { readonly type: "socket"; readonly address: string }
  /** All sockets have come; those of them that systemd has given, which the configuration does not name. */
  | { readonly type: "start"; readonly given: readonly GivenSocket[] }
  /** Clients that are connected to the other workers. */
  | { readonly type: "others"; readonly connections: number }
  /** Its successor serves: it will be told to stop when it says `left`. */
  | { readonly type: "replaced" }
  | { readonly type: "question"; readonly id: number; readonly question: Question }
  | { readonly type: "answers"; readonly id: number; readonly values: readonly unknown[] };
