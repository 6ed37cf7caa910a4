/**
 * memcached's text authentication: until a client has logged in, each command must be a storage line whose data is a
 * name and a password. Key, flags and exptime are ignored.
 *
 *     set <key> <flags> <exptime> <bytes>\r\n<name> <password>\r\n        → STORED
 *
 * Source: memcached 1.6.45, doc/protocol.txt "Authentication", proto_text.c (try_read_command_asciiauth).
 */
import { CR, LF, SPACE } from "../wire/ascii.ts";

/** A longer incomplete line is not a command. */
const MAX_LINE_BYTES = 2048;
/** A shorter line cannot be a login. */
const MIN_LINE_BYTES = 6;
const MAX_TOKEN_BYTES = 16_384;
/** Number of words up to the length of the data. */
const LOGIN_WORDS = 5;
const MAX_UINT32 = 0xffff_ffff;

/** The first element of a client's input. `next` is the position after it. */
export type TextLogin =
  | { readonly type: "incomplete" /** 0: not known. */; readonly wantedBytes: number }
  | { readonly type: "close" }
  | { readonly type: "refused"; readonly reason: TextRefusal; readonly next: number }
  | { readonly type: "login"; readonly name: string; readonly password: Buffer; readonly next: number };

/** Reasons why the input is not a login. */
export type TextRefusal = "unauthenticated" | "tooLong" | "badEnd" | "badToken";

/** Reads `chunk[start, end)`, which has at least one byte. */
export function parseTextLogin(chunk: Buffer, start: number, end: number): TextLogin {
  let lineFeed = start;
  while (lineFeed < end && chunk[lineFeed] !== LF) lineFeed++;
  if (lineFeed - start > MAX_LINE_BYTES) return { type: "close" };
  if (lineFeed === end) return { type: "incomplete", wantedBytes: 0 };
  if (lineFeed - start < MIN_LINE_BYTES) return { type: "close" };
  const dataStart = lineFeed + 1;
  const length = tokenLength(chunk.toString("latin1", start, lineFeed));
  if (length === null) return { type: "refused", reason: "unauthenticated", next: dataStart };
  if (length > MAX_TOKEN_BYTES) return { type: "refused", reason: "tooLong", next: dataStart };
  const dataEnd = dataStart + length;
  const next = dataEnd + 2;
  if (next > end) return { type: "incomplete", wantedBytes: next - start };
  if (chunk[dataEnd] !== CR || chunk[dataEnd + 1] !== LF) return { type: "refused", reason: "badEnd", next };
  const blank = chunk.indexOf(SPACE, dataStart);
  if (blank < 0 || blank >= dataEnd) return { type: "refused", reason: "badToken", next };
  const name = chunk.toString("utf8", dataStart, blank);
  return { type: "login", name, password: chunk.subarray(blank + 1, dataEnd), next };
}

/** Length of the data of a storage line, which ends with a CR. `null` for other lines. */
function tokenLength(line: string): number | null {
  if (!line.startsWith("set") || !line.endsWith("\r")) return null;
  const words = line
    .slice(0, -1)
    .split(" ")
    .filter((word) => word !== "");
  const word = words[LOGIN_WORDS - 1];
  if (word === undefined || !/^\d{1,10}$/.test(word)) return null;
  const length = Number(word);
  return length <= MAX_UINT32 ? length : null;
}
