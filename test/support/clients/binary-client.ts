/**
 * Binary frames written by hand, and a client that reads frames: no repair, and nothing of the code under test.
 */
import { once } from "node:events";
import net from "node:net";
import { setImmediate as turn } from "node:timers/promises";

const NOOP = 0x0a;
const LAST_OPAQUE = 0xffffffff;

/** A request; what is left out is empty or 0. Strings have one character per byte. */
export interface Frame {
  readonly opcode: number;
  readonly key?: string;
  readonly extras?: string;
  readonly value?: string;
  readonly cas?: bigint;
  readonly opaque?: number;
  /** What the header says in place of the body's true length; the body is cut or filled up to it. */
  readonly bodyBytes?: number;
}

/** A response. */
export interface Answer {
  readonly opcode: number;
  readonly status: number;
  readonly opaque: number;
  readonly cas: bigint;
  readonly extras: string;
  readonly key: string;
  readonly value: string;
}

/** The bytes of a request. */
export function frameBytes(frame: Frame): Buffer {
  const { key = "", extras = "", value = "" } = frame;
  const body = Buffer.from(extras + key + value, "latin1");
  const bodyBytes = frame.bodyBytes ?? body.length;
  const bytes = Buffer.alloc(24 + bodyBytes);
  bytes[0] = 0x80;
  bytes[1] = frame.opcode;
  bytes.writeUInt16BE(key.length, 2);
  bytes[4] = extras.length;
  bytes.writeUInt32BE(bodyBytes, 8);
  bytes.writeUInt32BE(frame.opaque ?? 0, 12);
  bytes.writeBigUInt64BE(frame.cas ?? 0n, 16);
  body.copy(bytes, 24);
  return bytes;
}

/** Extras of numbers of four bytes each. */
export function words(...numbers: readonly number[]): string {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number, i * 4);
  return bytes.toString("latin1");
}

/** The extras of incr and decr. */
export function arithmetic(delta: bigint, initial: bigint, exptime: number): string {
  const bytes = Buffer.alloc(20);
  bytes.writeBigUInt64BE(delta);
  bytes.writeBigUInt64BE(initial, 8);
  bytes.writeUInt32BE(exptime, 16);
  return bytes.toString("latin1");
}

/** The responses in `bytes`, and what is left behind them. */
export function readAnswers(bytes: Buffer): { answers: Answer[]; rest: Buffer } {
  const answers: Answer[] = [];
  let rest = bytes;
  while (rest.length >= 24) {
    if (rest[0] !== 0x81) throw new Error(`no response: ${rest.toString("hex", 0, 40)}`);
    const end = 24 + rest.readUInt32BE(8);
    if (rest.length < end) break;
    const keyStart = 24 + rest[4]!;
    const valueStart = keyStart + rest.readUInt16BE(2);
    answers.push({
      opcode: rest[1]!,
      status: rest.readUInt16BE(6),
      opaque: rest.readUInt32BE(12),
      cas: rest.readBigUInt64BE(16),
      extras: rest.toString("latin1", 24, keyStart),
      key: rest.toString("latin1", keyStart, valueStart),
      value: rest.toString("latin1", valueStart, end),
    });
    rest = rest.subarray(end);
  }
  return { answers, rest };
}

/** A connection. */
export class BinaryClient {
  isClosed = false;
  readonly socket: net.Socket;
  private readonly chunks: Buffer[] = [];
  private answers: Answer[] = [];
  private wake: () => void = () => {};

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      this.wake();
    });
    socket.on("data", (chunk) => {
      this.chunks.push(chunk);
      this.wake();
    });
  }

  /** Connects to a port of this machine. */
  static async connect(port: number): Promise<BinaryClient> {
    const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new BinaryClient(socket);
  }

  /** Sends bytes in pieces of these lengths, each in a separate turn. */
  async send(bytes: Buffer, pieces: readonly number[] = [bytes.length]): Promise<void> {
    for (let at = 0, i = 0; at < bytes.length; i++) {
      // Large values are not cut small: the time is better spent on other streams.
      const length = bytes.length - at > 20_000 ? 100_000 : pieces[i % pieces.length]!;
      this.socket.write(bytes.subarray(at, at + length));
      at += length;
      if (at < bytes.length) await turn();
    }
  }

  /** Sends `frames` and a noop; resolves to what was answered before the noop's answer, or before the end. */
  async ask(frames: readonly Frame[], pieces?: readonly number[]): Promise<Answer[]> {
    const noop = { opcode: NOOP, opaque: LAST_OPAQUE };
    await this.send(Buffer.concat([...frames, noop].map(frameBytes)), pieces);
    for (;;) {
      this.read();
      const last = this.answers.at(-1);
      if (last?.opcode === NOOP && last.opaque === LAST_OPAQUE) this.answers.pop();
      else if (!this.isClosed) {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
        continue;
      }
      const taken = this.answers;
      this.answers = [];
      return taken;
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private read(): void {
    const { answers, rest } = readAnswers(Buffer.concat(this.chunks.splice(0)));
    this.answers.push(...answers);
    if (rest.length > 0) this.chunks.push(rest);
  }
}
