/** Messages between the supervisor and its workers. */
import type { Question, WorkerLoad } from "../observe/siblings.ts";
import type { GivenSocket } from "../systemd/sockets.ts";

/** Messages from a worker. */
export type WorkerMessage =
  /** The worker serves. */
  | { readonly type: "ready" }
  /** Sent once per second, and after a large change of the number of clients. */
  | { readonly type: "beat"; readonly load: WorkerLoad }
  /** The worker has reloaded. `isGood` is true if the new configuration is in use. */
  | { readonly type: "reloaded"; readonly isGood: boolean }
  /** The successor has taken over the shared tasks: the worker may be stopped. */
  | { readonly type: "left" }
  /** Asks all workers. */
  | { readonly type: "ask"; readonly id: number; readonly question: Question }
  | { readonly type: "answer"; readonly id: number; readonly value: unknown };

/** Messages from the supervisor. */
export type SupervisorMessage =
  /** Transfers a listening socket. */
  | { readonly type: "socket"; readonly address: string }
  /** All sockets have been sent. `given` lists sockets from systemd that are not in the configuration. */
  | { readonly type: "start"; readonly given: readonly GivenSocket[] }
  /** Number of clients of the other workers. */
  | { readonly type: "others"; readonly connections: number }
  /** The worker's successor serves. The worker will be stopped after it sends `left`. */
  | { readonly type: "replaced" }
  | { readonly type: "question"; readonly id: number; readonly question: Question }
  | { readonly type: "answers"; readonly id: number; readonly values: readonly unknown[] };
