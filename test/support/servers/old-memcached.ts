/**
 * A memcached without meta commands, like those before 1.6: a real memcached behind a relay that answers them, and the data
 * after them, with ERROR.
 */
import { once } from "node:events";
import net from "node:net";
import { TextClient } from "../clients/text-client.ts";

const STORAGE = /^(?:set|add|replace|append|prepend|cas) [^ ]+ [^ ]+ [^ ]+ (\d+)/;

export class OldMemcached {
  readonly port: number;
  /** Every line that was answered with ERROR. */
  readonly refused: string[] = [];
  /** Accepted so far. */
  connections = 0;
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();

  private constructor(server: net.Server, realPort: number) {
    this.server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on("connection", (socket) => {
      this.sockets.add(socket);
      this.connections++;
      socket.on("error", () => {});
      void this.serve(socket, realPort).catch(() => socket.destroy());
    });
  }

  /** In front of the memcached on `realPort`. */
  static async start(realPort: number): Promise<OldMemcached> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new OldMemcached(server, realPort);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  private async serve(socket: net.Socket, realPort: number): Promise<void> {
    const real = await TextClient.connect(realPort);
    socket.once("close", () => real.close());
    let unread = "";
    for await (const chunk of socket) {
      unread += (chunk as Buffer).toString("latin1");
      for (let at = unread.indexOf("\r\n"); at >= 0; at = unread.indexOf("\r\n")) {
        const line = unread.slice(0, at);
        const length = STORAGE.exec(line)?.[1];
        const end = length === undefined ? at + 2 : at + 2 + Number(length) + 2;
        if (unread.length < end) break;
        const command = unread.slice(0, end - 2);
        unread = unread.slice(end);
        socket.write(Buffer.from(await this.answer(real, line, command), "latin1"));
      }
    }
  }

  private async answer(real: TextClient, line: string, command: string): Promise<string> {
    const isKnown =
      /^(get|gets|gat|gats|set|add|replace|append|prepend|cas|delete|incr|decr|touch|version|flush_all)\b/;
    if (!isKnown.test(line)) {
      this.refused.push(line);
      return "ERROR\r\n";
    }
    real.send(`${command}\r\n`);
    let answer = "";
    for (;;) {
      const told = await real.until("\r\n");
      answer += told;
      const length = /^VALUE [^ ]+ \d+ (\d+)/.exec(told)?.[1];
      if (length === undefined) return answer;
      answer += await real.take(Number(length) + 2);
    }
  }
}
