/**
 * Clients that know what they may be told. Each has keys of its own and remembers what they can hold; an answer that none of
 * that explains has reached the wrong request. A failure (SERVER_ERROR, a miss) is no wrong answer; where a write fails the
 * key is given up, as nobody can say whether, and when, the server carries it out.
 */
import { arithmetic, BinaryClient, type Frame, words } from "../support/binary-client.ts";
import { TextClient } from "../support/text-client.ts";
import { FuzzFailure } from "./deadline.ts";
import type { Random } from "./random.ts";

const KEYS = 6;
const FAILED = /^(?:SERVER_ERROR |CLIENT_ERROR |ERROR)/;

/** What a key holds: null is nothing. */
interface Key {
  readonly name: string;
  value: string | null;
}

/** The keys of one client. */
class Keys {
  private readonly random: Random;
  private readonly prefix: string;
  private readonly keys: Key[] = [];
  private made = 0;

  constructor(random: Random, prefix: string) {
    this.random = random;
    this.prefix = prefix;
    for (let i = 0; i < KEYS; i++) this.keys.push(this.make());
  }

  pick(): Key {
    return this.random.pick(this.keys);
  }

  /** Puts another key in the place of one that nobody knows about any more. */
  giveUp(key: Key): void {
    const at = this.keys.indexOf(key);
    if (at >= 0) this.keys[at] = this.make();
  }

  private make(): Key {
    return { name: `${this.prefix}:${this.made++}`, value: null };
  }
}

/** A command, and what is made of its answer. */
interface Step {
  readonly sent: string;
  /** Takes the answer out of what the client receives. Throws a FuzzFailure where it cannot be the answer. */
  readonly take: (client: TextClient) => Promise<void>;
}

/** Wrong: told something that was not the answer. */
function wrong(sent: string, told: string, expected: string): FuzzFailure {
  return new FuzzFailure(`${JSON.stringify(sent)} was told ${JSON.stringify(told)}, expected ${expected}`);
}

/** What all of them share. */
export abstract class HonestClient {
  protected readonly random: Random;
  protected readonly keys: Keys;
  private values = 0;

  protected constructor(random: Random, name: string) {
    this.random = random;
    this.keys = new Keys(random, name);
  }

  /** Asks a batch of commands. Resolves to their number; throws a FuzzFailure for a wrong answer. */
  abstract ask(): Promise<number>;

  abstract close(): void;

  protected newValue(): string {
    if (this.random.oneIn(4)) return String(this.random.below(1_000_000));
    return `<${this.random.below(2 ** 30)}:${this.values++}${".".repeat(this.random.below(80))}>`;
  }

  /** A command was answered with the line `told`, where `expected` is right; the key then holds `after`. */
  protected settle(key: Key, sent: string, told: string, expected: string, after: string | null): void {
    if (FAILED.test(told)) this.keys.giveUp(key);
    else if (told !== expected) throw wrong(sent, told, expected);
    else key.value = after;
  }
}

/** A client of the text protocol, classic and meta commands. */
export class HonestTextClient extends HonestClient {
  private readonly client: TextClient;
  private readonly isMeta: boolean;

  private constructor(client: TextClient, random: Random, name: string, isMeta: boolean) {
    super(random, name);
    this.client = client;
    this.isMeta = isMeta;
  }

  static async connect(port: number, random: Random, name: string, isMeta: boolean): Promise<HonestTextClient> {
    return new HonestTextClient(await TextClient.connect(port), random, name, isMeta);
  }

  async ask(): Promise<number> {
    const count = this.random.oneIn(2) ? 1 : 1 + this.random.below(20);
    const steps: Step[] = [];
    // Of one key only the first is known beforehand: so a batch has one command for each.
    const asked = new Set<Key>();
    for (let i = 0; i < count; i++) {
      const key = this.keys.pick();
      if (asked.has(key)) continue;
      asked.add(key);
      steps.push(this.isMeta ? this.metaStep(key) : this.classicStep(key));
    }
    this.client.send(steps.map(({ sent }) => sent).join(""));
    for (const { take } of steps) await take(this.client);
    return steps.length;
  }

  close(): void {
    this.client.close();
  }

  private line(sent: string, read: (told: string) => void): Step {
    return { sent, take: async (client) => read((await client.until("\r\n")).slice(0, -2)) };
  }

  private classicStep(key: Key): Step {
    const { name, value } = key;
    const next = this.newValue();
    const isNumber = value !== null && /^\d+$/.test(value);
    switch (this.random.below(9)) {
      case 0:
      case 1: {
        const sent = `set ${name} 0 0 ${next.length}\r\n${next}\r\n`;
        return this.line(sent, (told) => this.settle(key, sent, told, "STORED", next));
      }
      case 2: {
        const sent = `set ${name} 0 0 ${next.length} noreply\r\n${next}\r\nget ${name}\r\n`;
        return {
          sent,
          take: async (client) => {
            const told = await readValue(client, name, sent);
            // A write that nobody is told of may have failed.
            if (told === null) this.keys.giveUp(key);
            else if (told !== next && told !== value) throw wrong(sent, told, next);
            else key.value = told;
          },
        };
      }
      case 3: {
        const sent = `add ${name} 0 0 ${next.length}\r\n${next}\r\n`;
        const expected = value === null ? "STORED" : "NOT_STORED";
        return this.line(sent, (told) => this.settle(key, sent, told, expected, value ?? next));
      }
      case 4: {
        const sent = `delete ${name}\r\n`;
        return this.line(sent, (told) => this.settle(key, sent, told, value === null ? "NOT_FOUND" : "DELETED", null));
      }
      case 5: {
        if (value !== null && !isNumber) return this.classicStep(key);
        const sent = `incr ${name} 3\r\n`;
        const after = value === null ? null : String(Number(value) + 3);
        return this.line(sent, (told) => this.settle(key, sent, told, after ?? "NOT_FOUND", after));
      }
      case 6: {
        const sent = `touch ${name} 1000\r\n`;
        return this.line(sent, (told) => this.settle(key, sent, told, value === null ? "NOT_FOUND" : "TOUCHED", value));
      }
      default: {
        const sent = `${this.random.oneIn(2) ? "get" : "gets"} ${name}\r\n`;
        return {
          sent,
          take: async (client) => {
            const told = await readValue(client, name, sent);
            if (told !== null && told !== value) throw wrong(sent, told, String(value));
          },
        };
      }
    }
  }

  private metaStep(key: Key): Step {
    const { name, value } = key;
    const next = this.newValue();
    const opaque = this.random.oneIn(2) ? ` O${this.random.below(9)}` : "";
    switch (this.random.below(6)) {
      case 0:
      case 1: {
        const sent = `ms ${name} ${next.length}${opaque}\r\n${next}\r\n`;
        return this.line(sent, (told) => this.settle(key, sent, told, `HD${opaque}`, next));
      }
      case 2: {
        const sent = `md ${name}${opaque}\r\n`;
        const code = value === null ? "NF" : "HD";
        return this.line(sent, (told) => this.settle(key, sent, told, `${code}${opaque}`, null));
      }
      case 3: {
        const sent = `ms ${name} ${next.length} ME${opaque} q\r\n${next}\r\nmn\r\n`;
        const expected = value === null ? "MN" : `NS${opaque}`;
        return {
          sent,
          take: async (client) => {
            const told = (await client.until("\r\n")).slice(0, -2);
            this.settle(key, sent, told, expected, value ?? next);
            if (told !== "MN") await client.until("MN\r\n");
          },
        };
      }
      default: {
        const flags = this.random.pick([" v", " v k", " v f c", " v t"]);
        const sent = `mg ${name}${flags}${opaque}\r\n`;
        return {
          sent,
          take: async (client) => {
            const told = (await client.until("\r\n")).slice(0, -2);
            if (told.startsWith("EN") || FAILED.test(told)) return;
            const [code, length, ...rest] = told.split(" ");
            if (code !== "VA") throw wrong(sent, told, String(value));
            const text = (await client.take(Number(length) + 2)).slice(0, -2);
            const echo = rest.filter((word) => word[0] === "O").join("");
            if (text !== value || echo !== opaque.trim()) throw wrong(sent, `${told} ${text}`, String(value));
          },
        };
      }
    }
  }
}

/** The value in the answer to a get of one key; null: none. */
async function readValue(client: TextClient, name: string, sent: string): Promise<string | null> {
  const line = (await client.until("\r\n")).slice(0, -2);
  if (line === "END" || FAILED.test(line)) return null;
  const [word, key, , length] = line.split(" ");
  if (word !== "VALUE" || key !== name) throw wrong(sent, line, `a value of ${name}`);
  const value = (await client.take(Number(length) + 2)).slice(0, -2);
  const end = await client.until("\r\n");
  if (end !== "END\r\n") throw wrong(sent, end, "END");
  return value;
}

const GETK = 0x0c;
const GETKQ = 0x0d;
const SET = 0x01;
const SETQ = 0x11;
const DELETE = 0x04;
const INCREMENT = 0x05;
const MISSING = 1;
/** A server's errors, and the answer to a request that one found wrong. */
const FAILURE = 0x80;
const INVALID = 4;

/** A client of the binary protocol. */
export class HonestBinaryClient extends HonestClient {
  private readonly client: BinaryClient;

  private constructor(client: BinaryClient, random: Random, name: string) {
    super(random, name);
    this.client = client;
  }

  static async connect(port: number, random: Random, name: string): Promise<HonestBinaryClient> {
    return new HonestBinaryClient(await BinaryClient.connect(port), random, name);
  }

  async ask(): Promise<number> {
    const asked = new Map<number, { readonly key: Key; readonly frame: Frame; readonly next: string }>();
    const keys = new Set<Key>();
    for (let i = 0; i < 1 + this.random.below(6); i++) {
      const key = this.keys.pick();
      if (keys.has(key)) continue;
      keys.add(key);
      const next = this.newValue();
      const opcode = this.random.pick([GETK, GETKQ, SET, SETQ, DELETE, INCREMENT]);
      // What is no number is not counted up.
      if (opcode === INCREMENT && key.value !== null && !/^\d+$/.test(key.value)) continue;
      const isSet = opcode === SET || opcode === SETQ;
      const more = isSet ? { extras: words(0, 0), value: next } : {};
      const extras = opcode === INCREMENT ? { extras: arithmetic(3n, 0n, 0xffffffff) } : {};
      asked.set(i, { key, next, frame: { opcode, key: key.name, opaque: i, ...more, ...extras } });
    }
    const answers = await this.client.ask([...asked.values()].map(({ frame }) => frame));
    const told = new Map(answers.map((answer) => [answer.opaque, answer]));
    if (told.size !== answers.length) throw new FuzzFailure("two answers with one opaque");
    for (const [opaque, { key, frame, next }] of asked) {
      const answer = told.get(opaque);
      const sent = JSON.stringify(frame);
      const isFailed = answer !== undefined && (answer.status >= FAILURE || answer.status === INVALID);
      switch (frame.opcode) {
        case GETK:
        case GETKQ:
          if (answer !== undefined && answer.status === 0 && answer.value !== key.value) {
            throw wrong(sent, answer.value, String(key.value));
          }
          break;
        case SET:
        case SETQ:
          if (isFailed) this.keys.giveUp(key);
          else if (answer === undefined ? frame.opcode === SET : answer.status !== 0) throw wrong(sent, "no", "stored");
          else key.value = next;
          break;
        case DELETE:
          if (isFailed) this.keys.giveUp(key);
          else if (answer?.status !== (key.value === null ? MISSING : 0)) throw wrong(sent, String(answer?.status), "");
          else key.value = null;
          break;
        default: {
          const after = key.value === null ? null : String(Number(key.value) + 3);
          if (isFailed) this.keys.giveUp(key);
          else if (after === null ? answer?.status !== MISSING : numberOf(answer?.value) !== after) {
            throw wrong(sent, `${answer?.status} ${numberOf(answer?.value)}`, String(after));
          } else key.value = after;
        }
      }
    }
    return asked.size;
  }

  close(): void {
    this.client.close();
  }
}

function numberOf(value: string | undefined): string {
  return value?.length === 8 ? String(Buffer.from(value, "latin1").readBigUInt64BE()) : "";
}
