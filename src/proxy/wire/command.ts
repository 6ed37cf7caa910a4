/**
 * A request as what it does rather than as bytes, for servers that are not spoken to in its own words: those of hosted
 * memcached in binary, those older than memcached 1.6 without meta commands. What such a server cannot be asked is
 * refused, never approximated. Not the path of a hit in a pool of ordinary servers.
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

/** What a server is to do. */
export interface Command {
  readonly verb: Verb;
  /** With the pool's prefix. */
  readonly key: Buffer;
  readonly value: Buffer;
  readonly flags: number;
  /** As memcached's text protocol has it: 0 never, negative at once. */
  readonly exptime: number;
  /** 0: whatever the item's is. */
  readonly cas: bigint;
  /** incr, decr: by how much, and what to start with; null: nothing is made where nothing is. */
  readonly delta: bigint;
  readonly initial: bigint | null;
}

/** What a server answered to a command. */
export interface Outcome {
  readonly status: Status;
  readonly value?: Buffer;
  readonly flags?: number;
  /** Null: the server did not say. */
  readonly cas?: bigint | null;
  /** The line of an answer that has none of its own: an error's, a number, a version. */
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

/** Meta flags that can be had without meta commands, by operation; everything else is refused. */
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
/** The line that is looked at now: numbers in it are read as memcached reads them. */
const line = new CommandLine();

/** The command of a request for one key or for none; for several keys that of key `index`. Or why it is refused. */
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
      // The parser has looked at these.
      const cas = request.operation === Operation.cas ? line.unsigned(5)! : 0n;
      return { ...base, value: dataOf(request), flags: line.uint32(2), exptime: line.int32(3), cas };
    }
  }
}

/** The outcome as the answer to `request`, which is for one key or none and has its line still if it is a meta one. */
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
  /** The word of a flag, by its letter. */
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
      // A touch answers with neither value nor flags nor cas.
      const wantsItem = ["v", "f", "c", "s"].some((letter) => flags.has(letter));
      return { ...bare(wantsItem ? "gat" : "touch", key), exptime: small("T") };
    }
    case Operation.metaDelete:
      return { ...bare("delete", key), cas };
    case Operation.metaSet: {
      const verb = setModes[mode("S")];
      // "Invalidate" with an older cas marks an item as stale, which only meta knows.
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

/** True where a flag that needs a number, in word `index`, has one. */
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

/** What memcached says of a flag that is there twice or has no good number. */
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
  // It knows no flags, and so returns none.
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
      // A binary client takes 0 for "not said"; in text a cas that is not real is not made up.
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
