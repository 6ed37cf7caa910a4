/**
 * The in-process store as the leaf of the tree: without a pool, Platypus is a complete memcached. For development,
 * tests and single hosts.
 */
import { fixedReply, gatheredReply, missReply, Reply, Status } from "../reply.ts";
import { type KeyList, Operation, type Request } from "../request.ts";
import type { Root } from "../route/route.ts";
import { skipSpaces, tokenEnd } from "../wire/ascii.ts";
import { BufferLease, LEAST_LEASED_BYTES } from "../wire/buffer-lease.ts";
import { tooLarge } from "../wire/classic-parser.ts";
import { parseNumber, parseUnsigned } from "./c-number.ts";
import { carryOutMeta } from "./embedded-meta.ts";
import type { Item, ItemStore, StoreOutcome, StoreResult, StoreVerb } from "./item-store.ts";

const answers = {
  stored: fixedReply(Status.stored, "STORED"),
  notStored: fixedReply(Status.notStored, "NOT_STORED"),
  exists: fixedReply(Status.exists, "EXISTS"),
  notFound: fixedReply(Status.notFound, "NOT_FOUND"),
  tooLarge,
} satisfies Record<StoreResult, Reply>;
const deleted = fixedReply(Status.deleted, "DELETED");
const touched = fixedReply(Status.touched, "TOUCHED");
const ok = fixedReply(Status.ok, "OK");
const badDelta = fixedReply(Status.clientError, "CLIENT_ERROR invalid numeric delta argument");
const badExptime = fixedReply(Status.clientError, "CLIENT_ERROR invalid exptime argument");
const notNumber = fixedReply(Status.clientError, "CLIENT_ERROR cannot increment or decrement non-numeric value");

const storeVerbs = new Map<Operation, StoreVerb>([
  [Operation.set, "set"],
  [Operation.add, "add"],
  [Operation.replace, "replace"],
  [Operation.append, "append"],
  [Operation.prepend, "prepend"],
]);

/** Answers all requests synchronously from memory. */
export class EmbeddedRoute implements Root {
  readonly name = "embedded";
  readonly store: ItemStore;

  constructor(store: ItemStore) {
    this.store = store;
  }

  route(request: Request): void {
    const reply = this.carryOut(request);
    const { lease } = reply;
    request.complete(reply);
    lease?.release();
  }

  forEachTarget(): void {}

  broadcast(request: Request): void {
    const words = wordsOf(request);
    this.store.flushAll(words[1] === undefined ? 0 : Number.parseInt(words[1], 10));
    request.complete(ok);
  }

  private carryOut(request: Request): Reply {
    switch (request.operation) {
      case Operation.get:
      case Operation.gets:
      case Operation.gat:
      case Operation.gats:
        return this.retrieve(request);
      case Operation.delete:
        return this.store.delete(request.keyText()) === "deleted" ? deleted : answers.notFound;
      case Operation.incr:
      case Operation.decr:
        return this.count(request);
      case Operation.touch: {
        const exptime = parseNumber(wordsOf(request)[2]!);
        if (exptime === null || exptime !== BigInt.asIntN(64, exptime)) return badExptime;
        const low = Number(BigInt.asIntN(32, exptime));
        return this.store.touch(request.keyText(), low) === undefined ? answers.notFound : touched;
      }
      case Operation.metaGet:
      case Operation.metaSet:
      case Operation.metaDelete:
      case Operation.metaArithmetic:
      case Operation.metaDebug:
        return carryOutMeta(this.store, request);
      default:
        return answers[this.write(request).result];
    }
  }

  private retrieve(request: Request): Reply {
    const { keys } = request;
    if (keys !== null) {
      for (let i = 0; i < keys.count; i++) this.retrieveInto(keys, i, request);
      return keys.blocks.some((block) => block !== null) ? gatheredReply : missReply;
    }
    const item = this.find(request, request.keyText());
    if (item === undefined) return missReply;
    const parts: Buffer[] = [];
    addBlock(parts, request, request.chunk, request.keyStart, request.keyEnd, item);
    parts.push(END);
    const reply = joinedReply(parts);
    reply.status = Status.found;
    reply.flags = item.flags;
    reply.valueEnd = reply.end - CRLF.length - END.length;
    reply.valueStart = reply.valueEnd - item.value.length;
    return reply;
  }

  private retrieveInto(keys: KeyList, index: number, request: Request): void {
    const start = keys.starts[index]!;
    const end = keys.ends[index]!;
    const item = this.find(request, keys.bytes.toString("latin1", start, end));
    if (item === undefined) return;
    const parts: Buffer[] = [];
    addBlock(parts, request, keys.bytes, start, end, item);
    const block = Buffer.concat(parts);
    keys.blocks[index] = block;
    keys.blockEnds[index] = block.length;
  }

  private find(request: Request, key: string): Item | undefined {
    const isTouch = request.operation === Operation.gat || request.operation === Operation.gats;
    return isTouch ? this.store.touch(key, request.exptime) : this.store.get(key);
  }

  private count(request: Request): Reply {
    const delta = parseUnsigned(wordsOf(request)[2]!);
    if (delta === null) return badDelta;
    const outcome = this.store.arithmetic(request.keyText(), request.operation === Operation.incr, delta);
    if (outcome === "notFound") return answers.notFound;
    if (outcome === "notNumber") return notNumber;
    return fixedReply(Status.number, outcome.value.toString());
  }

  private write(request: Request): StoreOutcome {
    const [, , flagsText, exptimeText, , casText] = wordsOf(request);
    const flags = Number(BigInt.asUintN(32, parseNumber(flagsText!)!));
    const exptime = Number.parseInt(exptimeText!, 10);
    const value = Buffer.allocUnsafeSlow(request.frameEnd - 2 - request.dataStart);
    request.chunk.copy(value, 0, request.dataStart, request.frameEnd - 2);
    const key = request.keyText();
    if (request.operation === Operation.cas) {
      return this.store.compareAndSet(key, value, flags, exptime, Number(parseNumber(casText!)));
    }
    return this.store.store(storeVerbs.get(request.operation)!, key, value, flags, exptime);
  }
}

const END = Buffer.from("END\r\n", "latin1");
const CRLF = Buffer.from("\r\n", "latin1");
const VALUE = Buffer.from("VALUE ", "latin1");

/** A reply of these parts. A large reply is in a leased buffer; the caller releases the lease. */
function joinedReply(parts: readonly Buffer[]): Reply {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const reply = new Reply();
  reply.lease = length >= LEAST_LEASED_BYTES ? BufferLease.take(length) : null;
  reply.isKept = reply.lease === null;
  reply.chunk = reply.lease?.buffer ?? Buffer.allocUnsafeSlow(length);
  for (const part of parts) reply.end += part.copy(reply.chunk, reply.end);
  return reply;
}

function addBlock(parts: Buffer[], request: Request, chunk: Buffer, start: number, end: number, item: Item): void {
  const isCas = request.operation === Operation.gets || request.operation === Operation.gats;
  const rest = ` ${item.flags} ${item.value.length}${isCas ? ` ${item.cas}` : ""}\r\n`;
  parts.push(VALUE, chunk.subarray(start, end), Buffer.from(rest, "latin1"), item.value, CRLF);
}

/** The words of the command line, without noreply. */
function wordsOf(request: Request): string[] {
  const { chunk, frameStart, lineEnd } = request;
  const words: string[] = [];
  for (let i = skipSpaces(chunk, frameStart, lineEnd); i < lineEnd; i = skipSpaces(chunk, i, lineEnd)) {
    const end = tokenEnd(chunk, i, lineEnd);
    words.push(chunk.toString("latin1", i, end));
    i = end;
  }
  return words;
}
