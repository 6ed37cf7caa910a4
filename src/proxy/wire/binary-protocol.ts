/**
 * Constants, texts and frames of memcached's binary protocol.
 *
 *     byte 0      1       2–3     4       5        6–7           8–11       12–15   16–23
 *          magic  opcode  keylen  extlen  datatype vbucket/status bodylen    opaque  cas      then extras, key, value
 *
 * Source: memcached protocol_binary.h and the BinaryProtocolRevamped page; texts as memcached 1.6 has them.
 */
import { Reply, Status } from "../reply.ts";
import type { BinaryHeader } from "../request.ts";

export const HEADER_BYTES = 24;
export const REQUEST_MAGIC = 0x80;
const RESPONSE_MAGIC = 0x81;

export const Opcode = {
  get: 0x00,
  set: 0x01,
  add: 0x02,
  replace: 0x03,
  delete: 0x04,
  increment: 0x05,
  decrement: 0x06,
  quit: 0x07,
  flush: 0x08,
  getQ: 0x09,
  noop: 0x0a,
  version: 0x0b,
  getK: 0x0c,
  getKQ: 0x0d,
  append: 0x0e,
  prepend: 0x0f,
  stat: 0x10,
  setQ: 0x11,
  addQ: 0x12,
  replaceQ: 0x13,
  deleteQ: 0x14,
  incrementQ: 0x15,
  decrementQ: 0x16,
  quitQ: 0x17,
  flushQ: 0x18,
  appendQ: 0x19,
  prependQ: 0x1a,
  verbosity: 0x1b,
  touch: 0x1c,
  gat: 0x1d,
  gatQ: 0x1e,
  saslListMechs: 0x20,
  saslAuth: 0x21,
  saslStep: 0x22,
  gatK: 0x23,
  gatKQ: 0x24,
} as const;

export const BinaryStatus = {
  ok: 0x00,
  notFound: 0x01,
  exists: 0x02,
  tooLarge: 0x03,
  invalid: 0x04,
  notStored: 0x05,
  notNumber: 0x06,
  authError: 0x20,
  authContinue: 0x21,
  unknownCommand: 0x81,
  outOfMemory: 0x82,
  temporaryFailure: 0x86,
} as const;
export type BinaryStatus = (typeof BinaryStatus)[keyof typeof BinaryStatus];

const texts = new Map<BinaryStatus, string>([
  [BinaryStatus.notFound, "Not found"],
  [BinaryStatus.exists, "Data exists for key."],
  [BinaryStatus.tooLarge, "Too large."],
  [BinaryStatus.invalid, "Invalid arguments"],
  [BinaryStatus.notStored, "Not stored."],
  [BinaryStatus.notNumber, "Non-numeric server-side value for incr or decr"],
  [BinaryStatus.authError, "Auth failure."],
  [BinaryStatus.unknownCommand, "Unknown command"],
  [BinaryStatus.outOfMemory, "Out of memory"],
]);

const EMPTY = Buffer.alloc(0);

/** Parts of a frame. All except the status are optional. */
export interface BinaryParts {
  readonly extras?: Buffer;
  readonly key?: Buffer;
  readonly value?: Buffer;
  readonly cas?: bigint;
}

/** Builds a response frame. */
export function binaryFrame(header: BinaryHeader, status: BinaryStatus, parts: BinaryParts = {}): Buffer {
  return frame(RESPONSE_MAGIC, header.opcode, status, header.opaque, parts);
}

/** Builds a request frame. */
export function requestFrame(opcode: number, opaque: number, parts: BinaryParts): Buffer {
  return frame(REQUEST_MAGIC, opcode, 0, opaque, parts);
}

function frame(magic: number, opcode: number, status: number, opaque: number, parts: BinaryParts): Buffer {
  const { extras = EMPTY, key = EMPTY, value = EMPTY, cas = 0n } = parts;
  const head = Buffer.alloc(HEADER_BYTES);
  head[0] = magic;
  head[1] = opcode;
  head.writeUInt16BE(key.length, 2);
  head[4] = extras.length;
  head.writeUInt16BE(status, 6);
  head.writeUInt32BE(extras.length + key.length + value.length, 8);
  head.writeUInt32BE(opaque, 12);
  head.writeBigUInt64BE(cas, 16);
  return Buffer.concat([head, extras, key, value]);
}

/** One or several response frames as a reply that is sent unchanged. */
export function binaryReply(bytes: Buffer): Reply {
  const reply = new Reply();
  reply.status = Status.ok;
  reply.chunk = bytes;
  reply.end = bytes.length;
  reply.isKept = true;
  return reply;
}

/** An error with memcached's text, or with `text`. */
export function binaryError(header: BinaryHeader, status: BinaryStatus, text = texts.get(status) ?? ""): Reply {
  return binaryReply(binaryFrame(header, status, { value: Buffer.from(text, "latin1") }));
}
