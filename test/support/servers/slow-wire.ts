/**
 * A relay to a server that delays and splits the bytes of each direction of each connection separately and in order, as a
 * network does.
 */
import { once } from "node:events";
import net from "node:net";

const MAX_DELAY_MS = 30;
const MAX_PIECES = 3;

/** Listens on a free port of this machine. The test that starts it closes it. */
export class SlowWire {
  /** Delays and cuts are drawn from it. */
  random: () => number = Math.random;
  /** Told of what the server has sent, before it is delayed. */
  onAnswer: (chunk: Buffer) => void = () => {};
  private readonly server: net.Server;
  private readonly targetPort: number;
  private readonly sockets = new Set<net.Socket>();
  private readonly timers = new Set<NodeJS.Timeout>();

  private constructor(server: net.Server, targetPort: number) {
    this.server = server;
    this.targetPort = targetPort;
    server.on("connection", (socket) => this.accept(socket));
  }

  static async to(targetPort: number): Promise<SlowWire> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new SlowWire(server, targetPort);
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  async close(): Promise<void> {
    this.server.close();
    for (const timer of this.timers) clearTimeout(timer);
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, "close");
  }

  private accept(socket: net.Socket): void {
    const target = net.connect({ host: "127.0.0.1", port: this.targetPort });
    target.on("data", (chunk: Buffer) => this.onAnswer(chunk));
    this.carry(socket, target);
    this.carry(target, socket);
  }

  private carry(from: net.Socket, to: net.Socket): void {
    /** Whichever timer fires, the oldest piece goes. */
    const pieces: Buffer[] = [];
    let lastMs = 0;
    this.sockets.add(from);
    from.setNoDelay(true);
    from.on("error", () => {});
    from.once("close", () => to.destroy());
    from.on("data", (chunk: Buffer) => {
      for (const piece of this.cut(chunk)) {
        pieces.push(piece);
        const nowMs = performance.now();
        lastMs = Math.max(lastMs, nowMs + this.random() * MAX_DELAY_MS);
        const timer = setTimeout(() => {
          this.timers.delete(timer);
          to.write(pieces.shift()!);
        }, lastMs - nowMs);
        this.timers.add(timer);
      }
    });
  }

  private cut(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let rest = chunk;
    for (let left = Math.floor(this.random() * MAX_PIECES); left > 0 && rest.length > 1; left--) {
      const at = 1 + Math.floor(this.random() * (rest.length - 1));
      pieces.push(rest.subarray(0, at));
      rest = rest.subarray(at);
    }
    return [...pieces, rest];
  }
}
