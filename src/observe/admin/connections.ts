/**
 * The connections of an HTTP server, to close it without cutting off a request. `http.Server.close` of Node 26 also closes
 * connections whose first request is on its way, as those of a probe may be.
 */
import type http from "node:http";
import net from "node:net";

interface Use {
  /** Requests in progress. */
  active: number;
  /** True after the first request. */
  isUsed: boolean;
}

export class Connections {
  private readonly server: http.Server;
  private readonly uses = new Map<net.Socket, Use>();
  private isLeaving = false;

  constructor(server: http.Server) {
    this.server = server;
    server.on("connection", (connection: net.Socket) => {
      this.uses.set(connection, { active: 0, isUsed: false });
      connection.once("close", () => this.uses.delete(connection));
    });
    server.on("request", ({ socket }, response) => {
      const use = this.uses.get(socket);
      if (use === undefined) return;
      use.active++;
      use.isUsed = true;
      response.once("close", () => {
        use.active--;
        if (this.isLeaving && use.active === 0) socket.end();
      });
    });
  }

  /** Stops accepting connections. Resolves when the requests in flight are answered and all connections are closed. */
  leave(): Promise<void> {
    this.isLeaving = true;
    const closed = new Promise<void>((resolve) => {
      net.Server.prototype.close.call(this.server, () => {
        // Ends Node's timer for slow requests.
        this.server.close(() => resolve());
      });
    });
    for (const [connection, { active, isUsed }] of this.uses) if (isUsed && active === 0) connection.destroy();
    return closed;
  }
}
