/**
 * Streams as clients might send them, right and wrong: classic and meta commands, binary frames, noise, and mutations of
 * all of these. Their keys are never those of a canary.
 */
import { arithmetic, type Frame, frameBytes, words } from "../support/clients/binary-client.ts";
import { mutate } from "./mutate.ts";
import type { Random } from "./random.ts";

const KEYS: readonly string[] = [
  ...[
    "a",
    "b",
    "n",
    "n",
    "fill/a",
    "fill/b",
    "fill/\xff\x80",
    "k\x80",
    "q",
    "noreply",
    "l".repeat(250),
    "l".repeat(251),
  ],
];
const NUMBERS: readonly string[] = [
  "0",
  "0",
  "1",
  "60",
  "-1",
  "2592001",
  "4294967295",
  "18446744073709551615",
  "x",
  "",
];
const META_FLAGS: readonly string[] = [
  ..."v f t s k c h l u q q b I W X Z E1 O1 Oabc T0 T60 T-1 N30 N0 R30 F5 MS ME MA MP MR MX MI MD J5 D3 C1 S3".split(
    " ",
  ),
];
const OPCODES: readonly number[] = [...Array(0x27).keys(), 0x40, 0xff];

/** One connection's bytes, at most some hundred KB. */
export function hostileStream(random: Random): Buffer {
  const command = random.pick([classic, meta, either, frame, frame, noise]);
  const whole = Array.from({ length: 1 + random.below(60) }, () => {
    const bytes = command(random);
    return random.oneIn(3) ? mutate(random, bytes) : bytes;
  });
  const stream = Buffer.concat(whole);
  const sent = random.oneIn(4) ? mutate(random, stream) : stream;
  return hasLineFeedInKey(sent) ? Buffer.from("mn\r\n") : sent;
}

/**
 * A memcached 1.6.18 writes a base64 key with a line feed as it is, and two lines of answer put its connection out of
 * step: it is closed, on purpose, and canaries would notice.
 */
function hasLineFeedInKey(stream: Buffer): boolean {
  const words = stream.toString("latin1").matchAll(/\bm[gsdae] +(\S+)/g);
  return [...words].some(([, word]) => Buffer.from(word!, "base64").includes(0x0a));
}

function either(random: Random): Buffer {
  return random.oneIn(2) ? classic(random) : meta(random);
}

function noise(random: Random): Buffer {
  return random.bytes(random.below(200));
}

/** The data of a write; often a number, sometimes what looks like commands, seldom large. */
function data(random: Random): string {
  if (random.oneIn(60)) return "L".repeat(random.pick([8_000, 70_000, 1_048_576, 1_048_577]));
  return random.pick(["", "1", "10", "text", "get a\r\n", "END\r\n", "\r\n\r\n", "v".repeat(random.below(3_000))]);
}

function keys(random: Random): string {
  return Array.from({ length: 1 + random.below(random.oneIn(5) ? 40 : 3) }, () => random.pick(KEYS)).join(" ");
}

function classic(random: Random): Buffer {
  const key = random.pick(KEYS);
  const number = () => random.pick(NUMBERS);
  const noreply = random.oneIn(3) ? " noreply" : "";
  let text: string;
  switch (random.below(7)) {
    case 0:
    case 1: {
      const value = data(random);
      const length = random.oneIn(15) ? number() : value.length;
      const verb = random.pick(["set", "set", "add", "replace", "append", "prepend", "cas"]);
      const cas = verb === "cas" ? ` ${number()}` : "";
      text = `${verb} ${key} ${number()} ${number()} ${length}${cas}${noreply}\r\n${value}`;
      break;
    }
    case 2:
    case 3:
      text = `${random.pick(["get", "gets"])} ${keys(random)}`;
      break;
    case 4:
      text = `${random.pick(["gat", "gats"])} ${number()} ${keys(random)}`;
      break;
    case 5:
      text = `${random.pick(["incr", "decr", "touch", "delete"])} ${key} ${number()}${noreply}`;
      break;
    default:
      text = random.pick([
        ...["version", "stats", "stats platypus", "stats x", "flush_all", "flush_all 0 noreply", "verbosity 1", "quit"],
        ...["shutdown", "watch", "lru mode flat", "", "get", "set", "GET a", "cache_memlimit 1", "get  a ", "\0"],
      ]);
  }
  return Buffer.from(`${text}\r\n`, "latin1");
}

function meta(random: Random): Buffer {
  const flags = Array.from({ length: random.below(6) }, () => random.pick(META_FLAGS));
  const plain = random.pick(KEYS);
  const isBase64 = random.oneIn(4);
  if (isBase64) flags.push("b");
  const key = isBase64 ? Buffer.from(random.oneIn(2) ? plain : `${plain}\r\t `, "latin1").toString("base64") : plain;
  const verb = random.pick(["mg", "mg", "mg", "ms", "ms", "md", "ma", "me", "mn", "mx"]);
  if (verb === "mn") return Buffer.from("mn\r\n");
  if (verb !== "ms") return Buffer.from(`${[verb, key, ...flags].join(" ")}\r\n`, "latin1");
  const value = data(random);
  const length = random.oneIn(15) ? random.pick(NUMBERS) : String(value.length);
  return Buffer.from(`${[verb, key, length, ...flags].join(" ")}\r\n${value}\r\n`, "latin1");
}

function frame(random: Random): Buffer {
  const opcode = random.pick(OPCODES);
  const number = () => random.pick([0, 1, 60, 0x7fffffff, 0x80000000, 0xffffffff]);
  const long = () => random.pick([0n, 1n, 2n ** 64n - 1n]);
  const extras = random.oneIn(10)
    ? "x".repeat(random.below(25))
    : random.pick(["", "", words(number()), words(number(), number()), arithmetic(long(), long(), number())]);
  const asked: Frame = {
    opcode,
    key: random.oneIn(12) ? "" : random.pick(KEYS),
    extras: extrasOf(opcode, extras, random),
    value: hasValue(opcode) || random.oneIn(20) ? data(random) : "",
    cas: random.oneIn(4) ? long() : 0n,
    opaque: random.below(2 ** 32),
  };
  return frameBytes(random.oneIn(40) ? { ...asked, bodyBytes: random.below(300) } : asked);
}

/** Extras as the opcode wants them, nearly always. */
function extrasOf(opcode: number, otherwise: string, random: Random): string {
  if (random.oneIn(12)) return otherwise;
  if ([0x01, 0x02, 0x03, 0x11, 0x12, 0x13].includes(opcode)) return words(5, random.pick([0, 60]));
  if ([0x05, 0x06, 0x15, 0x16].includes(opcode)) return arithmetic(1n, 5n, random.pick([0, 0xffffffff]));
  if ([0x1c, 0x1d, 0x1e, 0x23, 0x24].includes(opcode)) return words(60);
  return "";
}

function hasValue(opcode: number): boolean {
  return [0x01, 0x02, 0x03, 0x0e, 0x0f, 0x11, 0x12, 0x13, 0x19, 0x1a].includes(opcode);
}
