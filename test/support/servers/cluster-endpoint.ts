/** A configuration endpoint as ElastiCache and Memorystore have it. */
import { once } from "node:events";
import net from "node:net";

export class ClusterEndpoint {
  /** `host|ip|port` of each server. */
  entries: readonly string[] = [];
  version = 1;
  /** True for an engine before 1.4.14, which only has the key. */
  isOld = false;
  /** True if it does not answer. */
  isSilent = false;
  /** Sent instead of the list, if it is not null. */
  garbage: string | null = null;
  /** Commands so far. */
  readonly commands: string[] = [];
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();

  private constructor(server: net.Server) {
    this.server = server;
    server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.sockets.delete(socket));
      socket.on("data", (chunk) => {
        for (const line of chunk.toString("latin1").split("\r\n").filter(Boolean)) this.answer(socket, line);
      });
    });
  }

  static async start(): Promise<ClusterEndpoint> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ClusterEndpoint(server);
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  private answer(socket: net.Socket, line: string): void {
    this.commands.push(line);
    if (this.isSilent) return;
    const text = `${this.version}\n${this.entries.join(" ")}\n`;
    if (this.garbage !== null) socket.write(this.garbage);
    else if (line === "config get cluster" && !this.isOld) {
      socket.write(`CONFIG cluster 0 ${text.length}\r\n${text}\r\nEND\r\n`);
    } else if (line === "get AmazonElastiCache:cluster" && this.isOld) {
      socket.write(`VALUE AmazonElastiCache:cluster 0 ${text.length}\r\n${text}\r\nEND\r\n`);
    } else socket.write("ERROR\r\n");
  }
}
