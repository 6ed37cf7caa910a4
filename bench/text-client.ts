/** A client of the memcached protocol that sends one command at a time. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Competitor } from "./competitors.ts";

export class Client {
  private readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  static async open({ host, port }: Competitor): Promise<Client> {
    const socket = connect({ host, port, noDelay: true });
    await once(socket, "connect");
    return new Client(socket);
  }

  async ask(command: string, end: string): Promise<string> {
    this.socket.write(command);
    let text = "";
    while (!text.endsWith(end)) text += String((await once(this.socket, "data"))[0]);
    return text;
  }

  /** The numbers of `stats platypus`. */
  async stats(): Promise<Map<string, number>> {
    const text = await this.ask("stats platypus\r\n", "END\r\n");
    const lines = [...text.matchAll(/^STAT (\S+) (\S+)\r$/gm)];
    return new Map(lines.map(([, name, value]) => [name!, Number(value)]));
  }

  close(): void {
    this.socket.destroy();
  }
}
