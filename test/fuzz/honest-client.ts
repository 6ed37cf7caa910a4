/**
 * Clients that check their replies. Each client has its own keys and remembers which values they can have. A reply that does
 * not fit has reached the wrong request. A failure (SERVER_ERROR, a miss) is not a wrong reply. After a failed write the client
 * no longer uses the key, because the server may execute the write later.
 */
import { arithmetic, BinaryClient, type Frame, words } from "../support/clients/binary-client.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { FuzzFailure } from "./deadline.ts";
import type { Random } from "./random.ts";

const KEYS = 6;
const FAILED = /^(?:SERVER_ERROR |CLIENT_ERROR |ERROR)/;
/** Answers to commands that have changed nothing. */
const UNCHANGED = /^(?:NOT_STORED|NOT_FOUND|EXISTS|NS|NF|TOUCHED)/;
/** What values may look like: answers, and the heads of answers. */
const ANSWERS = [
  "HD O17",
  "END",
  "STORED",
  "7",
  "VALUE a 0 3\r\nabc\r\nEND",
  "VA 2 O9\r\nab",
  "EN",
  "VERSION 1.6.18",
  "MN",
];
const LARGE_BYTES = 40_000;
const NO_CAS = "999999999999";

/** What a key holds: null is nothing. */
interface Key {
  readonly name: string;
  value: string | null;
  /** The cas that the server last returned. `null` if it is unknown or belongs to another value. */
  cas: string | null;
  /** What was asked to be written to it. */
  readonly written: string[];
  /** True if its value is unknown. */
  isLost: boolean;
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

  /** Some of them, each perhaps more than once. */
  some(): Key[] {
    return Array.from({ length: 2 + this.random.below(5) }, () => this.pick());
  }

  /** Replaces a key whose value is unknown by a new key. */
  giveUp(key: Key): void {
    key.isLost = true;
    const at = this.keys.indexOf(key);
    if (at >= 0) this.keys[at] = this.make();
  }

  private make(): Key {
    return { name: `${this.prefix}:${this.made++}`, value: null, cas: null, written: [], isLost: false };
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
  const cut = (text: string) => JSON.stringify(text.length > 400 ? `${text.slice(0, 400)}…` : text);
  return new FuzzFailure(`${cut(sent)} was told ${cut(told)}, expected ${cut(expected)}`);
}

/** True for what a command for `key` may have written, counted up or put together. */
function isOfKey(key: Key, told: string): boolean {
  return key.written.some((value) => {
    if (!/^\d+$/.test(value)) return told.includes(value);
    return (
      told === value ||
      (/^\d+ *$/.test(told) && BigInt(told.trim()) - BigInt(value) <= 300n && BigInt(told.trim()) >= BigInt(value))
    );
  });
}

/** What all of them share. */
export abstract class HonestClient {
  protected readonly random: Random;
  protected readonly keys: Keys;
  /** The servers do not fail: failures and misses are wrong, too. */
  isStrict = false;
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
    const text = `<${this.random.below(2 ** 30)}:${this.values++}${".".repeat(this.random.below(80))}>`;
    if (this.random.oneIn(10)) return `${text}\r\n${this.random.pick(ANSWERS)}`;
    return this.random.oneIn(40) ? text + "#".repeat(this.random.below(LARGE_BYTES)) : text;
  }

  /** A command was answered with the line `told`, where `expected` is right; the key then holds `after`. */
  protected settle(key: Key, sent: string, told: string, expected: string, after: string | null): void {
    if (key.isLost) return;
    if (FAILED.test(told)) this.failed(key, sent, told);
    else if (told !== expected) throw wrong(sent, told, expected);
    else if (!UNCHANGED.test(told)) this.holds(key, after);
  }

  /** From now on `key` holds `value`. */
  protected holds(key: Key, value: string | null): void {
    key.cas = null;
    key.value = value;
  }

  protected failed(key: Key, sent: string, told: string): void {
    if (this.isStrict) throw wrong(sent, told, "no failure");
    this.keys.giveUp(key);
  }

  /** True where the key is not counted up: what is no number is refused, of long ones nothing is known. */
  protected isRefused(key: Key, sent: string, told: string): boolean {
    const { value } = key;
    if (value === null || /^\d{1,18}$/.test(value)) return false;
    if (/^\d+$/.test(value)) this.keys.giveUp(key);
    else if (!key.isLost && !FAILED.test(told)) throw wrong(sent, told, "an error");
    return true;
  }

  /** A get of `key` returned `told`. `null` on a miss. */
  protected got(key: Key, sent: string, told: string | null): void {
    if (key.isLost || (told === null && !this.isStrict)) return;
    if (told === key.value) return;
    if (told === null || this.isStrict || !isOfKey(key, told)) throw wrong(sent, String(told), String(key.value));
    // The answers to this get and to a write behind it were lost: the value is that of a later get (docs/protocols.md).
    this.keys.giveUp(key);
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
    // Commands for one key keep their order, so its value is known when the replies to the commands before have come.
    for (let i = 0; i < count; i++) steps.push(this.isMeta ? this.metaStep() : this.classicStep());
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

  /** A command that changes `key`; `outcome` says what is right now, and what the key holds then. */
  private write(key: Key, sent: string, outcome: () => readonly [expected: string, after: string | null]): Step {
    return this.line(sent, (told) => {
      const [expected, after] = outcome();
      this.settle(key, sent, told, expected, after);
    });
  }

  private classicStep(): Step {
    const key = this.keys.pick();
    const { name } = key;
    const next = this.newValue();
    key.written.push(next);
    switch (this.random.below(13)) {
      case 0:
      case 1:
        return this.write(key, `set ${name} 0 0 ${next.length}\r\n${next}\r\n`, () => ["STORED", next]);
      case 2:
        return this.quietSet(key, next);
      case 3: {
        const sent = `add ${name} 0 0 ${next.length}\r\n${next}\r\n`;
        return this.write(key, sent, () => (key.value === null ? ["STORED", next] : ["NOT_STORED", key.value]));
      }
      case 4:
        return this.write(key, `delete ${name}\r\n`, () => [key.value === null ? "NOT_FOUND" : "DELETED", null]);
      case 5: {
        const sent = `incr ${name} 3\r\n`;
        return this.line(sent, (told) => {
          if (this.isRefused(key, sent, told)) return;
          const { value } = key;
          const after = value === null ? null : String(BigInt(value) + 3n);
          this.settle(key, sent, told, after ?? "NOT_FOUND", after);
        });
      }
      case 6: {
        const sent = `touch ${name} 1000\r\n`;
        return this.write(key, sent, () => [key.value === null ? "NOT_FOUND" : "TOUCHED", key.value]);
      }
      case 7: {
        const isBehind = this.random.oneIn(2);
        const sent = `${isBehind ? "append" : "prepend"} ${name} 0 0 ${next.length}\r\n${next}\r\n`;
        return this.write(key, sent, () => {
          const { value } = key;
          if (value === null) return ["NOT_STORED", null];
          return ["STORED", isBehind ? value + next : next + value];
        });
      }
      case 8: {
        const { cas } = key;
        const sent = `cas ${name} 0 0 ${next.length} ${cas ?? NO_CAS}\r\n${next}\r\n`;
        return this.write(key, sent, () => {
          if (key.value === null) return ["NOT_FOUND", null];
          return cas !== null && key.cas === cas ? ["STORED", next] : ["EXISTS", key.value];
        });
      }
      case 9:
        return this.gets(this.random.pick(["get", "gets", "gat 1000", "gats 900"]), this.keys.some());
      default:
        return this.gets(this.random.pick(["get", "gets", "gat 1000", "gats 900"]), [key]);
    }
  }

  private quietSet(key: Key, next: string): Step {
    const sent = `set ${key.name} 0 0 ${next.length} noreply\r\n${next}\r\nget ${key.name}\r\n`;
    return {
      sent,
      take: async (client) => {
        const told = (await readValues(client, [key.name], sent)).get(0)?.value ?? null;
        if (key.isLost) return;
        // A write without a reply may have failed, and may still be executed.
        if (told === null || (told === key.value && told !== next)) this.failed(key, sent, String(told));
        else if (told !== next && !this.isStrict && isOfKey(key, told)) this.keys.giveUp(key);
        else if (told !== next) throw wrong(sent, told, next);
        else this.holds(key, next);
      },
    };
  }

  private gets(verb: string, keys: readonly Key[]): Step {
    const names = keys.map(({ name }) => name);
    const sent = `${verb} ${names.join(" ")}\r\n`;
    return {
      sent,
      take: async (client) => {
        const values = await readValues(client, names, sent);
        for (const [i, key] of keys.entries()) {
          const found = values.get(i);
          this.got(key, sent, found?.value ?? null);
          if (found?.cas !== undefined && !key.isLost) key.cas = found.cas;
        }
      },
    };
  }

  private metaStep(): Step {
    const key = this.keys.pick();
    const next = this.newValue();
    key.written.push(next);
    const opaque = this.random.oneIn(2) ? ` O${this.random.below(9)}` : "";
    // A memcached 1.6.18 returns the key of a counted item as its bytes, of which a line feed would end the line.
    const isBase64 = key.name.endsWith("3");
    const name = isBase64 ? Buffer.from(`${key.name} \r\xff`, "latin1").toString("base64") : key.name;
    const base64 = isBase64 ? " b" : "";
    switch (this.random.below(9)) {
      case 0:
      case 1: {
        const sent = `ms ${name} ${next.length}${base64}${opaque}\r\n${next}\r\n`;
        return this.write(key, sent, () => [`HD${opaque}`, next]);
      }
      case 2: {
        const sent = `md ${name}${base64}${opaque}\r\n`;
        return this.write(key, sent, () => [`${key.value === null ? "NF" : "HD"}${opaque}`, null]);
      }
      case 3: {
        const sent = `ms ${name} ${next.length} ME${base64}${opaque} q\r\n${next}\r\nmn\r\n`;
        return {
          sent,
          take: async (client) => {
            const told = (await client.until("\r\n")).slice(0, -2);
            this.settle(key, sent, told, key.value === null ? "MN" : `NS${opaque}`, key.value ?? next);
            if (told !== "MN") await client.until("MN\r\n");
          },
        };
      }
      case 4: {
        const sent = `ma ${name}${base64} D3${opaque}\r\n`;
        return this.line(sent, (told) => {
          if (this.isRefused(key, sent, told)) return;
          const { value } = key;
          const after = value === null ? null : String(BigInt(value) + 3n);
          this.settle(key, sent, told, `${value === null ? "NF" : "HD"}${opaque}`, after);
        });
      }
      default: {
        const flags = this.random.pick([" v", " v k", " v f c", " v t", " k v s"]);
        // Ours comes in place of the client's, which need not be the last.
        const before = this.random.oneIn(2) ? opaque : "";
        const sent = `mg ${name}${before}${flags}${base64}${before === "" ? opaque : ""}\r\n`;
        return {
          sent,
          take: async (client) => {
            const told = (await client.until("\r\n")).slice(0, -2);
            const [code, length, ...rest] = told.split(" ");
            const echo = (letter: string) => rest.filter((word) => word[0] === letter).join("");
            if (code === "VA") {
              const text = (await client.take(Number(length) + 2)).slice(0, -2);
              const isKey = !flags.includes("k") || (isBase64 && /^\d+$/.test(text)) || echo("k") === `k${name}`;
              if (echo("O") !== opaque.trim() || !isKey) throw wrong(sent, told, `${opaque} k${name}`);
              this.got(key, sent, text);
            } else if (code === "EN") {
              this.got(key, sent, null);
            } else if (!FAILED.test(told) || this.isStrict) {
              throw wrong(sent, told, "a value");
            }
          },
        };
      }
    }
  }
}

interface Found {
  readonly value: string;
  readonly cas: string | undefined;
}

/** The values in the answer to a get of `names`, by their place in it. */
async function readValues(client: TextClient, names: readonly string[], sent: string): Promise<Map<number, Found>> {
  const found = new Map<number, Found>();
  let place = 0;
  for (;;) {
    const line = (await client.until("\r\n")).slice(0, -2);
    if (line === "END" || FAILED.test(line)) return found;
    const [word, key, , length, cas] = line.split(" ");
    while (place < names.length && names[place] !== key) place++;
    if (word !== "VALUE" || place === names.length) throw wrong(sent, line, `values of ${names.join(" ")}`);
    const value = (await client.take(Number(length) + 2)).slice(0, -2);
    found.set(place++, { value, cas });
  }
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
/** What the text protocol says with a CLIENT_ERROR: of a count it is a failure like others. */
const NON_NUMERIC = 6;

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
      key.written.push(next);
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
      const isRefused = answer?.status === INVALID || (frame.opcode === INCREMENT && answer?.status === NON_NUMERIC);
      const isFailed = answer !== undefined && (answer.status >= FAILURE || isRefused);
      switch (frame.opcode) {
        case GETK:
        case GETKQ:
          if (answer !== undefined && answer.status === 0 && (answer.value !== key.value || answer.key !== key.name)) {
            throw wrong(sent, `${answer.key} ${answer.value}`, String(key.value));
          }
          if (this.isStrict && key.value !== null && answer?.status !== 0) throw wrong(sent, "a miss", key.value);
          break;
        case SET:
        case SETQ:
          if (isFailed) this.failed(key, sent, String(answer.status));
          else if (answer === undefined ? frame.opcode === SET : answer.status !== 0)
            throw wrong(sent, String(answer?.status), "stored");
          else key.value = next;
          break;
        case DELETE:
          if (isFailed) this.failed(key, sent, String(answer.status));
          else if (answer?.status !== (key.value === null ? MISSING : 0)) throw wrong(sent, String(answer?.status), "");
          else key.value = null;
          break;
        default: {
          const after = key.value === null ? null : String(Number(key.value) + 3);
          if (isFailed) this.failed(key, sent, String(answer.status));
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
