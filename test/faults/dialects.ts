/** Three ways to ask: classic and meta text commands, and binary frames. Each verifies that an answer can be one to its request. */
import { BinaryClient, type Frame, words } from "../support/clients/binary-client.ts";
import { TextClient } from "../support/clients/text-client.ts";

/** An answer that cannot be one to its request. */
export class WrongAnswer extends Error {}

/** The connection ended while an answer was due. */
export class ConnectionClosed extends Error {}

/** The connection was not taken: too many are open. */
export class ConnectionRefused extends Error {}

export type Outcome = "done" | "absent" | "failed";

/** One connection. Each method sends one request; an answer is due to it before the next. */
export interface Dialect {
  set(key: string, value: string): Promise<Outcome>;
  remove(key: string): Promise<Outcome>;
  /** A value, or `null` for a miss, for each key; "failed" if the request was refused. */
  get(keys: readonly string[]): Promise<(string | null)[] | "failed">;
  close(): void;
}

const FAILED = /^SERVER_ERROR /;
const REFUSED = "ERROR Too many open connections";

function wrong(asked: string, told: string): WrongAnswer {
  return new WrongAnswer(`${JSON.stringify(asked)} was told ${JSON.stringify(told.slice(0, 200))}`);
}

/** A text connection: what both forms of text commands need. */
class TextConnection {
  protected readonly client: TextClient;

  constructor(client: TextClient) {
    this.client = client;
  }

  close(): void {
    this.client.close();
  }

  protected async line(): Promise<string> {
    const line = (await orClosed(this.client.until("\r\n"))).slice(0, -2);
    if (line === REFUSED) throw new ConnectionRefused(line);
    return line;
  }

  protected async data(length: number): Promise<string> {
    return (await orClosed(this.client.take(length + 2))).slice(0, -2);
  }

  /** Sends one command and reads its answer of one line. */
  protected async outcome(command: string, answers: Readonly<Record<string, Outcome>>): Promise<Outcome> {
    this.client.send(command);
    const told = await this.line();
    const outcome = FAILED.test(told) ? "failed" : answers[told];
    if (outcome === undefined) throw wrong(command.slice(0, 80), told);
    return outcome;
  }
}

class ClassicDialect extends TextConnection implements Dialect {
  set(key: string, value: string): Promise<Outcome> {
    return this.outcome(`set ${key} 0 0 ${value.length}\r\n${value}\r\n`, { STORED: "done" });
  }

  remove(key: string): Promise<Outcome> {
    return this.outcome(`delete ${key}\r\n`, { DELETED: "done", NOT_FOUND: "absent" });
  }

  async get(keys: readonly string[]): Promise<(string | null)[] | "failed"> {
    const asked = `get ${keys.join(" ")}\r\n`;
    this.client.send(asked);
    const values: (string | null)[] = keys.map(() => null);
    let place = 0;
    for (;;) {
      const told = await this.line();
      if (told === "END") return values;
      if (FAILED.test(told)) return "failed";
      const [word, key, , length] = told.split(" ");
      while (place < keys.length && keys[place] !== key) place++;
      if (word !== "VALUE" || place === keys.length) throw wrong(asked, told);
      values[place++] = await this.data(Number(length));
    }
  }
}

class MetaDialect extends TextConnection implements Dialect {
  private opaque = 0;

  set(key: string, value: string): Promise<Outcome> {
    const opaque = this.opaque++;
    return this.outcome(`ms ${key} ${value.length} O${opaque}\r\n${value}\r\n`, { [`HD O${opaque}`]: "done" });
  }

  remove(key: string): Promise<Outcome> {
    const opaque = this.opaque++;
    return this.outcome(`md ${key} O${opaque}\r\n`, { [`HD O${opaque}`]: "done", [`NF O${opaque}`]: "absent" });
  }

  async get(keys: readonly string[]): Promise<(string | null)[] | "failed"> {
    const first = this.opaque;
    this.opaque += keys.length;
    const asked = keys.map((key, i) => `mg ${key} v k O${first + i}\r\n`).join("");
    this.client.send(asked);
    const values: (string | null)[] = [];
    let isFailed = false;
    for (const [i, key] of keys.entries()) {
      const told = await this.line();
      const [word, length, ...flags] = told.split(" ");
      if (FAILED.test(told)) isFailed = true;
      else if (word === "EN") values.push(null);
      else if (word === "VA" && flags.join(" ") === `k${key} O${first + i}`)
        values.push(await this.data(Number(length)));
      else throw wrong(asked, told);
    }
    return isFailed ? "failed" : values;
  }
}

const GETK = 0x0c;
const SET = 0x01;
const DELETE = 0x04;
const MISSING = 1;
/** Errors of a server begin here. */
const FAILURE = 0x80;

class BinaryDialect implements Dialect {
  private readonly client: BinaryClient;

  constructor(client: BinaryClient) {
    this.client = client;
  }

  set(key: string, value: string): Promise<Outcome> {
    return this.outcome({ opcode: SET, key, value, extras: words(0, 0) });
  }

  remove(key: string): Promise<Outcome> {
    return this.outcome({ opcode: DELETE, key });
  }

  async get(keys: readonly string[]): Promise<(string | null)[] | "failed"> {
    const answers = await this.ask(keys.map((key, opaque) => ({ opcode: GETK, key, opaque })));
    if (answers.some(({ status }) => status >= FAILURE)) return "failed";
    return answers.map(({ status, key, value }, i) => {
      if (status === MISSING) return null;
      if (status !== 0 || key !== keys[i]) throw wrong(`binary get ${keys[i]}`, `${status} ${key} ${value}`);
      return value;
    });
  }

  close(): void {
    this.client.close();
  }

  private async outcome(frame: Frame): Promise<Outcome> {
    const [answer] = await this.ask([frame]);
    const { status } = answer!;
    if (status >= FAILURE) return "failed";
    if (status !== 0 && status !== MISSING) throw wrong(`binary ${frame.opcode} ${frame.key}`, String(status));
    return status === 0 ? "done" : "absent";
  }

  /** One answer for each frame, in order. */
  private async ask(frames: readonly Frame[]) {
    const answers = await this.client.ask(frames).catch((error: unknown) => {
      // It is refused in text, before it has said which protocol it speaks.
      throw String(error).includes(Buffer.from(REFUSED).toString("hex", 0, 20))
        ? new ConnectionRefused(REFUSED)
        : error;
    });
    if (this.client.isClosed) throw new ConnectionClosed("closed");
    const isInOrder =
      answers.length === frames.length && answers.every(({ opaque }, i) => opaque === (frames[i]!.opaque ?? 0));
    if (!isInOrder) throw wrong(`${frames.length} frames`, `${answers.length} answers: ${JSON.stringify(answers)}`);
    return answers;
  }
}

async function orClosed<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw new ConnectionClosed(String(error).slice(0, 200));
  }
}

/** A connection to Platypus, in each of the three ways. */
export const dialects = {
  classic: async (port: number): Promise<Dialect> => new ClassicDialect(await TextClient.connect(port)),
  meta: async (port: number): Promise<Dialect> => new MetaDialect(await TextClient.connect(port)),
  binary: async (port: number): Promise<Dialect> => new BinaryDialect(await BinaryClient.connect(port)),
};
