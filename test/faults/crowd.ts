/** Clients that do harm: they only write and perhaps read, and check nothing. */
import { once } from "node:events";
import net from "node:net";
import { setImmediate as turn } from "node:timers/promises";

export interface Member {
  readonly socket: net.Socket;
  /** Bytes received so far. */
  received: number;
}

export class Crowd {
  private readonly sockets = new Set<net.Socket>();

  /** Connects one. `isReading`: it takes what it is sent, and throws it away. */
  async join(port: number, isReading = true): Promise<Member> {
    const socket = net.connect({ host: "127.0.0.1", port });
    const member: Member = { socket, received: 0 };
    this.sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.sockets.delete(socket));
    if (isReading) {
      socket.on("data", (chunk) => {
        member.received += chunk.length;
      });
    } else socket.pause();
    await Promise.race([once(socket, "connect"), once(socket, "close")]);
    return member;
  }

  joinMany(count: number, port: number, isReading = true): Promise<Member[]> {
    return Promise.all(Array.from({ length: count }, () => this.join(port, isReading)));
  }

  /** Gives `use` a crowd, which leaves at its end. */
  static async of(use: (crowd: Crowd) => Promise<void>): Promise<void> {
    const crowd = new Crowd();
    try {
      await use(crowd);
    } finally {
      crowd.leave();
    }
  }

  leave(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

/**
 * Writes as fast as the other side reads: `next` gives the pieces, until it returns `null`, the time is over or the connection
 * closes.
 */
export async function pour({ socket }: Member, endMs: number, next: (index: number) => string | null): Promise<void> {
  for (let i = 0; !socket.destroyed && performance.now() < endMs; i++) {
    const piece = next(i);
    if (piece === null) return;
    const isTaken = socket.write(Buffer.from(piece, "latin1"));
    await (isTaken ? turn() : drained(socket, endMs));
  }
}

function drained(socket: net.Socket, endMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, Math.max(0, endMs - performance.now()));
    function end(): void {
      clearTimeout(timer);
      socket.off("drain", end);
      socket.off("close", end);
      resolve();
    }
    socket.once("drain", end);
    socket.once("close", end);
  });
}
