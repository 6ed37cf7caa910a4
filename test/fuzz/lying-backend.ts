/**
 * A memcached that has every key, with a value that tells which key it belongs to; and that lies when it is told to:
 * answers are broken, cut short, run together, swapped, doubled, left out, or the connection ends.
 *
 * What no proxy can see through is not told: an answer to `mg` without `k` names no key, so `mg` is to be asked with it.
 */
import { once } from "node:events";
import net from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { ScriptedConnection } from "../support/servers/scripted-backend.ts";
import { mutate, pieces } from "./mutate.ts";
import type { Random } from "./random.ts";

/** The value of a key: whole values of two keys never have the same length. */
export function wholeValue(key: string): string {
  const number = Number(/\d+$/.exec(key)?.[0] ?? 0);
  return `<${key}|${"v".repeat(7 * number)}|${key}>`;
}

/** The key whose whole value is `value`. `null` if there is no such key. */
export function ownerOf(value: string): string | null {
  const key = /^<([^|]*)\|v*\|\1>$/.exec(value)?.[1] ?? null;
  return key !== null && wholeValue(key) === value ? key : null;
}

interface Answers {
  readonly connection: ScriptedConnection;
  waiting: Buffer[];
}

export class LyingBackend {
  /** Source of randomness for falsified replies. `null` if all replies are correct. */
  lies: Random | null = null;
  readonly port: number;
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();

  private constructor(server: net.Server) {
    this.server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on("connection", (socket) => this.accept(socket));
  }

  static async start(): Promise<LyingBackend> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new LyingBackend(server);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  private accept(socket: net.Socket): void {
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    const connection: ScriptedConnection = new ScriptedConnection(socket, (line) => {
      const answer = Buffer.from(truth(line), "latin1");
      if (answers.waiting.length === 0) setImmediate(() => void this.tell(answers));
      answers.waiting.push(answer);
    });
    const answers: Answers = { connection, waiting: [] };
  }

  /** Answers what came in one turn. */
  private async tell(answers: Answers): Promise<void> {
    const told = answers.waiting;
    answers.waiting = [];
    const { socket } = answers.connection;
    const random = this.lies;
    if (random === null) {
      socket.write(Buffer.concat(told));
      return;
    }
    for (let times = random.below(4); times > 0; times--) lie(random, told);
    for (const piece of pieces(random, Buffer.concat(told))) {
      if (socket.destroyed) return;
      socket.write(piece);
      await turn();
    }
    if (random.oneIn(8)) socket.destroy();
    else if (random.oneIn(16)) socket.resetAndDestroy();
  }
}

const INSERTED: readonly string[] = [
  ...[
    "END\r\n",
    "ERROR\r\n",
    "CLIENT_ERROR bad\r\n",
    "SERVER_ERROR out of memory\r\n",
    "STORED\r\n",
    "HD\r\n",
    "EN\r\n",
  ],
  ...["MN\r\n", "\r\n", "VALUE a 0 5\r\n", "VA 99999999999 \r\n", "VALUE key1 0 -1\r\n", "VERSION 1\r\n", "5\r\n"],
];

/** Makes one thing wrong with `told`. */
function lie(random: Random, told: Buffer[]): void {
  const at = random.below(told.length);
  const other = random.below(told.length);
  const answer = told[at] ?? Buffer.alloc(0);
  switch (random.below(8)) {
    case 0:
      told[at] = mutate(random, answer);
      break;
    case 1:
      told[at] = answer.subarray(0, random.below(answer.length + 1));
      break;
    case 2:
      told[at] = told[other] ?? answer;
      told[other] = answer;
      break;
    case 3:
      told.splice(at, 0, answer);
      break;
    case 4:
      told.splice(at, 1);
      break;
    case 5:
      told.splice(at, 0, Buffer.from(random.pick(INSERTED), "latin1"));
      break;
    case 6:
      told[at] = random.bytes(random.below(100));
      break;
    default:
      told.splice(at, 0, Buffer.from(truth(`get key${random.below(KEY_COUNT)}`), "latin1"));
  }
}

/** Keys are `key0` and on, below this. */
export const KEY_COUNT = 24;

/** What a memcached with every key answers. */
function truth(line: string): string {
  const [verb, ...words] = line.split(" ");
  switch (verb) {
    case "version":
      return "VERSION 1.6.18\r\n";
    case "get":
    case "gets":
      return values(words, verb === "gets");
    case "gat":
    case "gats":
      return values(words.slice(1), verb === "gats");
    case "mg":
      return metaGet(words[0]!, words.slice(1));
    case "ms":
    case "md":
      return `HD${returned(words.slice(1), { c: " c7" })}\r\n`;
    case "ma":
      return `VA 1${returned(words.slice(1), {})}\r\n5\r\n`;
    case "mn":
      return "MN\r\n";
    case "delete":
      return "DELETED\r\n";
    case "incr":
      return "5\r\n";
    default:
      return "STORED\r\n";
  }
}

function values(keys: readonly string[], hasCas: boolean): string {
  const blocks = keys.map((key) => {
    const value = wholeValue(key);
    return `VALUE ${key} 0 ${value.length}${hasCas ? " 7" : ""}\r\n${value}\r\n`;
  });
  return `${blocks.join("")}END\r\n`;
}

function metaGet(key: string, flags: readonly string[]): string {
  const value = wholeValue(key);
  const words = returned(flags, { k: ` k${key}`, f: " f0", c: " c7", s: ` s${value.length}`, t: " t-1" });
  return flags.includes("v") ? `VA ${value.length}${words}\r\n${value}\r\n` : `HD${words}\r\n`;
}

/** What an answer has of the flags that were asked for. */
function returned(flags: readonly string[], values: Readonly<Record<string, string>>): string {
  return flags.map((flag) => (flag[0] === "O" ? ` ${flag}` : (values[flag] ?? ""))).join("");
}
