/**
 * A client that writes bytes and reads bytes: no protocol, no repair.
 */
import { once } from "node:events";
import net from "node:net";

/** A connection. It keeps everything that it receives, as chunks until `received` joins them. */
export class TextClient {
  private chunks: Buffer[] = [];
  /** Called once, when bytes have been received or the connection has closed. */
  private waiting: ((isClosed: boolean) => void)[] = [];
  readonly socket: net.Socket;
  private readonly closed: Promise<unknown>;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    // Not `once` of node:events: its promise would reject unhandled on a reset.
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("data", (chunk) => {
      this.chunks.push(chunk);
      this.wake(false);
    });
    void this.closed.then(() => this.wake(true));
  }

  /** The bytes that were received and not taken yet. */
  get received(): Buffer {
    if (this.chunks.length !== 1) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0]!;
  }

  /** Connects to a port of this machine. */
  static async connect(port: number): Promise<TextClient> {
    const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new TextClient(socket);
  }

  /** A client over a connected socket of any kind. */
  static over(socket: net.Socket): TextClient {
    return new TextClient(socket);
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Takes the received text up to `end`, inclusive. Rejects if the connection closes before. */
  async until(end: string): Promise<string> {
    const wanted = Buffer.from(end, "latin1");
    for (;;) {
      const at = this.received.indexOf(wanted);
      if (at >= 0) {
        const text = this.received.toString("latin1", 0, at + wanted.length);
        this.chunks = [this.received.subarray(at + wanted.length)];
        return text;
      }
      const isClosed = await this.more();
      if (isClosed && this.received.indexOf(wanted) < 0) {
        throw new Error(
          `closed before ${JSON.stringify(end)}; received ${JSON.stringify(this.received.toString("latin1"))}`,
        );
      }
    }
  }

  private wake(isClosed: boolean): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve(isClosed);
  }

  /** Resolves when more has been received: to true if the connection is closed. */
  private more(): Promise<boolean> {
    if (this.socket.closed) return Promise.resolve(true);
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Takes `length` received bytes. Rejects if the connection closes before. */
  async take(length: number): Promise<string> {
    const isShort = () => this.chunks.reduce((sum, chunk) => sum + chunk.length, 0) < length;
    while (isShort()) {
      const isClosed = await this.more();
      if (isClosed && isShort()) throw new Error(`closed before ${length} bytes`);
    }
    const text = this.received.toString("latin1", 0, length);
    this.chunks = [this.received.subarray(length)];
    return text;
  }

  /** Sends one command and takes its reply, which ends with `end`. */
  async ask(command: string, end = "\r\n"): Promise<string> {
    this.send(`${command}\r\n`);
    return this.until(end);
  }

  /** Resolves to all received text when the other side has closed. */
  async end(): Promise<string> {
    await this.closed;
    return this.received.toString("latin1");
  }

  close(): void {
    this.socket.destroy();
  }
}
