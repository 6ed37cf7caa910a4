/**
 * Stands between Platypus and a server, and looks at everything the server receives: each line must be of the canonical
 * grammar of docs/protocols.md, each key must begin with the prefix, each data block must end where its line says.
 */
import { once } from "node:events";
import net from "node:net";

const KEY = "[^\\0\\n ]{1,250}";
const UNSIGNED = "(?:0|[1-9]\\d{0,19})";
const SIGNED = "(?:0|-?[1-9]\\d{0,9})";
const FLAG = [
  "[bcfhklqstuvxI]",
  `[TNR](?:${SIGNED})?`,
  `F(?:${UNSIGNED})?`,
  `[CEDJ](?:${UNSIGNED})?`,
  "O[^\\0\\n ]*",
  "[A-Za-z][\\x21-\\x7e\\x80-\\xff]*",
].join("|");
const FLAGS = `(?: (?:${FLAG}))*`;

/** Lines without data; the key is the first group. */
const LINES = [
  `(?:get|gets) (${KEY})(?: (?:${KEY}))*`,
  `(?:gat|gats) ${SIGNED} (${KEY})(?: (?:${KEY}))*`,
  `delete (${KEY})`,
  `(?:incr|decr) (${KEY}) ${UNSIGNED}`,
  `touch (${KEY}) ${SIGNED}`,
  `(?:mg|md|ma) (${KEY})${FLAGS}`,
  `me (${KEY})(?: b b)?`,
].map((form) => new RegExp(`^${form}$`, "s"));
/** Lines with data: key and length are the groups. */
const DATA_LINES = [
  `(?:set|add|replace|append|prepend) (${KEY}) ${UNSIGNED} ${SIGNED} (${UNSIGNED})`,
  `cas (${KEY}) ${UNSIGNED} ${SIGNED} (${UNSIGNED}) ${UNSIGNED}`,
  `ms (${KEY}) (${UNSIGNED})${FLAGS}`,
].map((form) => new RegExp(`^${form}$`, "s"));
const BARE = new RegExp(`^(?:mn|version|stats(?: \\w+)*|flush_all(?: ${SIGNED})?)$`);

/** A relay that listens to what is asked. */
export class StrictRelay {
  readonly port: number;
  /** What a server should never have received. */
  readonly wrong: string[] = [];
  lines = 0;
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();
  private readonly prefix: string;

  private constructor(server: net.Server, serverPort: number, prefix: string) {
    this.server = server;
    this.prefix = prefix;
    this.port = (server.address() as net.AddressInfo).port;
    server.on("connection", (near) => {
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
        one.pipe(other);
      }
      let unread = "";
      near.on("data", (chunk: Buffer) => {
        unread = this.read(unread + chunk.toString("latin1"));
      });
    });
  }

  /** In front of the server on `serverPort`, whose keys all begin with `prefix`. */
  static async start(serverPort: number, prefix: string): Promise<StrictRelay> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new StrictRelay(server, serverPort, prefix);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  /** Checks the whole commands in `text`; returns what is left. */
  private read(text: string): string {
    let rest = text;
    for (;;) {
      const end = rest.indexOf("\n");
      if (end < 0) return rest;
      const line = rest.slice(0, end - 1);
      const data = DATA_LINES.map((form) => form.exec(line)).find((match) => match !== null);
      const length = data === undefined ? 0 : Number(data[2]) + 2;
      if (rest.length < end + 1 + length) return rest;
      this.lines++;
      if (rest[end - 1] !== "\r") this.wrong.push(`no CR LF: ${JSON.stringify(line)}`);
      this.check(line, data);
      if (length > 0 && !rest.slice(0, end + 1 + length).endsWith("\r\n")) this.wrong.push(`data of ${line}`);
      rest = rest.slice(end + 1 + length);
    }
  }

  private check(line: string, data: RegExpExecArray | undefined): void {
    if (BARE.test(line)) return;
    const match = data ?? LINES.map((form) => form.exec(line)).find((each) => each !== null);
    if (match === undefined) {
      this.wrong.push(`not canonical: ${JSON.stringify(line)}`);
      return;
    }
    if (/^(?:get|gets|delete|bget) (?:.* )?noreply$/s.test(line))
      this.wrong.push(`noreply ends ${JSON.stringify(line)}`);
    const [verb = "", ...words] = line.split(" ");
    const keys = verb.startsWith("gat") ? words.slice(1) : /^gets?$/.test(verb) ? words : words.slice(0, 1);
    const isBase64 = /^m[gsdae] /.test(line) && words.slice(1).includes("b");
    for (const key of keys) {
      const text = isBase64 ? Buffer.from(key, "base64").toString("latin1") : key;
      if (!text.startsWith(this.prefix)) this.wrong.push(`without the prefix: ${JSON.stringify(line)}`);
    }
  }
}
