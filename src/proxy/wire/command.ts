/**
 * A request as what it does rather than as bytes, for servers that are not spoken to in its own words: those of hosted
 * memcached in binary, those older than memcached 1.6 without meta commands. What such a server cannot be asked is
 * refused, never approximated. Not the path of a hit in a pool of ordinary servers.
 *
 *     Request ── commandsOf ──► Command ── server ──► Outcome ── replyTo ──► Reply in the request's own form
 */
import { fixedReply, MetaCode, notSupported, Reply, Status } from "../reply.ts";
import { isMeta, isRetrieval, Operation, type Request } from "../request.ts";
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
const badNumber = fixedReply(Status.clientError, "CLIENT_ERROR invalid numeric delta argument");

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

/** The command of a request for one key or for none; for several keys that of key `index`. Or why it is refused. */
export function commandOf(request: Request, prefix: Buffer, index = -1): Command | Reply {
  const verb = classicVerbs.get(request.operation);
  if (verb === undefined) return metaCommand(request, keyOf(request, prefix, index));
  const base = bare(verb, keyOf(request, prefix, index));
  if (isRetrieval(request.operation)) return verb === "gat" ? { ...base, exptime: request.exptime } : base;
  const words = request.chunk.toString("latin1", request.frameStart, request.lineEnd).trim().split(/ +/);
  switch (verb) {
    case "delete":
    case "version":
      return base;
    case "flush":
    case "touch":
      return { ...base, exptime: Number(words[verb === "flush" ? 1 : 2] ?? 0) };
    case "incr":
    case "decr":
      return /^\d{1,20}$/.test(words[2] ?? "") ? { ...base, delta: BigInt(words[2]!) } : badNumber;
    default: {
      const cas = request.operation === Operation.cas ? BigInt(words[5] ?? 0) : 0n;
      return { ...base, value: dataOf(request), flags: Number(words[2]), exptime: Number(words[3]), cas };
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
  const head = Buffer.from(
    `VALUE ${request.keyText()} ${flags} ${value.length}${hasCas ? ` ${cas ?? 0n}` : ""}\r\n`,
    "latin1",
  );
  const reply = new Reply();
  reply.status = Status.found;
  reply.chunk = Buffer.concat([head, value, TAIL]);
  reply.end = reply.chunk.length;
  reply.isKept = true;
  reply.valueStart = head.length;
  reply.valueEnd = head.length + value.length;
  reply.flags = flags;
  return reply;
}

const TAIL = Buffer.from("\r\nEND\r\n", "latin1");

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
  const flags = metaFlags(request);
  if (supported === undefined || flags.some((flag) => !supported.includes(flag[0]!))) return notSupported;
  const token = (letter: string) => flags.find((flag) => flag[0] === letter)?.slice(1);
  const cas = BigInt(token("C") ?? 0);
  const exptime = Number(token("T") ?? 0);
  switch (request.operation) {
    case Operation.metaGet: {
      const isTouch = token("T") !== undefined;
      if (!isTouch) return bare("get", key);
      // A touch answers with neither value nor flags nor cas.
      const wantsItem = flags.some((flag) => "vfcs".includes(flag[0]!));
      return { ...bare(wantsItem ? "gat" : "touch", key), exptime };
    }
    case Operation.metaDelete:
      return { ...bare("delete", key), cas };
    case Operation.metaSet: {
      const verb = setModes[(token("M") ?? "S").toUpperCase()];
      // "Invalidate" with an older cas marks an item as stale, which only meta knows.
      if (verb === undefined || token("I") !== undefined) return notSupported;
      return { ...bare(verb, key), value: dataOf(request), flags: Number(token("F") ?? 0), exptime, cas };
    }
    default: {
      const isIncrement = ["I", "INCR", "+"].includes((token("M") ?? "I").toUpperCase());
      const initial = token("N") === undefined ? null : BigInt(token("J") ?? 0);
      const command = { ...bare(isIncrement ? "incr" : "decr", key), delta: BigInt(token("D") ?? 1), initial, cas };
      return { ...command, exptime: Number(token("N") ?? 0) };
    }
  }
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
