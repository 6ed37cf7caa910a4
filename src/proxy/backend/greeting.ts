/**
 * What a connection says to a server before anything else: the login where the server wants one, then the question for its
 * version, which shows that a memcached is there, and which; then `mn`, whether it knows meta commands.
 */
import type { Login } from "../../config/config.ts";
import { type Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { isMetaNoop, isUnknownCommand } from "./classic-pool.ts";
import { ownRequest } from "./own-request.ts";

/** After so many sockets in a row that were closed over `mn` the next is not asked. */
const MAX_LOST_OVER_META = 2;

/** What the server's answers say. */
export interface GreetingEvents {
  /** The server does not let us in. */
  refused(reason: string): void;
  /** The answer to `version`, without CRLF. */
  hello(line: string): void;
  /** Whether the server knows meta commands; it may be told more than once. */
  speaksMeta(isKnown: boolean): void;
}

/** The greetings of one connection, a new one for each socket. */
export class Greeting {
  private readonly login: Login | null;
  private readonly events: GreetingEvents;
  /** Sockets in a row that were closed over `mn`, as twemproxy and mcrouter do with what they do not know. */
  private lostOverMeta = 0;

  constructor(login: Login | null, events: GreetingEvents) {
    this.login = login;
    this.events = events;
  }

  /** To be sent over a new socket, in this order. */
  requests(): Request[] {
    const { login, events } = this;
    const requests: Request[] = [];
    if (login !== null) {
      const word = `${login.username} ${login.password}`;
      const line = `set auth 0 0 ${word.length}\r\n`;
      const learn = (reply: Reply) => {
        if (reply.status === Status.clientError) events.refused("the server refused username and password");
      };
      requests.push(ownRequest(Operation.set, line, `${word}\r\n`, learn));
    }
    const hear = (reply: Reply) => {
      if (reply.status === Status.ok) events.hello(reply.chunk.toString("latin1", reply.start, reply.end - 2));
    };
    requests.push(ownRequest(Operation.version, "version\r\n", "", hear));
    if (this.lostOverMeta < MAX_LOST_OVER_META) {
      requests.push(ownRequest(Operation.metaNoop, "mn\r\n", "", (reply) => this.learnMeta(reply)));
    } else {
      // For this socket alone: the server may only have been stopped just then.
      this.lostOverMeta = 0;
      events.speaksMeta(false);
    }
    return requests;
  }

  private learnMeta(reply: Reply): void {
    const isKnown = isMetaNoop(reply);
    if (isKnown || isUnknownCommand(reply)) {
      this.lostOverMeta = 0;
      this.events.speaksMeta(isKnown);
    } else if (reply.status === Status.connectionLost || reply.status === Status.clientError) {
      this.lostOverMeta++;
    }
  }
}
