/**
 * Classic commands as meta commands, for servers that support them: a classic reply (`STORED`) could belong to any
 * other write, a meta reply has an opaque. The reply is converted back to the classic form.
 *
 *     set k 5 60 3     ms k 3 F5 T60 O17      HD O17             STORED
 *     cas k 0 0 3 99   ms k 3 C99 O18         EX O18             EXISTS
 *     incr k 2         ma k v D2 O19          VA 1 O19 / 7       7
 *     delete k         md k O20               NF O20             NOT_FOUND
 *
 *     touch k 60       mg k T60 c O21         HD c99 O21         TOUCHED
 *
 * `mg` of a stale item may win the right to recache it, which a touch does not ask for: it is returned by marking the
 * item as stale again (`wonCas`). A large value of commands other than set has no meta form: `ms` with a value that the
 * server finds too large deletes the item, but `add` does not. Gets need no meta form, because a VALUE line has its
 * key; except for a key `noreply`, which memcached 1.6.40 and later read as the word.
 *
 * Source: memcached doc/protocol.txt, "Meta Set", "Meta Delete", "Meta Arithmetic".
 */
import { fixedReply, MetaCode, missReply, type Reply, Status, valueReply } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { CR, equalBytes, LF, SPACE, ZERO } from "./ascii.ts";
import { soleOpaqueEnd } from "./meta-proof.ts";
import type { OutputBatch } from "./output-batch.ts";

const NOREPLY = Buffer.from("noreply", "latin1");
const CRLF = Buffer.from("\r\n", "latin1");
const SET = Buffer.from("ms ", "latin1");
const DELETE = Buffer.from("md ", "latin1");
const COUNT = Buffer.from("ma ", "latin1");
const GET = Buffer.from("mg ", "latin1");
const VALUE_AND_FLAGS = Buffer.from(" v f c", "latin1");
const FLAGS_FLAG = Buffer.from(" F", "latin1");
const EXPTIME_FLAG = Buffer.from(" T", "latin1");
const CAS_FLAG = Buffer.from(" C", "latin1");
const INCREMENT = Buffer.from(" v D", "latin1");
const DECREMENT = Buffer.from(" v MD D", "latin1");
const RETURN_CAS = Buffer.from(" c", "latin1");
const OPAQUE_FLAG = Buffer.from(" O", "latin1");

const modes = new Map<Operation, Buffer>([
  [Operation.add, Buffer.from(" ME", "latin1")],
  [Operation.replace, Buffer.from(" MR", "latin1")],
  [Operation.append, Buffer.from(" MA", "latin1")],
  [Operation.prepend, Buffer.from(" MP", "latin1")],
]);

/** Values up to this size fit into all servers, unless configured otherwise (-I). */
export const MAX_META_BYTES = 256 * 1024;

/** The form of a classic request on a server with meta commands. */
export const MetaForm = { none: 0, set: 1, delete: 2, count: 3, get: 4, touch: 5 } as const;
export type MetaForm = (typeof MetaForm)[keyof typeof MetaForm];

/** The form in which `request` is sent to a server with meta commands. `none` if it is sent unchanged. */
export function metaFormOf(request: Request, prefix: Buffer): MetaForm {
  const { operation } = request;
  if (operation <= Operation.gets) return prefix.length === 0 && asksForNoreply(request) ? MetaForm.get : MetaForm.none;
  if (operation <= Operation.gats) return MetaForm.none;
  if (operation <= Operation.cas) {
    const mayBeTooLarge = request.frameEnd - request.dataStart > MAX_META_BYTES;
    return mayBeTooLarge && operation !== Operation.set ? MetaForm.none : MetaForm.set;
  }
  if (operation === Operation.delete) return MetaForm.delete;
  if (operation <= Operation.decr) return MetaForm.count;
  return operation === Operation.touch ? MetaForm.touch : MetaForm.none;
}

/** True for a key that memcached 1.6.40 and later read as the word `noreply` at the end of a line. */
export function isNoreplyKey(chunk: Buffer, start: number, end: number): boolean {
  return end - start === NOREPLY.length && equalBytes(NOREPLY, 0, NOREPLY.length, chunk, start);
}

/** True for a get of the key `noreply`, which is always sent alone. */
function asksForNoreply({ chunk, keyStart, keyEnd, keys, indexes }: Request): boolean {
  if (keys === null) return isNoreplyKey(chunk, keyStart, keyEnd);
  return indexes !== null && indexes.length === 1 && isNoreplyKeyOf(keys, indexes[0]!);
}

interface Keys {
  readonly bytes: Buffer;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** Like `isNoreplyKey`, for key `index` of a list. */
export function isNoreplyKeyOf(keys: Keys, index: number): boolean {
  return isNoreplyKey(keys.bytes, keys.starts[index]!, keys.ends[index]!);
}

/**
 * Appends the command in the form `request.form`, with `request.opaque`. Its classic line is canonical: see
 * docs/protocols.md, "What a server receives".
 */
export function writeMetaForm(request: Request, prefix: Buffer, batch: OutputBatch): void {
  const { form, chunk, keyEnd, lineEnd, operation } = request;
  switch (form) {
    case MetaForm.get:
      batch.copy(GET, 0, GET.length);
      batch.copy(NOREPLY, 0, NOREPLY.length);
      batch.copy(VALUE_AND_FLAGS, 0, VALUE_AND_FLAGS.length);
      break;
    case MetaForm.delete:
      writeKeyed(DELETE, request, prefix, batch);
      break;
    case MetaForm.count: {
      writeKeyed(COUNT, request, prefix, batch);
      const head = operation === Operation.incr ? INCREMENT : DECREMENT;
      batch.copy(head, 0, head.length);
      batch.copy(chunk, keyEnd + 1, lineEnd);
      break;
    }
    case MetaForm.touch:
      writeKeyed(GET, request, prefix, batch);
      batch.copy(EXPTIME_FLAG, 0, EXPTIME_FLAG.length);
      batch.copy(chunk, keyEnd + 1, lineEnd);
      batch.copy(RETURN_CAS, 0, RETURN_CAS.length);
      break;
    case MetaForm.set: {
      writeKeyed(SET, request, prefix, batch);
      batch.byte(SPACE);
      batch.decimal(request.frameEnd - request.dataStart - CRLF.length);
      const flagsEnd = numberEnd(chunk, keyEnd + 1, lineEnd);
      const exptimeEnd = numberEnd(chunk, flagsEnd + 1, lineEnd);
      writeNumber(FLAGS_FLAG, chunk, keyEnd + 1, flagsEnd, batch);
      writeNumber(EXPTIME_FLAG, chunk, flagsEnd + 1, exptimeEnd, batch);
      if (operation === Operation.cas) {
        batch.copy(CAS_FLAG, 0, CAS_FLAG.length);
        batch.copy(chunk, numberEnd(chunk, exptimeEnd + 1, lineEnd) + 1, lineEnd);
      }
      const mode = modes.get(operation);
      if (mode !== undefined) batch.copy(mode, 0, mode.length);
      break;
    }
  }
  batch.copy(OPAQUE_FLAG, 0, OPAQUE_FLAG.length);
  batch.decimal(request.opaque);
  batch.copy(CRLF, 0, CRLF.length);
  if (form !== MetaForm.set) return;
  if (request.isKept) batch.reference(chunk, request.dataStart, request.frameEnd);
  else batch.copy(chunk, request.dataStart, request.frameEnd);
}

function writeKeyed(verb: Buffer, { chunk, keyStart, keyEnd }: Request, prefix: Buffer, batch: OutputBatch): void {
  batch.copy(verb, 0, verb.length);
  if (prefix.length > 0) batch.copy(prefix, 0, prefix.length);
  batch.copy(chunk, keyStart, keyEnd);
}

/** Appends a flag with a number, unless the number is 0, the default. */
function writeNumber(flag: Buffer, chunk: Buffer, start: number, end: number, batch: OutputBatch): void {
  if (end === start + 1 && chunk[start] === ZERO) return;
  batch.copy(flag, 0, flag.length);
  batch.copy(chunk, start, end);
}

function numberEnd(chunk: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && chunk[i] !== SPACE) i++;
  return i;
}

const storageAnswers = new Map<number, Reply>([
  [MetaCode.HD, fixedReply(Status.stored, "STORED")],
  [MetaCode.NS, fixedReply(Status.notStored, "NOT_STORED")],
  [MetaCode.EX, fixedReply(Status.exists, "EXISTS")],
  [MetaCode.NF, fixedReply(Status.notFound, "NOT_FOUND")],
]);
const deleteAnswers = new Map<number, Reply>([
  [MetaCode.HD, fixedReply(Status.deleted, "DELETED")],
  [MetaCode.NF, fixedReply(Status.notFound, "NOT_FOUND")],
]);
const countAnswers = new Map<number, Reply>([[MetaCode.NF, fixedReply(Status.notFound, "NOT_FOUND")]]);

/**
 * Converts the reply in place to the classic form. `reply` is the whole meta reply to `request.form`; its first line
 * ends (after CR LF) at `lineEnd`. False if it is not the reply to this request.
 */
export function readMetaForm(request: Request, reply: Reply, lineEnd: number): boolean {
  switch (request.form) {
    case MetaForm.set:
      return take(storageAnswers, request, reply, lineEnd);
    case MetaForm.delete:
      return take(deleteAnswers, request, reply, lineEnd);
    case MetaForm.touch:
      return takeTouched(request, reply, lineEnd);
    case MetaForm.count:
      return reply.code === MetaCode.VA
        ? takeNumber(request, reply, lineEnd)
        : take(countAnswers, request, reply, lineEnd);
    default:
      return takeValue(request, reply, lineEnd);
  }
}

function take(answers: ReadonlyMap<number, Reply>, request: Request, reply: Reply, lineEnd: number): boolean {
  const answer = answers.get(reply.code);
  const { chunk, start } = reply;
  if (answer === undefined || soleOpaqueEnd(chunk, start + 2, lineEnd, request.opaque) !== lineEnd - 2) return false;
  become(reply, answer);
  return true;
}

function become(reply: Reply, answer: Reply): void {
  reply.status = answer.status;
  reply.chunk = answer.chunk;
  reply.start = answer.start;
  reply.end = answer.end;
  reply.isKept = true;
  reply.code = 0;
  reply.valueStart = answer.valueStart;
  reply.valueEnd = answer.valueEnd;
  reply.flags = answer.flags;
}

const touchedAnswer = fixedReply(Status.touched, "TOUCHED");
const missingAnswer = fixedReply(Status.notFound, "NOT_FOUND");
/** `HD c<cas> O<opaque>`, optionally with marks of the item's state; or `EN O<opaque>`. */
const TOUCH_LINE = /^(?:EN|HD c(\d+)) O(\d+)((?: [WXZ])*)$/;

function takeTouched(request: Request, reply: Reply, lineEnd: number): boolean {
  const line = TOUCH_LINE.exec(reply.chunk.toString("latin1", reply.start, lineEnd - CRLF.length));
  if (line === null || Number(line[2]) !== request.opaque) return false;
  become(reply, line[1] === undefined ? missingAnswer : touchedAnswer);
  return true;
}

/** The cas of the item whose right to recache the touch has won. `null` if it has won none. */
export function wonCas({ chunk, start }: Reply, lineEnd: number): string | null {
  const [, cas, , marks] = TOUCH_LINE.exec(chunk.toString("latin1", start, lineEnd - CRLF.length)) ?? [];
  return marks?.includes("W") ? cas! : null;
}

/** The classic reply is the value of the count with its CR LF. */
function takeNumber(request: Request, reply: Reply, lineEnd: number): boolean {
  const { chunk, start, valueStart, valueEnd } = reply;
  let at = start + "VA ".length;
  while (chunk[at] !== SPACE && at < lineEnd) at++;
  if (soleOpaqueEnd(chunk, at, lineEnd, request.opaque) !== lineEnd - 2) return false;
  for (let i = valueStart; i < valueEnd; i++) if (chunk[i]! < ZERO || chunk[i]! > ZERO + 9) return false;
  if (valueEnd === valueStart || chunk[valueEnd] !== CR || chunk[valueEnd + 1] !== LF) return false;
  reply.status = Status.number;
  reply.code = 0;
  reply.start = valueStart;
  reply.end = valueEnd + CRLF.length;
  reply.valueStart = 0;
  reply.valueEnd = 0;
  return true;
}

/**
 * `VA <bytes> f<flags> c<cas> O<opaque>`, optionally with marks of the item's state, and the value; or `EN O<opaque>`.
 */
const VALUE_LINE = /^(?:EN|VA \d+ f(\d+) c(\d+)) O(\d+)(?: [WXZ])*$/;

function takeValue(request: Request, reply: Reply, lineEnd: number): boolean {
  const { chunk, start, valueStart, valueEnd } = reply;
  const line = VALUE_LINE.exec(chunk.toString("latin1", start, lineEnd - CRLF.length));
  if (line === null || Number(line[3]) !== request.opaque) return false;
  if (reply.code === MetaCode.EN) {
    become(reply, missReply);
    return true;
  }
  const value = Buffer.from(chunk.subarray(valueStart, valueEnd));
  const cas = request.operation === Operation.gets ? BigInt(line[2]!) : null;
  const answer = valueReply(NOREPLY.toString("latin1"), value, Number(line[1]), cas);
  become(reply, answer);
  const { keys, indexes } = request;
  if (keys !== null && !request.isAbandoned) {
    const index = indexes![0]!;
    keys.blocks[index] = answer.chunk;
    keys.blockStarts[index] = 0;
    keys.blockEnds[index] = answer.end - "END\r\n".length;
  }
  return true;
}
