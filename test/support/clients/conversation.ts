/**
 * Sends a stream of commands to a server and records the replies, so that memcached and Platypus can be compared.
 *
 * Commands go one by one, or a whole section at once, cut into pieces. One by one, a `version` follows each command: its
 * reply shows that the command was answered.
 */
import net from "node:net";
import { setImmediate as turn } from "node:timers/promises";

const SENTINEL = "version\r\n";
const SENTINEL_ANSWER = /VERSION [^\r\n]*\r\n$/;

/** A command; what is long or not known yet is put in when it is sent, so that a failure can be read. */
export interface Command {
  readonly before: string;
  /** Between `before` and `after` stands the cas number that the last `gets` of this key was answered with. */
  readonly casOf?: string;
  /** Between `before` and `after` stand that many bytes. */
  readonly padding?: number;
  readonly after?: string;
}

/** Commands, and how they are sent. */
export interface Stream {
  /** Between two sections all answers are awaited, so that the next one can use cas numbers of the one before. */
  readonly sections: readonly (readonly Command[])[];
  /** Bytes behind the last section, after which the client says that it sends no more. */
  readonly tail: string;
  /** Lengths of the pieces that a server gets that is not asked one by one, again and again. */
  readonly pieces: readonly number[];
}

/** A command with nothing to be put in. */
export function plain(text: string): Command {
  return { before: text };
}

/**
 * That many bytes, in lines: refused data is read as commands, and whether a line over 2 KiB closes the connection
 * depends on how it arrives.
 */
export function linesOf(length: number): string {
  return `${"v".repeat(999)}\n`.repeat(Math.ceil(length / 1_000)).slice(0, length);
}

/** A conversation: bytes out, everything that comes back. */
class Conversation {
  private readonly chunks: Buffer[] = [];
  private readonly socket: net.Socket;
  private isClosed = false;
  private last = Buffer.alloc(0);
  private wake: () => void = () => {};

  constructor(port: number) {
    this.socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
    // A reset is an end like any other: what was answered before counts.
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.isClosed = true;
      this.wake();
    });
    this.socket.on("data", (chunk) => {
      this.chunks.push(chunk);
      this.last = Buffer.concat([this.last, chunk]).subarray(-100);
      this.wake();
    });
  }

  /** Sends `text` in pieces of these lengths, each in a separate turn. */
  async send(text: string, pieces: readonly number[]): Promise<void> {
    const bytes = Buffer.from(text, "latin1");
    for (let at = 0, i = 0; at < bytes.length; i++) {
      // Large values are not cut small: the time is better spent on other streams.
      const length = bytes.length - at > 20_000 ? 100_000 : pieces[i % pieces.length]!;
      this.socket.write(bytes.subarray(at, at + length));
      at += length;
      if (at < bytes.length) await turn();
    }
  }

  /** Sends `text` and a question whose answer comes last; returns what was answered before it, or until the end. */
  async ask(text: string, pieces: readonly number[]): Promise<string> {
    await this.send(text + SENTINEL, pieces);
    while (!this.isClosed && !SENTINEL_ANSWER.test(this.last.toString("latin1"))) await this.something();
    return this.take().replace(SENTINEL_ANSWER, "");
  }

  /** Sends `text` and the end of the stream; returns what was answered until the other side closed. */
  async finish(text: string, pieces: readonly number[]): Promise<string> {
    await this.send(text, pieces);
    this.socket.end();
    while (!this.isClosed) await this.something();
    return this.take();
  }

  close(): void {
    this.socket.destroy();
  }

  private take(): string {
    const text = Buffer.concat(this.chunks).toString("latin1");
    this.chunks.length = 0;
    this.last = Buffer.alloc(0);
    return text;
  }

  /** Resolves when bytes or the end have come. */
  private something(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

/** A cas number that no server has given out. */
const NO_CAS = "999999999999";
const CAS_LINE = /VALUE ([^ ]+) (\d+) (\d+) (\d+)\r\n/g;

/** The cas numbers that `answers` gave out. */
function noteCas(answers: string, casOf: Map<string, string>): void {
  for (const [, name, , , number] of answers.matchAll(CAS_LINE)) casOf.set(name!, number!);
}

function render(command: Command, casOf: ReadonlyMap<string, string>): string {
  const { before, casOf: name, padding = 0, after = "" } = command;
  return before + (name === undefined ? "" : (casOf.get(name) ?? NO_CAS)) + "L".repeat(padding) + after;
}

/** Answers by section, and to the tail, with the cas numbers replaced. */
export async function converse(port: number, stream: Stream, isOneByOne: boolean): Promise<string[]> {
  const conversation = new Conversation(port);
  const pieces = isOneByOne ? [1_000_000] : stream.pieces;
  const casOf = new Map<string, string>();
  const answers: string[] = [];
  try {
    for (const section of stream.sections) {
      const texts = section.map((command) => render(command, casOf));
      let answer = "";
      if (isOneByOne) for (const text of texts) answer += await conversation.ask(text, pieces);
      else answer = await conversation.ask(texts.join(""), pieces);
      noteCas(answer, casOf);
      answers.push(answer);
    }
    answers.push(await conversation.finish(stream.tail, pieces));
  } finally {
    conversation.close();
  }
  return answers.map((answer) => answer.replace(CAS_LINE, "VALUE $1 $2 $3 cas\r\n"));
}
