/**
 * A request by its effect instead of its bytes, for servers that need another protocol: hosted memcached in binary, and
 * servers older than memcached 1.6 without meta commands. A request that such a server does not support is refused,
 * never approximated. This is not the path of a hit in a pool of ordinary servers.
 *
 *     Request ── commandsOf ──► Command ── server ──► Outcome ── replyTo ──► Reply in the request's own form
 */
import { fixedReply, MetaCode, notSupported, type Reply, Status, valueReply } from "../reply.ts";
import { isMeta, isRetrieval, Operation, type Request } from "../request.ts";
import { CommandLine } from "./command-line.ts";
import { keyEcho, metaFlags, metaFound, metaMiss, metaReply } from "./meta-line.ts";

export type Verb =
  | "get"
  | "gat"
  | "touch"
  | "set"
  | "add"
  | "replace"
  | "append"
  | "prepend"
  | "delete"
  | "incr"
  | "decr"
  | "flush"
  | "version";

/** A command for a server. */
export interface Command {
  readonly verb: Verb;
  /** Includes the pool's prefix. */
  readonly key: Buffer;
  readonly value: Buffer;
  readonly flags: number;
  /** As in memcached's text protocol: 0 means never, negative means immediately. */
  readonly exptime: number;
  /** 0 accepts any cas of the item. */
  readonly cas: bigint;
  /** incr, decr: the difference, and the initial value. `null` if no item is created. */
  readonly delta: bigint;
  readonly initial: bigint | null;
}

/** A server's reply to a command. */
export interface Outcome {
  readonly status: Status;
  readonly value?: Buffer;
  readonly flags?: number;
  /** `null` if the server did not report it. */
  readonly cas?: bigint | null;
  /** The line of a reply without a standard text: an error, a number, a version. */
  readonly text?: string;
}

const NOTHING = Buffer.alloc(0);
const answers = {
  badNumber: fixedReply(Status.clientError, "CLIENT_ERROR invalid numeric delta argument"),
  badExptime: fixedReply(Status.clientError, "CLIENT_ERROR invalid exptime argument"),
  badToken: fixedReply(Status.clientError, "CLIENT_ERROR bad token in command line format"),
  twice: fixedReply(Status.clientError, "CLIENT_ERROR duplicate flag"),
  badFlag: fixedReply(Status.clientError, "CLIENT_ERROR invalid or duplicate flag"),
} as const;

const classicVerbs = new Map<Operation, Verb>([
  [Operation.get, "get"],
  [Operation.gets, "get"],
  [Operation.gat, "gat"],
  [Operation.gats, "gat"],
  [Operation.set, "set"],
  [Operation.add, "add"],
  [Operation.replace, "replace"],
  [Operation.append, "append"],
  [Operation.prepend, "prepend"],
  [Operation.cas, "set"],
  [Operation.delete, "delete"],
  [Operation.incr, "incr"],
  [Operation.decr, "decr"],
  [Operation.touch, "touch"],
  [Operation.flushAll, "flush"],
  [Operation.version, "version"],
]);

/** Meta flags that are supported without meta commands, by operation. Other flags are refused. */
const metaSupport = new Map<Operation, string>([
  [Operation.metaGet, "bkqOvfcsT"],
  [Operation.metaSet, "bkqOcsFTCMI"],
  [Operation.metaDelete, "bkqOC"],
  [Operation.metaArithmetic, "bkqOvcCDMJN"],
]);

const setModes: Readonly<Record<string, Verb>> = { S: "set", E: "add", R: "replace", A: "append", P: "prepend" };
const countModes: Readonly<Record<string, Verb>> = {
  I: "incr",
  INCR: "incr",
  "+": "incr",
  D: "decr",
  DECR: "decr",
  "-": "decr",
};
/** The current line: its numbers are read as memcached reads them. */
const line = new CommandLine();

/**
 * The command of a request for one key or none; for several keys, that of key `index`. Or the reply that refuses it.
 */
export function commandOf(request: Request, prefix: Buffer, index = -1): Command | Reply {
  const verb = classicVerbs.get(request.operation);
  if (verb === undefined) return metaCommand(request, keyOf(request, prefix, index));
  const base = bare(verb, keyOf(request, prefix, index));
  if (isRetrieval(request.operation)) return verb === "gat" ? { ...base, exptime: request.exptime } : base;
  line.read(request.chunk, request.frameStart, request.lineEnd, true);
  switch (verb) {
    case "delete":
    case "version":
      return base;
    case "flush":
      return line.count > 1 ? { ...base, exptime: line.int32(1) } : base;
    case "touch": {
      const exptime = line.int32(2);
      return Number.isNaN(exptime) ? answers.badExptime : { ...base, exptime };
    }
    case "incr":
    case "decr": {
      const delta = line.unsigned(2);
      return delta === null ? answers.badNumber : { ...base, delta };
    }
    default: {
      // The parser has checked these numbers.
      const cas = request.operation === Operation.cas ? line.unsigned(5)! : 0n;
      return { ...base, value: dataOf(request), flags: line.uint32(2), exptime: line.int32(3), cas };
    }
  }
}

/** The outcome as a reply to `request`, which has one key or none; a meta request must still have its line. */
export function replyTo(request: Request, outcome: Outcome): Reply {
  const { status, value = NOTHING, flags = 0, cas = null } = outcome;
  if (outcome.text !== undefined && status !== Status.number) return fixedReply(status, outcome.text);
  if (isMeta(request.operation)) return metaAnswer(request, outcome);
  if (status !== Status.found) return fixedReply(status, outcome.text ?? lines.get(status) ?? "END");
  const hasCas = request.operation === Operation.gets || request.operation === Operation.gats;
  return valueReply(request.keyText(), value, flags, hasCas ? (cas ?? 0n) : null);
}

const lines = new Map<Status, string>([
  [Status.stored, "STORED"],
  [Status.notStored, "NOT_STORED"],
  [Status.exists, "EXISTS"],
  [Status.notFound, "NOT_FOUND"],
  [Status.deleted, "DELETED"],
  [Status.touched, "TOUCHED"],
  [Status.ok, "OK"],
]);

function bare(verb: Verb, key: Buffer): Command {
  return { verb, key, value: NOTHING, flags: 0, exptime: 0, cas: 0n, delta: 1n, initial: null };
}

function keyOf(request: Request, prefix: Buffer, index: number): Buffer {
  const { keys } = request;
  const key =
    keys === null || index < 0
      ? request.chunk.subarray(request.keyStart, request.keyEnd)
      : keys.bytes.subarray(keys.starts[index]!, keys.ends[index]!);
  return key.length === 0 ? NOTHING : Buffer.concat([prefix, key]);
}

function dataOf(request: Request): Buffer {
  return Buffer.from(request.chunk.subarray(request.dataStart, request.frameEnd - "\r\n".length));
}

function metaCommand(request: Request, key: Buffer): Command | Reply {
  const supported = metaSupport.get(request.operation);
  if (supported === undefined) return notSupported;
  const isSet = request.operation === Operation.metaSet;
  line.read(request.chunk, request.frameStart, request.lineEnd, true);
  /** The word of a flag, by letter. */
  const flags = new Map<string, number>();
  for (let i = isSet ? 3 : 2; i < line.count; i++) {
    const letter = line.text(i)[0]!;
    if (!supported.includes(letter)) return notSupported;
    if (flags.has(letter) || !isToken(letter, i)) return problemOf(request.operation, flags.has(letter));
    flags.set(letter, i);
  }
  const at = (letter: string) => flags.get(letter) ?? 0;
  const big = (letter: string, otherwise: bigint) => (flags.has(letter) ? line.unsigned(at(letter), 1)! : otherwise);
  const small = (letter: string) => (flags.has(letter) ? line.int32(at(letter), 1) : 0);
  const mode = (otherwise: string) => (flags.has("M") ? line.text(at("M")).slice(1) : otherwise).toUpperCase();
  const cas = big("C", 0n);
  switch (request.operation) {
    case Operation.metaGet: {
      if (!flags.has("T")) return bare("get", key);
      // The reply to a touch has neither value nor flags nor cas.
      const wantsItem = ["v", "f", "c", "s"].some((letter) => flags.has(letter));
      return { ...bare(wantsItem ? "gat" : "touch", key), exptime: small("T") };
    }
    case Operation.metaDelete:
      return { ...bare("delete", key), cas };
    case Operation.metaSet: {
      const verb = setModes[mode("S")];
      // "Invalidate" with an older cas marks an item as stale, which only meta supports.
      if (verb === undefined || flags.has("I")) return notSupported;
      const clientFlags = flags.has("F") ? line.uint32(at("F"), 1) : 0;
      return { ...bare(verb, key), value: dataOf(request), flags: clientFlags, exptime: small("T"), cas };
    }
    default: {
      const verb = countModes[mode("I")];
      if (verb === undefined) return notSupported;
      const initial = flags.has("N") ? big("J", 0n) : null;
      return { ...bare(verb, key), delta: big("D", 1n), initial, exptime: small("N"), cas };
    }
  }
}

/** True if the flag in word `index` has the number that it requires. */
function isToken(letter: string, index: number): boolean {
  switch (letter) {
    case "T":
    case "N":
      return !Number.isNaN(line.int32(index, 1));
    case "F":
      return !Number.isNaN(line.uint32(index, 1));
    case "C":
    case "D":
    case "J":
      return line.isUint64(index, 1);
    default:
      return true;
  }
}

/** memcached's error for a duplicate flag, or for an invalid number. */
function problemOf(operation: Operation, isTwice: boolean): Reply {
  if (operation !== Operation.metaGet && operation !== Operation.metaSet) return answers.badFlag;
  return isTwice ? answers.twice : answers.badToken;
}

const metaCodes = new Map<Status, readonly [code: number, word: string]>([
  [Status.stored, [MetaCode.HD, "HD"]],
  [Status.deleted, [MetaCode.HD, "HD"]],
  [Status.touched, [MetaCode.HD, "HD"]],
  [Status.notStored, [MetaCode.NS, "NS"]],
  [Status.exists, [MetaCode.EX, "EX"]],
  [Status.notFound, [MetaCode.NF, "NF"]],
]);

function metaAnswer(request: Request, outcome: Outcome): Reply {
  const { status, value = NOTHING, flags = 0, cas = null, text = "" } = outcome;
  // Meta debug has no flags, so it returns none.
  if (request.operation === Operation.metaDebug) return metaReply(MetaCode.EN, "EN");
  const isGet = request.operation === Operation.metaGet;
  if (status === Status.found) return metaFound(request, value, flags, cas) ?? notSupported;
  if (isGet && status !== Status.touched) return metaMiss(request);
  const isNumber = status === Status.number;
  const number = Buffer.from(text, "latin1");
  let echo = "";
  let wantsNumber = false;
  for (const flag of metaFlags(request)) {
    if (flag[0] === "k") echo += keyEcho(request);
    if (flag[0] === "O") echo += ` ${flag}`;
    if (flag[0] === "c" && (isNumber || status === Status.stored)) {
      // For a binary client, 0 means "unknown". In text, an unknown cas is never invented.
      if (cas === null && request.binary === null) return notSupported;
      echo += ` c${cas ?? 0n}`;
    }
    if (flag[0] === "s" && request.operation === Operation.metaSet) echo += ` s${dataOf(request).length}`;
    if (flag[0] === "v") wantsNumber = true;
  }
  if (!isNumber) {
    const [code, word] = metaCodes.get(status) ?? metaCodes.get(Status.notFound)!;
    return metaReply(code, `${word}${echo}`);
  }
  if (!wantsNumber) return metaReply(MetaCode.HD, `HD${echo}`);
  return metaReply(MetaCode.VA, `VA ${number.length}${echo}`, number);
}
