/**
 * One connection to a server that requires SASL, which memcached only supports in its binary protocol. memjs' `Server`
 * connects, logs in and matches replies by their opaque. Platypus builds the frames itself, because memjs' client drops
 * flags and cas. After each error or close, a new `Server` is created: the old one keeps half a reply in its buffer,
 * and leaves pending requests hanging after a clean close. Its own timeouts are disabled with a very long time; the
 * deadlines here apply.
 *
 * Sources: memcached's SASL authentication page and protocol_binary.h; memjs 1.3 (server.js).
 */

import type { Socket } from "node:net";
import { type Response, Server } from "memjs";
import { failures, gatheredReply, missReply, Reply, Status } from "../reply.ts";
import { Operation, Request } from "../request.ts";
import { BinaryStatus, Opcode, requestFrame } from "../wire/binary-protocol.ts";
import { type Command, commandOf, type Outcome, replyTo, type Verb } from "../wire/command.ts";
import type { Flushable } from "../wire/turn.ts";
import { AllCompleted } from "./all-completed.ts";
import type { BackendLink, ConnectionEvents, ConnectionOptions } from "./backend-link.ts";
import { isOwnCommand } from "./count-answer.ts";
import { Deadline } from "./deadline.ts";
import type { SentRequest } from "./operation-durations.ts";
import { type Queued, RequestQueue } from "./request-queue.ts";

const MAX_UNSENT_BYTES = 64 * 1024 * 1024;
/** memjs counts in seconds, and Node's timers end at 2^31 ms. */
const OUT_OF_REACH_SECONDS = 86_400;
const NO_INITIAL_VALUE = 0xffffffff;
/** Larger exptimes are Unix times, so this one is long past: the binary form of "expire immediately". */
const PAST_EXPTIME = 60 * 60 * 24 * 30 + 1;

const opcodes: Readonly<Record<Verb, number>> = {
  get: Opcode.get,
  gat: Opcode.gat,
  touch: Opcode.touch,
  set: Opcode.set,
  add: Opcode.add,
  replace: Opcode.replace,
  append: Opcode.append,
  prepend: Opcode.prepend,
  delete: Opcode.delete,
  incr: Opcode.increment,
  decr: Opcode.decrement,
  flush: Opcode.flush,
  version: Opcode.version,
};

/** A frame that was sent. */
interface Frame extends Queued<Frame>, SentRequest {
  readonly command: Command;
  sentMs: number;
  /** Exactly one of the two functions is called, once. */
  readonly answered: (outcome: Outcome) => void;
  readonly failed: (reply: Reply) => void;
}

type Asked = Omit<SentRequest, "sentMs">;

/** The first request opens the connection; after a loss, the next request opens it again. */
export class SaslConnection implements BackendLink, Flushable {
  /** Each key is a separate frame. */
  readonly mayShare = true;
  private readonly options: ConnectionOptions;
  private readonly events: ConnectionEvents;
  private server: Server | null = null;
  private socket: Socket | null = null;
  private readonly queue: RequestQueue<Frame>;
  private opaque = 0;
  private unsent: Buffer[] = [];
  private isJoined = false;
  private isClosed = false;
  /** Called when the retired connection has closed. `null` if it is not retired. */
  private retired: (() => void) | null = null;
  private readonly connectDeadline: Deadline;

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.options = options;
    this.events = events;
    this.queue = new RequestQueue(options.clock, options.serverTimeoutMs, () => this.checkDeadlines());
    this.connectDeadline = new Deadline(options.clock, () => {
      this.contain(() => this.fail(failures.connectTimeout));
      this.events.connectFailed(`no connection and login within ${options.connectTimeoutMs} ms`);
    });
  }

  get outstanding(): number {
    return this.queue.length;
  }

  get inFlight(): number {
    return this.queue.countAwaited(null, isOwnCommand);
  }

  get isConnected(): boolean {
    return this.socket !== null;
  }

  send(request: Request): void {
    const isSaturated = (this.socket?.writableLength ?? 0) > MAX_UNSENT_BYTES;
    if (this.isClosed || isSaturated || this.queue.isFull) {
      request.complete(failures.overloaded);
      return;
    }
    if (request.keys !== null) {
      this.sendEach(request, request.indexes ?? request.keys.starts.map((_, index) => index));
      return;
    }
    const command = commandOf(request, this.options.prefix);
    if (command instanceof Reply) {
      request.complete(command);
      return;
    }
    // The line of a meta command determines the content of the reply; the reply names the key.
    request.retain();
    this.ask(
      request,
      command,
      (outcome) => request.complete(replyTo(request, outcome)),
      (failure) => request.complete(failure),
    );
  }

  flush(): void {
    this.isJoined = false;
    const frames = this.unsent;
    this.unsent = [];
    if (frames.length > 0) this.server?.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
  }

  /** Hosted servers close idle connections themselves. */
  closeIfIdle(): void {}

  retire(done: () => void): void {
    this.retired = done;
    this.closeIfRetired();
  }

  private closeIfRetired(): void {
    if (this.retired !== null && this.queue.firstAwaited(null) === null) this.close();
  }

  close(): void {
    this.isClosed = true;
    const { retired } = this;
    this.retired = null;
    const completed = new AllCompleted();
    completed.run(() => this.fail(failures.connectionLost));
    retired?.();
    completed.end();
  }

  /** A retrieval of several keys is one frame per key, in one write. A key that failed is left out. */
  private sendEach(request: Request, indexes: readonly number[]): void {
    const keys = request.keys!;
    let due = indexes.length;
    let hasFound = false;
    const settle = () => {
      if (--due === 0) request.complete(hasFound ? gatheredReply : missReply);
    };
    for (const index of indexes) {
      // `commandOf` has a command for each retrieval.
      const command = commandOf(request, this.options.prefix, index) as Command;
      const single = new Request(request.operation, request.owner, keys.bytes);
      single.keyStart = keys.starts[index]!;
      single.keyEnd = keys.ends[index]!;
      const answered = (outcome: Outcome) => {
        if (outcome.status === Status.found) {
          const reply = replyTo(single, outcome);
          hasFound = true;
          keys.blocks[index] = reply.chunk;
          keys.blockStarts[index] = 0;
          keys.blockEnds[index] = reply.end - "END\r\n".length;
        }
        settle();
      };
      this.ask(request, command, answered, settle);
    }
  }

  private ask(
    asked: Asked,
    command: Command,
    answered: (outcome: Outcome) => void,
    failed: (reply: Reply) => void,
  ): void {
    if (this.queue.isLost(this.options.clock, null)) this.contain(() => this.distrust());
    const server = this.server ?? this.open();
    this.append(server, asked, command, answered, failed);
    if (this.isJoined) return;
    this.isJoined = true;
    this.options.turn.join(this);
  }

  private append(
    server: Server,
    { operation, span }: Asked,
    command: Command,
    answered: (outcome: Outcome) => void,
    failed: (reply: Reply) => void,
  ): void {
    const opaque = this.opaque++ % 2 ** 32;
    const bytes = frameOf(command, opaque);
    const queued = { sentMs: 0, isAbandoned: false, nextOfBackend: null };
    const frame: Frame = { operation, span, command, answered, failed, ...queued };
    this.queue.append(frame, this.options.clock.nowMs());
    server.onResponse(opaque, (response) => this.read(server, frame, response));
    server.onError(opaque, (error) => this.lost(server, error));
    this.unsent.push(bytes);
  }

  private open(): Server {
    const { address, login, connectTimeoutMs } = this.options;
    const [host, port] = address.type === "unix" ? [undefined, address.path] : [address.host, address.port];
    const server = new Server(host, port, login!.username, login!.password, {
      timeout: OUT_OF_REACH_SECONDS,
      conntimeout: OUT_OF_REACH_SECONDS,
    });
    this.server = server;
    this.connectDeadline.set(connectTimeoutMs);
    const greet = (outcome: Outcome) => {
      if (outcome.status === Status.ok) this.events.hello(outcome.text!);
    };
    this.append(server, { operation: Operation.version, span: null }, { ...HELLO }, greet, () => {});
    server.sock(false, (socket) => {
      if (this.server !== server) return;
      this.socket = socket;
      this.events.opened();
      this.connectDeadline.clear();
      socket.setNoDelay(true);
      // memjs handles a clean close without reporting it.
      socket.once("close", () => this.lost(server, new Error("closed by the server")));
    });
    return server;
  }

  private read(server: Server, frame: Frame, response: Response): void {
    const isTaken = this.contain(() => this.take(server, frame, response));
    // A fault in Platypus only ends the connection on which it occurred.
    if (!isTaken && this.server === server) this.contain(() => this.fail(failures.connectionLost));
  }

  /**
   * Runs a step of a timer or of memjs. An error is reported: if it were thrown, it would end the process. Returns true
   * if the step succeeded.
   */
  private contain(step: () => void): boolean {
    try {
      step();
      return true;
    } catch (error) {
      this.events.outOfStep(`a fault in Platypus: ${(error as Error).stack}`);
      return false;
    }
  }

  private take(server: Server, frame: Frame, response: Response): void {
    if (this.server !== server) return;
    if (!isAnswerTo(frame.command, response)) {
      this.events.outOfStep("a reply that does not answer the request");
      this.fail(failures.connectionLost);
      return;
    }
    this.queue.remove(frame);
    if (!frame.isAbandoned) {
      const outcome = outcomeOf(frame.command, response);
      this.events.answered(frame, outcome.status);
      frame.answered(outcome);
    }
    this.closeIfRetired();
  }

  private lost(server: Server, error: unknown): void {
    if (this.server !== server) return;
    if (this.socket !== null) {
      this.contain(() => this.fail(failures.connectionLost));
    } else if (typeof error === "string") {
      // memjs reports a refused login as text, and all other failures as an Error.
      this.contain(() => this.fail(failures.connectError));
      this.events.refused("the server refused username and password");
    } else {
      this.contain(() => this.fail(failures.connectError));
      this.events.connectFailed((error as Error).message);
    }
  }

  /** Leaves this `Server` and completes all outstanding requests with `reply`. The next request creates a new one. */
  private fail(reply: Reply): void {
    const { server } = this;
    if (this.socket !== null) this.events.closed();
    this.server = null;
    this.socket = null;
    this.unsent = [];
    this.connectDeadline.clear();
    this.queue.deadline.clear();
    let frame = this.queue.takeAll();
    // Its callbacks find that the connection has another server now.
    server?.error(new Error("left"));
    const completed = new AllCompleted();
    while (frame !== null) {
      const lost: Frame = frame;
      frame = lost.nextOfBackend;
      lost.nextOfBackend = null;
      if (lost.isAbandoned) continue;
      this.events.failed(lost, reply.status, "client");
      completed.run(() => lost.failed(reply));
    }
    completed.run(() => this.closeIfRetired());
    completed.end();
  }

  private checkDeadlines(): void {
    const nowMs = this.options.clock.nowMs();
    const completed = new AllCompleted();
    this.queue.expire(nowMs, null, (late) => this.timeOut(late, completed));
    completed.run(() => this.checkOrder(nowMs, completed));
    this.contain(() => completed.end());
  }

  private timeOut(late: Frame, completed: AllCompleted): void {
    this.events.timedOut(late);
    completed.run(() => late.failed(failures.timeout));
  }

  private distrust(): void {
    this.events.outOfStep("nothing was answered in time up to the drop limit");
    this.fail(failures.connectionLost);
  }

  private checkOrder(nowMs: number, completed: AllCompleted): void {
    if (this.queue.isPastDropLimit(nowMs)) {
      // As in connection.ts.
      const waiting = this.queue.abandonAll(null);
      completed.run(() => this.distrust());
      for (const frame of waiting) this.timeOut(frame, completed);
      return;
    }
    this.closeIfRetired();
    this.queue.setDeadline(nowMs, null);
  }
}

function isAnswerTo({ verb }: Command, { header, val }: Response): boolean {
  if (header.opcode !== opcodes[verb]) return false;
  return successes[verb] !== Status.number || header.status !== BinaryStatus.ok || val.length === NUMBER_BYTES;
}

const NUMBER_BYTES = 8;
const NOTHING = Buffer.alloc(0);
const HELLO: Command = {
  verb: "version",
  key: NOTHING,
  value: NOTHING,
  flags: 0,
  exptime: 0,
  cas: 0n,
  delta: 0n,
  initial: null,
};

function frameOf(command: Command, opaque: number): Buffer {
  const { verb, key, value, cas } = command;
  return requestFrame(opcodes[verb], opaque, { key, value, cas, extras: extrasOf(command) });
}

function extrasOf({ verb, flags, exptime, delta, initial }: Command): Buffer {
  const expiration = exptime < 0 ? PAST_EXPTIME : exptime;
  switch (verb) {
    case "set":
    case "add":
    case "replace": {
      const extras = Buffer.alloc(8);
      extras.writeUInt32BE(flags, 0);
      extras.writeUInt32BE(expiration, 4);
      return extras;
    }
    case "gat":
    case "touch":
    case "flush": {
      const extras = Buffer.alloc(4);
      // A flush with a time in the past would have no effect (memcached 1.6.18).
      extras.writeUInt32BE(verb === "flush" ? Math.max(exptime, 0) : expiration, 0);
      return extras;
    }
    case "incr":
    case "decr": {
      const extras = Buffer.alloc(20);
      extras.writeBigUInt64BE(BigInt.asUintN(64, delta), 0);
      extras.writeBigUInt64BE(BigInt.asUintN(64, initial ?? 0n), 8);
      extras.writeUInt32BE(initial === null ? NO_INITIAL_VALUE : expiration, 16);
      return extras;
    }
    default:
      return NOTHING;
  }
}

/** Status of a successful command. */
const successes: Readonly<Record<Verb, Status>> = {
  get: Status.found,
  gat: Status.found,
  touch: Status.touched,
  set: Status.stored,
  add: Status.stored,
  replace: Status.stored,
  append: Status.stored,
  prepend: Status.stored,
  delete: Status.deleted,
  incr: Status.number,
  decr: Status.number,
  flush: Status.ok,
  version: Status.ok,
};

function outcomeOf({ verb, cas }: Command, { header, extras, val }: Response): Outcome {
  if (header.status === BinaryStatus.ok) {
    const outcome: Outcome = { status: successes[verb], cas: header.cas.readBigUInt64BE() };
    if (verb === "version") return { ...outcome, text: `VERSION ${val.toString("latin1")}` };
    if (outcome.status === Status.number) return { ...outcome, text: val.readBigUInt64BE().toString() };
    if (outcome.status !== Status.found) return outcome;
    return { ...outcome, value: val, flags: extras.length === 4 ? extras.readUInt32BE() : 0 };
  }
  const isStore = successes[verb] === Status.stored;
  switch (header.status) {
    case BinaryStatus.notFound:
      if (successes[verb] === Status.found) return { status: Status.missing };
      return { status: isStore && cas === 0n ? Status.notStored : Status.notFound };
    case BinaryStatus.exists:
      return { status: isStore && cas === 0n ? Status.notStored : Status.exists };
    case BinaryStatus.notStored:
      return { status: Status.notStored };
    case BinaryStatus.notNumber:
      return error(Status.clientError, "CLIENT_ERROR cannot increment or decrement non-numeric value");
    case BinaryStatus.tooLarge:
      return error(Status.serverError, "SERVER_ERROR object too large for cache");
    case BinaryStatus.outOfMemory:
      return error(Status.serverError, "SERVER_ERROR out of memory storing object");
    case BinaryStatus.invalid:
      return error(Status.clientError, "CLIENT_ERROR bad command line format");
    default:
      return error(Status.serverError, `SERVER_ERROR status ${header.status}`);
  }
}

function error(status: Status, text: string): Outcome {
  return { status, text };
}
