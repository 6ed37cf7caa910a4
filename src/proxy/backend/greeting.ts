/**
 * What a connection says to a server before anything else, one command at a time: the login where the server wants one, then
 * `version`, which shows that a memcached is there, and which; then `mn`, whether it knows meta commands. Requests wait until
 * the last of these has been answered, so that each is sent in a dialect that the server understands.
 *
 *     ── login ──► version ──► mn ──► ready
 *                               └ the server closes: the next socket; after two of them, ready without meta
 */
import type { Login } from "../../config/config.ts";
import { type Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import type { ServerDialect } from "../wire/server-dialect.ts";
import { isMetaNoop, isUnknownCommand } from "./classic-pool.ts";
import { ownRequest } from "./own-request.ts";

/** A server that closes so many sockets in a row over `mn` is not asked on the next. */
const MAX_LOST_OVER_META = 2;

/** What the server's answers say. */
export interface GreetingEvents {
  /** The server refused username and password. */
  refused(reason: string): void;
  /** The answer to `version`, without CRLF. */
  hello(line: string): void;
  /** Whether the server knows meta commands; told for each socket. */
  speaksMeta(isKnown: boolean): void;
}

/** What the greeting has its connection do. */
export interface GreetingSteps {
  /** Puts `request` before all others. */
  send(request: Request): void;
  /** The greeting of this socket has ended. */
  done(): void;
  /** The greeting needs another socket. */
  again(): void;
  /** The server does not serve us: this socket is of no use. */
  giveUp(): void;
}

/** The greetings of one connection; a new one begins with each socket. */
export class Greeting {
  /** The command that is being asked; null: the greeting has ended. */
  asked: Request | null = null;
  private readonly login: Login | null;
  private readonly events: GreetingEvents;
  private readonly dialect: ServerDialect;
  private readonly steps: GreetingSteps;
  private version: string | null = null;
  /** Sockets in a row that were closed over `mn`, as twemproxy and mcrouter do with what they do not know. */
  private lostOverMeta = 0;
  /** The server has answered `mn` with `MN` before: it does not become a classic one because a socket was closed. */
  private hasSpokenMeta = false;

  constructor(login: Login | null, events: GreetingEvents, dialect: ServerDialect, steps: GreetingSteps) {
    this.login = login;
    this.events = events;
    this.dialect = dialect;
    this.steps = steps;
  }

  /** To be called for a new socket. */
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
        this.steps.giveUp();
      } else {
        this.askVersion();
      }
    });
  }

  /** To be called when the server has closed the socket. True: it may have been for `mn`, and another socket may tell. */
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

  /** To be called when the socket was given up. */
  end(): void {
    this.asked = null;
  }

  private askVersion(): void {
    this.ask(Operation.version, "version", null, (reply) => {
      if (reply.status !== Status.ok) {
        // Without a version it may still be a server of classic commands; one that wants a login is none for us.
        const line = reply.chunk.toString("latin1", reply.start, reply.end - 2);
        if (line.startsWith("ERROR")) {
          this.steps.done();
        } else {
          this.events.refused(line);
          this.steps.giveUp();
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
      // For this socket alone: the server may only have been stopped just then.
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
        // A server that finds the line malformed closes behind its answer.
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

  /** `answered` is called for an answer of the server, not where the connection fails. */
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
 * A server that calls itself something else, such as a second tier of mcrouter, may close on a command that it does not know,
 * and take the requests behind it along.
 */
function isMemcached(version: string): boolean {
  return /^\d+\.\d+/.test(version);
}
