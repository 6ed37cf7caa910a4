/**
 * The first commands of a connection, one at a time: the login if the server requires one, then `version`, which
 * identifies a memcached, then `mn`, which shows if the server supports meta commands. Requests wait for the last
 * reply, so that each is sent in a dialect that the server understands.
 *
 *     ── login ──► version ──► mn ──► ready
 *                               └ the server closes: the next socket; after two of them, ready without meta
 */
import type { Login } from "../../config/config.ts";
import { failures, type Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import type { ServerDialect } from "../wire/server-dialect.ts";
import { isMetaNoop, isUnknownCommand } from "./classic-pool.ts";
import { ownRequest } from "./own-request.ts";

/** After this number of consecutive sockets that a server closed after `mn`, the next socket skips `mn`. */
const MAX_LOST_OVER_META = 2;

/** Results of the server's replies. */
export interface GreetingEvents {
  /** The server refused the username and password. */
  refused(reason: string): void;
  /** The reply to `version`, without CRLF. */
  hello(line: string): void;
  /** Whether the server supports meta commands. Called for each socket. */
  speaksMeta(isKnown: boolean): void;
}

/** Actions of the greeting on its connection. */
export interface GreetingSteps {
  /** Sends `request` before all others. */
  send(request: Request): void;
  /** The greeting of this socket has ended. */
  done(): void;
  /** The greeting needs a new socket. */
  again(): void;
  /** The server refuses this client: the socket is useless, and `reply` is the reply to the requests that wait. */
  giveUp(reply: Reply): void;
}

/** The greetings of one connection. Each socket has a new greeting. */
export class Greeting {
  /** The command that waits for its reply. `null` after the greeting. */
  asked: Request | null = null;
  private readonly login: Login | null;
  private readonly events: GreetingEvents;
  private readonly dialect: ServerDialect;
  private readonly steps: GreetingSteps;
  private version: string | null = null;
  /**
   * Number of consecutive sockets that the server closed after `mn`, as twemproxy and mcrouter do with unknown
   * commands.
   */
  private lostOverMeta = 0;
  /** True if the server has answered `mn` with `MN` before: a closed socket does not make it a classic server. */
  private hasSpokenMeta = false;

  constructor(login: Login | null, events: GreetingEvents, dialect: ServerDialect, steps: GreetingSteps) {
    this.login = login;
    this.events = events;
    this.dialect = dialect;
    this.steps = steps;
  }

  /** Call for each new socket. */
  begin(): void {
    const { login } = this;
    this.dialect.reset();
    this.version = null;
    if (login === null) {
      this.askVersion();
      return;
    }
    const word = `${login.username} ${login.password}`;
    this.ask(Operation.set, `set auth 0 0 ${word.length}`, word, (reply) => {
      if (reply.status === Status.clientError) {
        this.events.refused("the server refused username and password");
        this.steps.giveUp(failures.connectError);
      } else {
        this.askVersion();
      }
    });
  }

  /** Call when the server has closed the socket. True if `mn` may be the cause, and a new socket may show that. */
  isWorthAnother(): boolean {
    const isOverMeta = this.asked?.operation === Operation.metaNoop;
    this.asked = null;
    return isOverMeta && this.mayTryAgain();
  }

  private mayTryAgain(): boolean {
    if (this.lostOverMeta >= MAX_LOST_OVER_META) return false;
    this.lostOverMeta++;
    return true;
  }

  /** Call when the socket was abandoned. */
  end(): void {
    this.asked = null;
  }

  private askVersion(): void {
    this.ask(Operation.version, "version", null, (reply) => {
      if (reply.status !== Status.ok) {
        // Without a version, it may still be a server with classic commands. A server that requires a login is not
        // usable.
        const line = reply.chunk.toString("latin1", reply.start, reply.end - 2);
        if (line.startsWith("ERROR")) {
          this.steps.done();
        } else {
          this.events.refused(line);
          // An error of the server is the answer to any request. A missing login is not the mistake of the client.
          this.steps.giveUp(reply.status === Status.serverError ? reply.copy() : failures.connectError);
        }
        return;
      }
      const line = reply.chunk.toString("latin1", reply.start, reply.end - 2);
      this.version = line.split(" ")[1] ?? "";
      this.events.hello(line);
      if (isMemcached(this.version)) this.askMeta();
      else this.finish(false);
    });
  }

  private askMeta(): void {
    if (this.lostOverMeta >= MAX_LOST_OVER_META && !this.hasSpokenMeta) {
      // For this socket only: the server may have been stopped just then.
      this.lostOverMeta = 0;
      this.finish(false);
      return;
    }
    this.ask(Operation.metaNoop, "mn", null, (reply) => {
      const isKnown = isMetaNoop(reply);
      this.hasSpokenMeta ||= isKnown;
      if (isKnown || isUnknownCommand(reply)) {
        this.lostOverMeta = 0;
        this.finish(isKnown);
      } else if (this.mayTryAgain()) {
        // A server that finds the line malformed closes after its reply.
        this.steps.again();
      } else {
        this.steps.done();
      }
    });
  }

  private finish(isKnown: boolean): void {
    this.dialect.learn(this.version, isKnown);
    this.events.speaksMeta(this.dialect.speaksMeta);
    this.steps.done();
  }

  /** `answered` is called for a reply of the server, not for a failed connection. */
  private ask(operation: Operation, line: string, data: string | null, answered: (reply: Reply) => void): void {
    const request = ownRequest(operation, line, data, (reply) => {
      if (this.asked !== request) return;
      this.asked = null;
      answered(reply);
    });
    this.asked = request;
    this.steps.send(request);
  }
}

/**
 * A server with another name, such as a second tier of mcrouter, may close the connection after an unknown command, and
 * drop the requests after it.
 */
function isMemcached(version: string): boolean {
  return /^\d+\.\d+/.test(version);
}
