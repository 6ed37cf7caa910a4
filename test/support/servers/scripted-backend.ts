/**
 * A memcached server over real sockets whose replies the test gives. It separates commands as memcached does. It answers by
 * itself only the `version` and `mn` that open every connection.
 */
import { once } from "node:events";
import net from "node:net";
import { WireFace } from "./wire-face.ts";

const STORAGE = /^(?:set|add|replace|append|prepend|cas) \S+ \S+ \S+ (\d+)/;
const META_SET = /^ms \S+ (\d+)/;

/** A received command that waits for its reply. */
export interface ScriptedCommand {
  /** The command line without its end. */
  readonly line: string;
  /** Its data block without the line end. `null` if the command has no data. */
  readonly data: string | null;
  readonly connection: ScriptedConnection;
  /** Sends `text` on the connection that the command came on. */
  reply(text: string): void;
}

/** One accepted connection. */
export class ScriptedConnection {
  readonly socket: net.Socket;
  /** Resolves when the other side has closed it, or this side has. */
  readonly closed: Promise<unknown>;
  /** Gives answers the form in which their commands were asked. */
  readonly face = new WireFace();
  /** Pieces that are being sent. `null` if there are none. */
  private sending: Promise<void> | null = null;
  private unread = Buffer.alloc(0);

  constructor(socket: net.Socket, onCommand: (line: string, data: string | null) => void) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      this.unread = Buffer.concat([this.unread, chunk]);
      for (let next = this.take(); next !== null; next = this.take()) onCommand(next.line, next.data);
    });
  }

  /** Sends `text`, behind the pieces that are being sent. */
  send(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    if (this.sending === null) this.socket.write(bytes);
    else void this.afterwards(async () => void this.socket.write(bytes));
  }

  /** Sends the pieces one by one in separate turns, so that each is a separate read. */
  async sendInPieces(pieces: readonly (string | Buffer)[]): Promise<void> {
    await this.afterwards(() => this.sendEach(pieces));
  }

  private async afterwards(step: () => Promise<void>): Promise<void> {
    const sending = (this.sending ?? Promise.resolve()).then(step);
    this.sending = sending;
    await sending;
    if (this.sending === sending) this.sending = null;
  }

  private async sendEach(pieces: readonly (string | Buffer)[]): Promise<void> {
    for (const piece of pieces) {
      this.socket.write(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece);
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private take(): { line: string; data: string | null } | null {
    const lineEnd = this.unread.indexOf("\r\n");
    if (lineEnd < 0) return null;
    const line = this.unread.toString("latin1", 0, lineEnd);
    const length = (STORAGE.exec(line) ?? META_SET.exec(line))?.[1];
    const dataStart = lineEnd + 2;
    const dataEnd = length === undefined ? dataStart : dataStart + Number(length) + 2;
    if (this.unread.length < dataEnd) return null;
    const data = length === undefined ? null : this.unread.toString("latin1", dataStart, dataEnd - 2);
    this.unread = this.unread.subarray(dataEnd);
    return { line, data };
  }
}

/** The server. */
export class ScriptedBackend {
  /** Every command line received, `version` and its `mn` left out. */
  readonly lines: string[] = [];
  readonly connections: ScriptedConnection[] = [];
  /** The reply to `version`. `null` if it is not answered. */
  version: string | null = "VERSION 1.6.18\r\n";
  /** The reply to the `mn` after it. `null` if it is not answered. */
  metaNoop: string | null = "MN\r\n";
  /** True: a connection is closed when `mn` was read. */
  closesOverMeta = false;
  /** True: commands are shown as they are sent, and answers are sent as they are given. See wire-face.ts. */
  isBare = false;
  /** When set it answers every command at once: null leaves one for `command`. */
  script: ((line: string, data: string | null) => string | null) | null = null;
  readonly port: number;
  private readonly server: net.Server;
  private readonly waiting: ScriptedCommand[] = [];
  private wake: () => void = () => {};

  private constructor(server: net.Server) {
    this.server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on("connection", (socket) => this.accept(socket));
  }

  /** Listens on `port`, 0 being any free one. */
  static async start(port = 0): Promise<ScriptedBackend> {
    const server = net.createServer().listen(port, "127.0.0.1");
    await once(server, "listening");
    return new ScriptedBackend(server);
  }

  /** The next command that waits for an answer. */
  async command(): Promise<ScriptedCommand> {
    while (this.waiting.length === 0) await this.something();
    return this.waiting.shift()!;
  }

  /** The next `count` commands. */
  async commands(count: number): Promise<ScriptedCommand[]> {
    const taken: ScriptedCommand[] = [];
    while (taken.length < count) taken.push(await this.command());
    return taken;
  }

  /** The connection that was accepted as the `index`-th, counted from 0; waits for it. */
  async connection(index: number): Promise<ScriptedConnection> {
    while (this.connections.length <= index) await this.something();
    return this.connections[index]!;
  }

  /** Stops listening and closes all connections. */
  async stop(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, "close");
  }

  private accept(socket: net.Socket): void {
    let isGreeting = false;
    const connection: ScriptedConnection = new ScriptedConnection(socket, (asked, data) => {
      const { face } = connection;
      const wasGreeting = isGreeting;
      isGreeting = asked === "version";
      if (isGreeting) {
        if (this.version !== null) connection.send(this.version);
        return;
      }
      if (wasGreeting && asked === "mn") {
        if (this.metaNoop !== null) connection.send(this.metaNoop);
        if (this.closesOverMeta) socket.end();
        return;
      }
      const seen = this.isBare ? { shown: asked } : face.show(asked);
      if (seen.shown === null) {
        if (seen.answer !== null) connection.send(seen.answer);
        return;
      }
      const line = seen.shown;
      this.lines.push(line);
      const reply = (text: string) => connection.send(this.isBare ? text : face.answer(text));
      const scripted = this.script?.(line, data) ?? null;
      if (scripted !== null) reply(scripted);
      else this.waiting.push({ line, data, connection, reply });
      this.wake();
    });
    this.connections.push(connection);
    this.wake();
  }

  private something(): Promise<void> {
    return new Promise((resolve) => {
      const others = this.wake;
      this.wake = () => {
        others();
        resolve();
      };
    });
  }
}
