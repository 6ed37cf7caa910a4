/**
 * The meta commands on the in-process store.
 *
 * Source: memcached doc/protocol.txt, "Meta Get", "Meta Set", "Meta Delete", "Meta Arithmetic", "Meta Debug"; error
 * texts and the order of returned flags follow memcached 1.6.18.
 */
import { fixedReply, MetaCode, Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { tooLarge } from "../wire/classic-parser.ts";
import { lineWords } from "../wire/meta-line.ts";
import { parseNumber, parseUnsigned } from "./c-number.ts";
import type { Item, ItemStore, StoreOutcome, StoreVerb } from "./item-store.ts";

const MAX_WORDS = 19;
const MAX_OPAQUE = 32;
/** memcached stores larger values in chunks, in which it does not look for a number. */
const MAX_PLAIN_VALUE_BYTES = 512 * 1024;
const KNOWN_FLAGS = "bNTRlOPLkstcfvhuqFCMJDI";
const setVerbs: Record<string, StoreVerb> = { S: "set", E: "add", A: "append", P: "prepend", R: "replace" };

/** Placeholder for the cas of a stored item; a client's text cannot contain it. */
const CAS_PLACE = "\n";

/** True if a decoded base64 key follows the line. */
function isKeyDecoded(request: Request): boolean {
  return request.keyStart >= request.lineEnd;
}

/** Remaining TTL of an item in seconds; an unsigned 32-bit number if the item has expired. */
function ttlText(store: ItemStore, item: Item): string {
  return item.expiresAt === 0 ? "-1" : String(store.remainingSeconds(item) >>> 0);
}

/** A command line that memcached would refuse; the message is its reply. */
class Refusal extends Error {}

interface Check {
  readonly isGood: (token: string) => boolean;
  /** `null` keeps an earlier message. */
  readonly message: string | null;
}

const badToken: Check = { isGood: (token) => int32(token) !== null, message: "bad token in command line format" };
const isUnsigned = (token: string) => parseUnsigned(token) !== null;
const checks = new Map<string, Check>([
  ["N", badToken],
  ["T", badToken],
  ["R", badToken],
  ["C", { isGood: isUnsigned, message: badToken.message }],
  ["F", { isGood: isUnsigned, message: null }],
  ["M", { isGood: (token) => token.length === 1, message: "incorrect length for M token" }],
  ["J", { isGood: isUnsigned, message: "invalid numeric initial value" }],
  ["D", { isGood: isUnsigned, message: "invalid numeric delta value" }],
]);

/** The flags of a line by letter, with their tokens. */
class Flags {
  readonly list: readonly string[];
  private readonly tokens = new Map<string, string>();

  /**
   * Throws a Refusal for an unknown flag, a duplicate, or an invalid token; `text` replaces the message for all of
   * these. Of several invalid tokens, the message of the last counts; F has no message.
   */
  constructor(request: Request, list: readonly string[], text?: string) {
    this.list = list;
    let problem: string | null = null;
    const isDecoded = isKeyDecoded(request);
    for (const flag of list) {
      const letter = flag[0]!;
      const token = flag.slice(1);
      if (this.tokens.has(letter) || letter.charCodeAt(0) >= 127)
        throw new Refusal(text ?? "CLIENT_ERROR duplicate flag");
      if (!KNOWN_FLAGS.includes(letter)) throw new Refusal(text ?? "CLIENT_ERROR invalid flag");
      this.tokens.set(letter, token);
      if (letter === "b" && !isDecoded) problem = "error decoding key";
      const check = checks.get(letter);
      if (check !== undefined && !check.isGood(token)) problem = check.message ?? problem ?? "bad command line format";
    }
    if (problem !== null) throw new Refusal(text ?? `CLIENT_ERROR ${problem}`);
  }

  has(letter: string): boolean {
    return this.tokens.has(letter);
  }

  /** A token as text. `undefined` if the flag is absent. */
  token(letter: string): string | undefined {
    return this.tokens.get(letter);
  }

  /** An exptime. The flag must be present. */
  exptime(letter: string): number {
    return int32(this.tokens.get(letter)!)!;
  }

  /** A 64-bit number. `otherwise` if the flag is absent. */
  unsigned(letter: string, otherwise: bigint): bigint {
    const token = this.tokens.get(letter);
    return token === undefined ? otherwise : parseUnsigned(token)!;
  }
}

/** With these flags of `mg`, memcached holds the item's lock, and counts the get after all flags are evaluated. */
const FETCHED_LAST = ["N", "T", "R", "l", "h"];

/** Executes a meta command. */
export function carryOutMeta(store: ItemStore, request: Request): Reply {
  const words = lineWords(request);
  try {
    switch (request.operation) {
      case Operation.metaGet:
        return metaGet(store, request, words);
      case Operation.metaSet:
        return metaSet(store, request, words);
      case Operation.metaDelete:
        return metaDelete(store, request, words);
      case Operation.metaArithmetic:
        return metaArithmetic(store, request, words);
      default:
        if (words[2] === "b" && !isKeyDecoded(request)) throw new Refusal("CLIENT_ERROR bad command line format");
        return metaDebug(store, request);
    }
  } catch (error) {
    if (error instanceof Refusal) return fixedReply(Status.clientError, error.message);
    throw error;
  }
}

function metaGet(store: ItemStore, request: Request, words: readonly string[]): Reply {
  if (words.length > MAX_WORDS) throw new Refusal("CLIENT_ERROR options flags are too long");
  const flags = new Flags(request, words.slice(2));
  const key = request.keyText();
  let item = store.peek(key);
  let hasWon = false;
  const isCreated = item === undefined && flags.has("N");
  if (isCreated) {
    store.store("set", key, Buffer.alloc(0), 0, 0);
    item = store.peek(key)!;
    hasWon = true;
  }
  if (item === undefined) return metaReply("EN", echoes(flags, request.keyText()));
  // Values from before this get.
  const { isFetched, lastGetAt } = item;
  // As in memcached, a get with a refused flag still counts as a fetch, except with the flags that delay the count.
  const isFetchedLast = FETCHED_LAST.some((letter) => flags.has(letter));
  if (!flags.has("u") && !isFetchedLast) store.get(key);
  let text = "";
  for (const flag of flags.list) {
    switch (flag[0]) {
      case "T":
        store.expire(item, flags.exptime("T"));
        break;
      case "N":
        if (isCreated) store.expire(item, flags.exptime("N"));
        break;
      case "R":
        if (!item.isTokenSent && !isCreated && item.expiresAt !== 0) {
          hasWon ||= flags.exptime("R") >= 0 && store.remainingSeconds(item) < flags.exptime("R");
        }
        break;
      case "s":
        text += ` s${item.value.length}`;
        break;
      case "t":
        text += ` t${ttlText(store, item)}`;
        break;
      case "c":
        text += ` c${item.cas}`;
        break;
      case "f":
        text += ` f${item.flags}`;
        break;
      case "l":
        text += ` l${store.nowSeconds - lastGetAt}`;
        break;
      case "h":
        text += ` h${isFetched ? 1 : 0}`;
        break;
      case "k":
        // In the form in which it was stored.
        text += item.isBinaryKey ? ` k${Buffer.from(key, "latin1").toString("base64")} b` : ` k${key}`;
        break;
      default:
        text += echo(flag, flags, key);
    }
  }
  if (item.isTokenSent) text += " Z";
  if (item.isStale) {
    text += " X";
    hasWon ||= !item.isTokenSent;
  }
  if (hasWon) {
    text += " W";
    item.isTokenSent = true;
  }
  if (!flags.has("u") && isFetchedLast) store.get(key);
  return flags.has("v") ? metaValue(item.value, text) : metaReply("HD", text);
}

function metaSet(store: ItemStore, request: Request, words: readonly string[]): Reply {
  if (words.length > MAX_WORDS) throw new Refusal("CLIENT_ERROR options flags too long");
  const flags = new Flags(request, words.slice(3));
  const text = flags.list.map((flag) => (flag[0] === "c" ? CAS_PLACE : echo(flag, flags, request.keyText()))).join("");
  const verb = setVerbs[flags.token("M") ?? "S"];
  if (verb === undefined) throw new Refusal("CLIENT_ERROR invalid mode for ms M token");
  const value = Buffer.allocUnsafeSlow(request.frameEnd - 2 - request.dataStart);
  request.chunk.copy(value, 0, request.dataStart, request.frameEnd - 2);
  const outcome = writeItem(store, request.keyText(), verb, value, flags);
  if (outcome.result === "tooLarge") return tooLarge;
  const item = store.peek(request.keyText());
  const isNew = verb !== "append" && verb !== "prepend";
  if (outcome.result === "stored" && item !== undefined) item.isBinaryKey = isNew && flags.has("b");
  // The cas of the stored item. If no item was stored, memcached returns the meaningless value 0.
  const cas = outcome.result === "stored" ? outcome.cas : 0;
  const codes = { stored: "HD", notStored: "NS", exists: "EX", notFound: "NF" } as const;
  return metaReply(codes[outcome.result], text.replace(CAS_PLACE, ` c${cas}`));
}

function writeItem(store: ItemStore, key: string, verb: StoreVerb, value: Buffer, flags: Flags): StoreOutcome {
  const clientFlags = Number(BigInt.asUintN(32, flags.unsigned("F", 0n)));
  const exptime = flags.has("T") ? flags.exptime("T") : 0;
  const old = store.peek(key);
  if (!flags.has("C")) return store.store(verb, key, value, clientFlags, exptime);
  const cas = Number(flags.unsigned("C", 0n));
  if (verb === "add") return store.store(verb, key, value, clientFlags, exptime);
  if (verb === "append" || verb === "prepend") {
    if (old !== undefined && cas !== 0 && cas !== old.cas) return { result: "exists", cas: 0 };
    return store.store(verb, key, value, clientFlags, exptime);
  }
  if (old !== undefined && flags.has("I") && cas !== 0 && cas < old.cas) {
    const { expiresAt, isTokenSent } = old;
    const outcome = store.store("set", key, value, clientFlags, 0);
    const item = store.peek(key);
    if (item !== undefined) Object.assign(item, { expiresAt, isTokenSent, isStale: true });
    return outcome;
  }
  return store.compareAndSet(key, value, clientFlags, exptime, cas);
}

function metaDelete(store: ItemStore, request: Request, words: readonly string[]): Reply {
  if (words.length > MAX_WORDS) throw new Refusal("CLIENT_ERROR options flags too long");
  const flags = new Flags(request, words.slice(2), "CLIENT_ERROR invalid or duplicate flag");
  const text = echoes(flags, request.keyText());
  const key = request.keyText();
  const item = store.peek(key);
  if (item === undefined) return metaReply("NF", text);
  if (flags.has("C") && BigInt(item.cas) !== flags.unsigned("C", 0n)) return metaReply("EX", text);
  if (flags.has("I")) {
    store.invalidate(item);
    if (flags.has("T")) store.expire(item, flags.exptime("T"));
  } else {
    store.delete(key);
  }
  return metaReply("HD", text);
}

function metaArithmetic(store: ItemStore, request: Request, words: readonly string[]): Reply {
  if (words.length > MAX_WORDS) throw new Refusal("CLIENT_ERROR options flags too long");
  const flags = new Flags(request, words.slice(2), "CLIENT_ERROR invalid or duplicate flag");
  const mode = flags.token("M") ?? "I";
  if (!"I+D-".includes(mode)) throw new Refusal("CLIENT_ERROR invalid mode for ma M token");
  const isIncrement = mode === "I" || mode === "+";
  const key = request.keyText();
  const cas = flags.unsigned("C", 0n);
  const old = store.peek(key);
  let value: bigint;
  if (old === undefined) {
    if (!flags.has("N")) return metaReply("NF", echoes(flags, request.keyText()));
    value = flags.unsigned("J", 0n);
    store.store("set", key, Buffer.from(value.toString(), "latin1"), 0, 0);
  } else {
    const mayBeNumber = old.value.length > 0 && old.value.length <= MAX_PLAIN_VALUE_BYTES;
    if (mayBeNumber && cas !== 0n && cas !== BigInt(old.cas)) return metaReply("EX", echoes(flags, request.keyText()));
    const outcome = store.arithmetic(key, isIncrement, flags.unsigned("D", 1n));
    if (typeof outcome === "string") {
      throw new Refusal("CLIENT_ERROR cannot increment or decrement non-numeric value");
    }
    value = outcome.value;
  }
  const item = store.peek(key);
  let text = "";
  for (const flag of flags.list) {
    const letter = flag[0]!;
    if (letter === "c") text += ` c${item?.cas ?? 0}`;
    else if (letter === "t") text += ` t${item === undefined ? 0 : ttlText(store, item)}`;
    else if (item !== undefined && (letter === "T" || (letter === "N" && old === undefined))) {
      store.expire(item, flags.exptime(letter));
    } else text += echo(flag, flags, key);
  }
  return flags.has("v") ? metaValue(Buffer.from(value.toString(), "latin1"), text) : metaReply("HD", text);
}

function metaDebug(store: ItemStore, request: Request): Reply {
  const key = request.keyText();
  const item = store.peek(key);
  if (item === undefined) return metaReply("EN", "");
  const facts = [
    // Seconds since its expiry, which is in the future.
    `exp=${item.expiresAt === 0 ? -1 : -store.remainingSeconds(item)}`,
    `la=${store.nowSeconds - item.lastGetAt}`,
    `cas=${item.cas}`,
    `fetch=${item.isFetched ? "yes" : "no"}`,
    "cls=1",
    `size=${item.bytes}`,
  ];
  // In the form in which it was stored.
  const word = item.isBinaryKey ? Buffer.from(key, "latin1").toString("base64") : key;
  return metaReply("ME", ` ${word} ${facts.join(" ")}`);
}

/** Opaque and key, which each reply returns in the order of the request. */
function echoes(flags: Flags, key: string): string {
  return flags.list.map((flag) => echo(flag, flags, key)).join("");
}

function echo(flag: string, flags: Flags, key: string): string {
  if (flag[0] === "O") {
    if (flag.length > MAX_OPAQUE) throw new Refusal("CLIENT_ERROR opaque token too long");
    return ` ${flag}`;
  }
  if (flag[0] !== "k") return "";
  return flags.has("b") ? ` k${Buffer.from(key, "latin1").toString("base64")} b` : ` k${key}`;
}

/** An int32 as read by memcached's safe_strtol. `null` if the token is invalid. */
function int32(token: string): number | null {
  const value = parseNumber(token);
  return value === null || value !== BigInt.asIntN(64, value) ? null : Number(BigInt.asIntN(32, value));
}

function metaReply(code: keyof typeof MetaCode, text: string): Reply {
  const reply = fixedReply(Status.meta, code + text);
  reply.code = MetaCode[code];
  return reply;
}

function metaValue(value: Buffer, text: string): Reply {
  const head = Buffer.from(`VA ${value.length}${text}\r\n`, "latin1");
  const reply = new Reply();
  reply.status = Status.meta;
  reply.code = MetaCode.VA;
  reply.chunk = Buffer.concat([head, value, Buffer.from("\r\n", "latin1")]);
  reply.end = reply.chunk.length;
  reply.isKept = true;
  reply.valueStart = head.length;
  reply.valueEnd = head.length + value.length;
  return reply;
}
