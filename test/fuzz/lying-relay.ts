/**
 * Stands between Platypus and a real memcached, and falsifies one reply in ten: it doubles it, drops it, delays it, swaps it
 * with a later one, cuts it off or invents another. Requests reach the server unchanged.
 *
 * Two falsified replies together may look correct (docs/protocols.md, "These cases cannot be verified"). So after a reply that
 * was cut off, the connection tells the truth for a while: later bytes could complete the value exactly, and an invented error
 * could stand in its place. The same holds after any falsified reply of a server without opaques, whose markers are all alike.
 */
import { once } from "node:events";
import net from "node:net";
import type { Random } from "./random.ts";

/** Answers that are true behind such a lie. */
const TRUTHS_BEHIND_LIE = 60;
/** One reply in this many is falsified. */
const LIES_ONCE_IN = 10;
const INVENTED: readonly string[] = [
  ...["STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED", "TOUCHED", "OK", "END", "7", "MN", "HD", "EN", "NF"],
  ...["HD HD", "VERSION 1.6.18", "SERVER_ERROR out of memory", "CLIENT_ERROR bad data chunk", "ERROR"],
];

export const LIES = ["double", "drop", "delay", "swap", "cut", "invent"] as const;
export type Lie = (typeof LIES)[number];

/** An answer that was held back, and how many answers are to pass it. */
interface LateAnswer {
  readonly bytes: Buffer;
  left: number;
}

/** A relay to the server on `serverPort`. */
export class LyingRelay {
  readonly port: number;
  /** Source of randomness for falsified replies. `null` if all replies are passed on unchanged. */
  random: Random | null = null;
  /** The reply to `version`. `null` for the server's reply. */
  version: string | null = null;
  /** Lies told, by their kind. */
  readonly told: Record<Lie, number> = { double: 0, drop: 0, delay: 0, swap: 0, cut: 0, invent: 0 };
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();

  private constructor(server: net.Server, serverPort: number) {
    this.server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on("connection", (socket) => this.relay(socket, serverPort));
  }

  static async start(serverPort: number): Promise<LyingRelay> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new LyingRelay(server, serverPort);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  private relay(near: net.Socket, serverPort: number): void {
    const far = net.connect({ host: "127.0.0.1", port: serverPort, noDelay: true });
    near.setNoDelay(true);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        this.sockets.delete(one);
        other.destroy();
      });
    }
    near.pipe(far);
    let unread: Buffer = Buffer.alloc(0);
    const late: LateAnswer[] = [];
    let truths = 0;
    /** The last lie was to cut an answer off. */
    let isCut = false;
    far.on("data", (chunk) => {
      unread = Buffer.concat([unread, chunk]);
      const out: Buffer[] = [];
      for (let length = answerLength(unread); length > 0; length = answerLength(unread)) {
        const isVersion = this.version !== null && unread.toString("latin1", 0, 8) === "VERSION ";
        const answer = isVersion ? Buffer.from(`VERSION ${this.version}\r\n`) : unread.subarray(0, length);
        unread = unread.subarray(length);
        const told = truths-- > 0 ? [answer] : this.lie(answer, late);
        const isLie = told.length !== 1 || told[0] !== answer;
        if (isLie) isCut = told.length === 1;
        if (isLie && (isCut || this.version !== null)) truths = TRUTHS_BEHIND_LIE;
        out.push(...told);
        for (const each of late) each.left--;
        while (!(isCut && truths > 0) && late[0] !== undefined && late[0].left < 0) out.push(late.shift()!.bytes);
      }
      if (out.length > 0 && !near.destroyed) near.write(Buffer.concat(out));
    });
  }

  private lie(answer: Buffer, late: LateAnswer[]): Buffer[] {
    const { random } = this;
    if (random === null || !random.oneIn(LIES_ONCE_IN)) return [answer];
    const lie = random.pick(LIES);
    this.told[lie]++;
    switch (lie) {
      case "double":
        return [answer, answer];
      case "drop":
        return [];
      case "delay":
        late.push({ bytes: Buffer.from(answer), left: 2 + random.below(20) });
        return [];
      case "swap":
        late.push({ bytes: Buffer.from(answer), left: 1 });
        return [];
      case "cut":
        return [answer.subarray(0, random.below(answer.length))];
      case "invent":
        return [Buffer.from(`${random.pick(INVENTED)}\r\n`, "latin1"), answer];
    }
  }
}

/** Bytes of the whole answer at the beginning of `bytes`; 0: it is not whole yet. */
export function answerLength(bytes: Buffer): number {
  let at = 0;
  for (;;) {
    const lineFeed = bytes.indexOf("\r\n", at);
    if (lineFeed < 0) return 0;
    const words = bytes.toString("latin1", at, lineFeed).split(" ");
    const next = lineFeed + 2;
    if (words[0] === "VA") {
      const end = next + Number(words[1]) + 2;
      return end <= bytes.length ? end : 0;
    }
    if (words[0] === "VALUE") at = next + Number(words[3]) + 2;
    else if (words[0] === "STAT") at = next;
    else return next;
    if (at > bytes.length) return 0;
  }
}
