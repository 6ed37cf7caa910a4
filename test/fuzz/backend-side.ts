/**
 * Fuzzes what servers answer. In each round clients ask a pool of two servers that lie. Whatever these say, every
 * client is answered everything it asked, in the form that is due, and never with the value of another key. Then the
 * servers come to their senses, and everybody is told the truth again.
 */
import { Platypus } from "../../src/server/platypus.ts";
import { BinaryClient, words } from "../support/clients/binary-client.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { FuzzFailure, within } from "./deadline.ts";
import { KEY_COUNT, LyingBackend, ownerOf, wholeValue } from "./lying-backend.ts";
import { Random } from "./random.ts";
import { idle } from "./stats.ts";

const GETK = 0x0c;
const GETKQ = 0x0d;
const SET = 0x01;
const FAILURE = "(?:SERVER_ERROR|CLIENT_ERROR|ERROR)[^\n]*";
const CLIENTS = 4;
const LAST = "MN\r\n";

/** A command, and the form of its answer but for VALUE blocks. */
interface Question {
  readonly text: string;
  readonly keys: readonly string[];
  readonly isMeta: boolean;
  readonly line: RegExp;
}

/** A Platypus that is fuzzed from the servers' side. */
export class BackendSide {
  readonly name = "lying servers";
  private readonly backends: readonly LyingBackend[];
  private readonly platypus: Platypus;
  private readonly log: KeptLog;
  private readonly port: number;

  private constructor(backends: readonly LyingBackend[], platypus: Platypus, log: KeptLog) {
    this.backends = backends;
    this.platypus = platypus;
    this.log = log;
    const [address] = platypus.addresses;
    this.port = address?.type === "tcp" ? address.port : 0;
  }

  static async start(): Promise<BackendSide> {
    const backends = [await LyingBackend.start(), await LyingBackend.start()];
    const ports = backends.map(({ port }) => port);
    const settings = 'connections = 2\nserver_timeout = "20ms"\nconnect_timeout = "10s"\ntimeouts_until_tko = 1000000';
    const log = new KeptLog();
    const platypus = await Platypus.start(nativeConfig(targetOf(ports, settings)), { log: log.log });
    return new BackendSide(backends, platypus, log);
  }

  /** One round; what the servers see depends on timing too, so the same seed is only nearly the same round. */
  async round(seed: number): Promise<void> {
    const random = new Random(seed);
    try {
      for (const backend of this.backends) backend.lies = random;
      const asking = Array.from({ length: CLIENTS }, () => this.askInText(random));
      const ends = await Promise.allSettled([...asking, this.askInBinary(random)]);
      for (const end of ends) if (end.status === "rejected") throw end.reason;
      for (const backend of this.backends) backend.lies = null;
      await within(this.untilTrue(), "a server that answers right again");
      await idle(this.port);
      const faults = this.log.lines.splice(0).filter((line) => /^error|fault/.test(line));
      if (faults.length > 0) throw new FuzzFailure(faults.join("\n"));
    } catch (error) {
      throw new FuzzFailure(`${this.name}, seed ${seed}: ${String(error)}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    await this.platypus.close();
    await Promise.all(this.backends.map((backend) => backend.stop()));
  }

  private async askInText(random: Random): Promise<void> {
    const questions = Array.from({ length: 1 + random.below(30) }, () => question(random));
    const client = await TextClient.connect(this.port);
    try {
      client.send(`${questions.map(({ text }) => `${text}\r\n`).join("")}mn\r\n`);
      const check = async () => {
        for (const each of questions) await checkAnswer(client, each);
        const last = await client.until("\r\n");
        if (last !== LAST) throw new FuzzFailure(`${JSON.stringify(last)} behind the last answer`);
      };
      await within(check(), `a client asking\n${questions.map(({ text }) => JSON.stringify(text)).join("\n")}\n`);
    } catch (error) {
      const asked = questions.map(({ text }) => JSON.stringify(text)).join("\n");
      throw new FuzzFailure(`${String(error)}\nasked:\n${asked}`, { cause: error });
    } finally {
      client.close();
    }
  }

  private async askInBinary(random: Random): Promise<void> {
    const client = await BinaryClient.connect(this.port);
    const frames = Array.from({ length: 1 + random.below(30) }, (_, opaque) => {
      const opcode = random.pick([GETK, GETKQ, GETKQ, SET]);
      const extra = opcode === SET ? { extras: words(0, 0), value: "x" } : {};
      return { opcode, key: `key${random.below(KEY_COUNT)}`, opaque, ...extra };
    });
    try {
      const answers = await within(client.ask(frames), "a binary client");
      const due = frames.filter(({ opcode }) => opcode !== GETKQ).map(({ opaque }) => opaque);
      const told = answers.map(({ opaque }) => opaque);
      if (client.isClosed || told.some((opaque, i) => i > 0 && opaque <= told[i - 1]!)) {
        throw new FuzzFailure(`answers to ${told} in this order, then ${client.isClosed ? "the end" : "no more"}`);
      }
      if (due.some((opaque) => !told.includes(opaque))) throw new FuzzFailure(`answers to ${told}, due to ${due}`);
      for (const { opaque, opcode, key, value } of answers) {
        const frame = frames[opaque]!;
        if (opcode !== frame.opcode) throw new FuzzFailure(`opcode ${opcode} to ${frame.opcode}`);
        if (opcode !== SET) checkValue(value, frame.key);
        if (opcode !== SET && key !== frame.key) throw new FuzzFailure(`key ${key} to a get of ${frame.key}`);
      }
    } finally {
      client.close();
    }
  }

  /** Resolves when every key has its own value again and can be set. */
  private async untilTrue(): Promise<void> {
    const client = await TextClient.connect(this.port);
    try {
      for (let i = 0; i < KEY_COUNT; i++) {
        const key = `key${i}`;
        const value = wholeValue(key);
        const hit = `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`;
        while ((await client.ask(`get ${key}\r\nmn`, LAST)) !== hit + LAST);
        while ((await client.ask(`set ${key} 0 0 1\r\n1`)) !== "STORED\r\n");
      }
    } finally {
      client.close();
    }
  }
}

function question(random: Random): Question {
  const key = () => `key${random.below(KEY_COUNT)}`;
  const one = key();
  const line = (form: string) => new RegExp(`^(?:${form}|${FAILURE})\r\n$`);
  const stored = line("STORED|NOT_STORED|EXISTS|NOT_FOUND");
  switch (random.below(8)) {
    case 0:
      return { text: `set ${one} 0 0 1\r\n1`, keys: [], isMeta: false, line: stored };
    case 1:
      return { text: `delete ${one}`, keys: [], isMeta: false, line: line("DELETED|NOT_FOUND") };
    case 2:
      return { text: `incr ${one} 1`, keys: [], isMeta: false, line: line("\\d+ *|NOT_FOUND") };
    case 3:
      return { text: `mg ${one} k v`, keys: [one], isMeta: true, line: line("(?:EN|HD)(?:[ \r][^\n]*)?") };
    case 4:
      return { text: `ms ${one} 1 c\r\n1`, keys: [], isMeta: true, line: line("(?:HD|NS|EX|NF)(?:[ \r][^\n]*)?") };
    case 5:
    case 6: {
      const keys = [...new Set(Array.from({ length: 2 + random.below(8) }, key))];
      return { text: `${random.pick(["get", "gets"])} ${keys.join(" ")}`, keys, isMeta: false, line: line("END") };
    }
    default:
      return { text: `get ${one}`, keys: [one], isMeta: false, line: line("END") };
  }
}

async function checkAnswer(client: TextClient, { text, keys, isMeta, line }: Question): Promise<void> {
  let answer = await client.until("\r\n");
  let next = 0;
  if (isMeta && answer.startsWith("VA ") && keys.length > 0) {
    const [, length] = answer.trimEnd().split(" ");
    checkValue(await client.take(Number(length)), keys[0]!);
    await client.until("\r\n");
    return;
  }
  while (!isMeta && answer.startsWith("VALUE ")) {
    const [, key, , length] = answer.trimEnd().split(" ");
    next = keys.indexOf(key!, next) + 1;
    if (next === 0) throw new FuzzFailure(`${JSON.stringify(answer)} to ${JSON.stringify(text)}`);
    checkValue(await client.take(Number(length)), key!);
    await client.until("\r\n");
    answer = await client.until("\r\n");
  }
  if (!line.test(answer)) throw new FuzzFailure(`${JSON.stringify(answer)} to ${JSON.stringify(text)}`);
}

function checkValue(value: string, key: string): void {
  const owner = ownerOf(value);
  if (owner !== null && owner !== key) throw new FuzzFailure(`the value of ${owner} to a get of ${key}`);
}
