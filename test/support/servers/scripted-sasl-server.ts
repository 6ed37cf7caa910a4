/**
 * A server of memcached's binary protocol that accepts every SASL login and answers `version`. The test gives all other
 * replies.
 */
import { once } from "node:events";
import net from "node:net";

const SASL_LIST = 0x20;
const SASL_AUTH = 0x21;
const VERSION = 0x0b;
const HEADER_BYTES = 24;

/** A request that waits for its answer. */
export interface SaslRequest {
  readonly opcode: number;
  readonly opaque: number;
  readonly key: string;
  readonly socket: net.Socket;
  /** Answers it: `extras` and `value` have one character per byte. */
  reply(value: string, parts?: { readonly status?: number; readonly extras?: string }): void;
}

export class ScriptedSaslServer {
  readonly port: number;
  readonly sockets: net.Socket[] = [];
  private readonly server: net.Server;
  private readonly waiting: SaslRequest[] = [];
  private wake: () => void = () => {};

  private constructor(server: net.Server) {
    this.server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on("connection", (socket) => this.accept(socket));
  }

  static async start(): Promise<ScriptedSaslServer> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ScriptedSaslServer(server);
  }

  /** The next `count` requests that wait for an answer. */
  async requests(count: number): Promise<SaslRequest[]> {
    while (this.waiting.length < count) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return this.waiting.splice(0, count);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  private accept(socket: net.Socket): void {
    this.sockets.push(socket);
    socket.on("error", () => {});
    let unread = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      unread = Buffer.concat([unread, chunk]);
      while (unread.length >= HEADER_BYTES && unread.length >= HEADER_BYTES + unread.readUInt32BE(8)) {
        const end = HEADER_BYTES + unread.readUInt32BE(8);
        this.take(socket, unread.subarray(0, end));
        unread = unread.subarray(end);
      }
    });
  }

  private take(socket: net.Socket, frame: Buffer): void {
    const opcode = frame[1]!;
    const opaque = frame.readUInt32BE(12);
    const keyStart = HEADER_BYTES + frame[4]!;
    const key = frame.toString("latin1", keyStart, keyStart + frame.readUInt16BE(2));
    const reply: SaslRequest["reply"] = (value, { status = 0, extras = "" } = {}) => {
      const head = Buffer.alloc(HEADER_BYTES);
      head[0] = 0x81;
      head[1] = opcode;
      head[4] = extras.length;
      head.writeUInt16BE(status, 6);
      head.writeUInt32BE(extras.length + value.length, 8);
      head.writeUInt32BE(opaque, 12);
      socket.write(Buffer.concat([head, Buffer.from(extras + value, "latin1")]));
    };
    if (opcode === SASL_LIST) reply("PLAIN");
    else if (opcode === SASL_AUTH) reply("Authenticated");
    else if (opcode === VERSION) reply("1.6.18");
    else this.waiting.push({ opcode, opaque, key, socket, reply });
    this.wake();
  }
}
