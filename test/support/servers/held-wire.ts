/** A relay to a server. The test can hold each direction, whose bytes then wait. */
import { once } from "node:events";
import net from "node:net";

/** Listens on a free port of this machine; the test that starts one closes it. */
export class HeldWire {
  /**
   * Decides about each chunk to the server: `hold` keeps it and all that follows on that connection until `release`; `cut`
   * carries it and closes the connection before the answer, `drop` closes it instead.
   */
  onRequest: (chunk: string) => "carry" | "hold" | "cut" | "drop" = () => "carry";
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();
  private held: (() => void)[] = [];

  private constructor(server: net.Server, targetPort: number) {
    this.server = server;
    server.on("connection", (socket) => this.accept(socket, targetPort));
  }

  static async to(targetPort: number): Promise<HeldWire> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new HeldWire(server, targetPort);
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  /** Carries what was held, and everything after it. */
  release(): void {
    for (const carry of this.held.splice(0)) carry();
  }

  async close(): Promise<void> {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, "close");
  }

  private accept(socket: net.Socket, targetPort: number): void {
    const target = net.connect({ host: "127.0.0.1", port: targetPort });
    let isHeld = false;
    const waiting: Buffer[] = [];
    for (const end of [socket, target]) {
      this.sockets.add(end);
      end.setNoDelay(true);
      end.on("error", () => {});
    }
    // What was sent before a connection is lost may still reach the server.
    socket.once("close", () => {
      if (!isHeld) target.destroy();
    });
    target.once("close", () => socket.destroy());
    target.on("data", (chunk: Buffer) => socket.write(chunk));
    socket.on("data", (chunk: Buffer) => {
      const fate = isHeld ? "hold" : this.onRequest(chunk.toString("latin1"));
      if (fate === "carry") {
        target.write(chunk);
        return;
      }
      if (fate !== "hold") {
        if (fate === "cut") target.write(chunk);
        socket.destroy();
        return;
      }
      waiting.push(chunk);
      if (isHeld) return;
      isHeld = true;
      this.held.push(() => {
        isHeld = false;
        for (const part of waiting.splice(0)) target.write(part);
      });
    });
  }
}
