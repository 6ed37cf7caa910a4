/**
 * SASL over the binary protocol, with the mechanism PLAIN: a name and a password in one frame, or in the step after an
 * empty frame.
 *
 *     list mechs                               → "PLAIN"
 *     auth  key PLAIN  value [id]\0name\0password → "Authenticated", or status 0x20
 *     auth  key PLAIN  no value                → status 0x21, then: step key PLAIN value …
 *
 * Sources: memcached 1.6.45, proto_bin.c (process_bin_sasl_auth, process_bin_complete_sasl_auth); RFC 4616.
 */
import { BinaryStatus, HEADER_BYTES, Opcode } from "../wire/binary-protocol.ts";

const MECHANISM = "PLAIN";
const MAX_MECHANISM_BYTES = 32;
/** A longer value is skipped without reading it. */
const MAX_VALUE_BYTES = 16_384;

/** A SASL frame. `swallow` is the number of bytes after the header that are skipped. */
export type SaslFrame =
  | { readonly type: "incomplete"; readonly wantedBytes: number }
  | { readonly type: "mechanisms" }
  | { readonly type: "refused"; readonly status: BinaryStatus; readonly swallow: number; readonly isLast: boolean }
  /** A login attempt without a usable name and password. */
  | { readonly type: "unusable"; readonly next: number }
  /** The client must send the rest in a step. */
  | { readonly type: "continue"; readonly next: number }
  | { readonly type: "login"; readonly name: string; readonly password: Buffer; readonly next: number };

/** True for the commands that this file reads. */
export function isSasl(opcode: number): boolean {
  return opcode === Opcode.saslListMechs || opcode === Opcode.saslAuth || opcode === Opcode.saslStep;
}

/** Reads the frame at `start`, whose header is complete. `isStarted`: the reply to the frame before was `continue`. */
export function parseSaslFrame(chunk: Buffer, start: number, end: number, isStarted: boolean): SaslFrame {
  const opcode = chunk[start + 1];
  const keyBytes = chunk.readUInt16BE(start + 2);
  const extraBytes = chunk[start + 4]!;
  const bodyBytes = chunk.readUInt32BE(start + 8);
  const refused = (status: BinaryStatus, isLast: boolean) =>
    ({ type: "refused", status, swallow: bodyBytes, isLast }) as const;
  if (keyBytes + extraBytes > bodyBytes) return refused(BinaryStatus.unknownCommand, true);
  if (opcode === Opcode.saslListMechs) {
    return bodyBytes === 0 ? { type: "mechanisms" } : refused(BinaryStatus.invalid, true);
  }
  if (extraBytes > 0 || keyBytes === 0) return refused(BinaryStatus.invalid, true);
  if (keyBytes > MAX_MECHANISM_BYTES) return refused(BinaryStatus.invalid, false);
  if (bodyBytes - keyBytes > MAX_VALUE_BYTES) return refused(BinaryStatus.tooLarge, false);
  const keyStart = start + HEADER_BYTES;
  const valueStart = keyStart + keyBytes;
  const next = keyStart + bodyBytes;
  if (next > end) return { type: "incomplete", wantedBytes: next - start };
  const isPlain = chunk.toString("latin1", keyStart, valueStart).toUpperCase() === MECHANISM;
  // A step belongs to the current exchange, whatever mechanism it names.
  if (opcode === Opcode.saslAuth ? !isPlain : !isStarted) return { type: "unusable", next };
  if (opcode === Opcode.saslAuth && next === valueStart) return { type: "continue", next };
  const login = readPlain(chunk, valueStart, next);
  return login === null ? { type: "unusable", next } : { type: "login", ...login, next };
}

/** `[authorization id] NUL name NUL password`. `null` for other text, or for another user's id. */
function readPlain(chunk: Buffer, start: number, end: number): { name: string; password: Buffer } | null {
  const first = chunk.indexOf(0, start);
  const second = first < 0 ? -1 : chunk.indexOf(0, first + 1);
  if (first >= end || second < 0 || second >= end) return null;
  const password = chunk.subarray(second + 1, end);
  const name = chunk.toString("utf8", first + 1, second);
  const id = chunk.toString("utf8", start, first);
  if (password.includes(0) || (id !== "" && id !== name)) return null;
  return { name, password };
}
