/** The interface to an access log. Without one, an answered request costs one comparison. */
import type { Reply } from "./reply.ts";
import type { Request } from "./request.ts";

/** The client of a request. */
export interface AnsweringClient {
  /** Its address. */
  readonly peer: string;
}

export interface AccessObserver {
  /** Called for each answered request of a client, before the reply is written. Must not throw. */
  answered(request: Request, reply: Reply, tookMicros: number, client: AnsweringClient): void;
}
