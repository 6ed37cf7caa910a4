/**
 * Binary frames → Request. Servers are asked in text: gets as `gets` and `gats`, which have flags and cas without side
 * effects; other commands in meta, which has features that classic commands lack (cas in replies to writes, initial
 * values). So a binary client has full fidelity on servers without the binary protocol.
 *
 * Sources: memcached protocol_binary.h; malformed frames and their replies follow memcached 1.6 (proto_bin.c).
 */
import { MAX_KEY_BYTES } from "../key.ts";
import type { Reply } from "../reply.ts";
import { type BinaryHeader, Operation, type ReplyOwner, type Request } from "../request.ts";
import {
  BinaryStatus,
  binaryError,
  binaryFrame,
  binaryReply,
  HEADER_BYTES,
  Opcode,
  REQUEST_MAGIC,
} from "./binary-protocol.ts";
import { type ClassicLimits, Parsed } from "./classic-parser.ts";
import { decodedKey, keyAfter, writtenRequest } from "./written-frame.ts";

const NO_INITIAL_VALUE = 0xffffffff;
const MAX_EXPTIME = 0x7fffffff;

/** The required form of a body: size of the extras (two forms for flush), and required parts. */
interface Shape {
  readonly extras: readonly number[];
  readonly key: "some" | "none" | "any";
  readonly value: boolean;
}

const shapes = {
  key: { extras: [0], key: "some", value: false },
  store: { extras: [8], key: "some", value: true },
  concat: { extras: [0], key: "some", value: true },
  arithmetic: { extras: [20], key: "some", value: false },
  touch: { extras: [4], key: "some", value: false },
  flush: { extras: [0, 4], key: "none", value: false },
  bare: { extras: [0], key: "none", value: false },
  stat: { extras: [0], key: "any", value: false },
  verbosity: { extras: [4], key: "none", value: false },
} as const satisfies Record<string, Shape>;

interface Command {
  readonly shape: Shape;
  readonly isQuiet: boolean;
  readonly hasKey: boolean;
  /** Mode of `ms` and `ma`. */
  readonly mode: string;
}

const commands = new Map<number, Command>();
function define(shape: Shape, opcodes: readonly number[], quiet: readonly number[] = [], mode = ""): void {
  const keyed: readonly number[] = [Opcode.getK, Opcode.getKQ, Opcode.gatK, Opcode.gatKQ];
  for (const opcode of [...opcodes, ...quiet]) {
    commands.set(opcode, { shape, isQuiet: quiet.includes(opcode), hasKey: keyed.includes(opcode), mode });
  }
}
define(shapes.key, [Opcode.get, Opcode.getK], [Opcode.getQ, Opcode.getKQ]);
define(shapes.touch, [Opcode.touch, Opcode.gat, Opcode.gatK], [Opcode.gatQ, Opcode.gatKQ]);
define(shapes.store, [Opcode.set], [Opcode.setQ], "S");
define(shapes.store, [Opcode.add], [Opcode.addQ], "E");
define(shapes.store, [Opcode.replace], [Opcode.replaceQ], "R");
define(shapes.concat, [Opcode.append], [Opcode.appendQ], "A");
define(shapes.concat, [Opcode.prepend], [Opcode.prependQ], "P");
define(shapes.key, [Opcode.delete], [Opcode.deleteQ]);
define(shapes.arithmetic, [Opcode.increment], [Opcode.incrementQ], "I");
define(shapes.arithmetic, [Opcode.decrement], [Opcode.decrementQ], "D");
define(shapes.flush, [Opcode.flush], [Opcode.flushQ]);
define(shapes.bare, [Opcode.quit, Opcode.noop, Opcode.version], [Opcode.quitQ]);
define(shapes.stat, [Opcode.stat]);
define(shapes.verbosity, [Opcode.verbosity]);

/** Parses the frames of all binary connections. Its fields have the result of the last call. */
export class BinaryParser {
  request: Request | null = null;
  answer: Reply | null = null;
  words: string[] = [];
  /** For a local command: the parts that its reply needs. */
  header: BinaryHeader = { opcode: 0, opaque: 0, isQuiet: false, hasKey: false };
  next = 0;
  swallowBytes = 0;
  wantedBytes = 0;
  /** True if the connection must close after this reply. */
  isLast = false;
  private readonly limits: () => ClassicLimits;

  constructor(limits: () => ClassicLimits) {
    this.limits = limits;
  }

  /** Parses one frame at `start`. At least one byte must be available. */
  parse(owner: ReplyOwner, chunk: Buffer, start: number, end: number): Parsed {
    this.swallowBytes = 0;
    this.isLast = false;
    if (chunk[start] !== REQUEST_MAGIC) return Parsed.close;
    this.wantedBytes = HEADER_BYTES;
    if (end - start < HEADER_BYTES) return Parsed.incomplete;
    const opcode = chunk[start + 1]!;
    const keyBytes = chunk.readUInt16BE(start + 2);
    const extraBytes = chunk[start + 4]!;
    const bodyBytes = chunk.readUInt32BE(start + 8);
    const command = commands.get(opcode);
    const { isQuiet = false, hasKey = false } = command ?? {};
    this.header = { opcode, opaque: chunk.readUInt32BE(start + 12), isQuiet, hasKey };
    this.next = start + HEADER_BYTES;
    const valueBytes = bodyBytes - keyBytes - extraBytes;
    const { maxValueBytes, prefix } = this.limits();
    if (valueBytes < 0 || keyBytes > MAX_KEY_BYTES) {
      this.isLast = true;
      return this.refuse(valueBytes < 0 ? BinaryStatus.unknownCommand : BinaryStatus.invalid, bodyBytes);
    }
    if (command === undefined) return this.refuse(BinaryStatus.unknownCommand, bodyBytes);
    if (!fits(command.shape, keyBytes, extraBytes, valueBytes) || keyBytes > MAX_KEY_BYTES - prefix.length) {
      this.isLast = true;
      return this.refuse(BinaryStatus.invalid, bodyBytes);
    }
    if (valueBytes > maxValueBytes) {
      if (command.mode !== "S") return this.refuse(BinaryStatus.tooLarge, bodyBytes);
      return this.deleteInstead(owner, chunk, start, end, bodyBytes - valueBytes);
    }
    const frameEnd = this.next + bodyBytes;
    this.wantedBytes = frameEnd - start;
    if (frameEnd > end) return Parsed.incomplete;
    const extras = chunk.subarray(this.next, this.next + extraBytes);
    const key = chunk.subarray(this.next + extraBytes, this.next + extraBytes + keyBytes);
    const value = chunk.subarray(this.next + extraBytes + keyBytes, frameEnd);
    const cas = chunk.readBigUInt64BE(start + 16);
    this.next = frameEnd;
    return this.take(owner, command, extras, key, value, cas);
  }

  private take(owner: ReplyOwner, command: Command, extras: Buffer, key: Buffer, value: Buffer, cas: bigint): Parsed {
    const onlyCas = cas === 0n ? "" : ` C${cas}`;
    switch (this.header.opcode) {
      case Opcode.noop:
      case Opcode.verbosity:
        return this.tell(binaryReply(binaryFrame(this.header, BinaryStatus.ok)));
      case Opcode.quitQ:
        return Parsed.close;
      case Opcode.quit:
        this.isLast = true;
        return this.tell(binaryReply(binaryFrame(this.header, BinaryStatus.ok)));
      case Opcode.version:
        this.words = ["version"];
        return Parsed.local;
      case Opcode.stat:
        this.words = key.length === 0 ? ["stats"] : ["stats", ...key.toString("latin1").split(" ")];
        return Parsed.local;
      case Opcode.flush:
      case Opcode.flushQ: {
        if (!this.limits().isFlushAllAllowed) return this.tell(binaryError(this.header, BinaryStatus.authError));
        const delay = extras.length === 4 ? ` ${extras.readUInt32BE()}` : "";
        return this.ask(owner, Operation.flushAll, `flush_all${delay}`, null, null);
      }
      case Opcode.touch:
        return this.ask(owner, Operation.metaGet, ["mg", ` T${exptimeAt(extras, 0)} f c`], key, null);
    }
    switch (command.shape) {
      case shapes.key:
        if (this.header.opcode === Opcode.delete || this.header.opcode === Opcode.deleteQ) {
          return this.ask(owner, Operation.metaDelete, ["md", onlyCas], key, null);
        }
        if (isText(key)) return this.ask(owner, Operation.gets, ["gets", ""], key, null);
        return this.ask(owner, Operation.metaGet, ["mg", " v f c"], key, null);
      case shapes.touch: {
        const exptime = exptimeAt(extras, 0);
        if (!isText(key)) return this.ask(owner, Operation.metaGet, ["mg", ` v f c T${exptime}`], key, null);
        const parsed = this.ask(owner, Operation.gats, [`gats ${exptime}`, ""], key, null);
        this.request!.exptime = exptime;
        return parsed;
      }
      case shapes.store: {
        // As in memcached, an add or replace with a cas is only a compare-and-set.
        const mode = cas === 0n ? command.mode : "S";
        const flags = ` F${extras.readUInt32BE()} T${exptimeAt(extras, 4)} c M${mode}${onlyCas}`;
        return this.ask(owner, Operation.metaSet, ["ms", ` ${value.length}${flags}`], key, value);
      }
      case shapes.concat:
        return this.ask(owner, Operation.metaSet, ["ms", ` ${value.length} c M${command.mode}${onlyCas}`], key, value);
      default: {
        const hasInitial = extras.readUInt32BE(16) !== NO_INITIAL_VALUE;
        const initial = !hasInitial ? "" : ` N${exptimeAt(extras, 16)} J${extras.readBigUInt64BE(8)}`;
        const flags = ` v c M${command.mode} D${extras.readBigUInt64BE()}${initial}${onlyCas}`;
        return this.ask(owner, Operation.metaArithmetic, ["ma", flags], key, null);
      }
    }
  }

  /**
   * As in memcached, a set with a value that is too large deletes the old value. `headBytes` is the size of extras and
   * key.
   */
  private deleteInstead(owner: ReplyOwner, chunk: Buffer, start: number, end: number, headBytes: number): Parsed {
    const keyEnd = this.next + headBytes;
    this.wantedBytes = keyEnd - start;
    if (keyEnd > end) return Parsed.incomplete;
    const keyStart = this.next + chunk[start + 4]!;
    this.next = keyEnd;
    this.swallowBytes = chunk.readUInt32BE(start + 8) - headBytes;
    const parsed = this.ask(owner, Operation.metaDelete, ["md", ""], chunk.subarray(keyStart, keyEnd), null);
    if (parsed === Parsed.request) this.request!.answerInstead = binaryError(this.header, BinaryStatus.tooLarge);
    return parsed;
  }

  /** A request with the frame `verb key rest`, in a separate buffer. */
  private ask(
    owner: ReplyOwner,
    operation: Operation,
    line: string | readonly [verb: string, rest: string],
    key: Buffer | null,
    value: Buffer | null,
  ): Parsed {
    const [verb, rest] = typeof line === "string" ? [line, ""] : line;
    const isBase64 = key !== null && !isText(key);
    const { prefix } = this.limits();
    // A key that a line cannot contain is sent in base64; for placement, its bytes follow the frame, as in
    // meta-parser.ts.
    const bytes = isBase64 ? Buffer.concat([Buffer.from(prefix, "latin1"), key]) : key;
    const word = bytes === null ? null : bytes.toString(isBase64 ? "base64" : "latin1");
    if (isBase64 && word!.length > MAX_KEY_BYTES) return this.tell(binaryError(this.header, BinaryStatus.invalid));
    const text = `${verb}${word === null ? "" : ` ${word}`}${rest}${isBase64 ? " b" : ""}`;
    const place = key === null ? undefined : isBase64 ? decodedKey(key) : keyAfter(verb, key.length);
    const request = writtenRequest(operation, owner, text, value, place);
    request.binary = this.header;
    this.request = request;
    return Parsed.request;
  }

  private tell(answer: Reply): Parsed {
    this.answer = answer;
    return Parsed.answer;
  }

  private refuse(status: BinaryStatus, bodyBytes: number): Parsed {
    this.swallowBytes = bodyBytes;
    return this.tell(binaryError(this.header, status));
  }
}

function fits(shape: Shape, keyBytes: number, extraBytes: number, valueBytes: number): boolean {
  if (!shape.extras.includes(extraBytes)) return false;
  if (shape.key !== "any" && keyBytes > 0 !== (shape.key === "some")) return false;
  return shape.value || valueBytes === 0;
}

/** Unsigned in binary. In text, a number from 2^31 would be negative, which means expired. */
function exptimeAt(extras: Buffer, at: number): number {
  return Math.min(extras.readUInt32BE(at), MAX_EXPTIME);
}

/** True for a key that a text line can contain. */
function isText(key: Buffer): boolean {
  for (const byte of key) if (byte <= 0x20 || byte === 0x7f) return false;
  return true;
}
