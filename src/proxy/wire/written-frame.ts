/**
 * Frames that Platypus writes itself: the only place where a request gets a line that no client has sent.
 *
 *     line\r\n value\r\n key        (the key only if the line has it in base64; otherwise it is in the line)
 *
 * The request owns the bytes, so it may be kept.
 */
import { type Operation, type ReplyOwner, Request } from "../request.ts";
import { CR, copyBytes, LF } from "./ascii.ts";

const CRLF_BYTES = 2;
const NOTHING = Buffer.alloc(0);

/** The key of a frame: its position in the line, or its bytes after the frame if the line has it in base64. */
export interface FrameKey {
  /** -1 if the key follows the frame. */
  readonly start: number;
  readonly length: number;
  /** Empty if the key is in the line. */
  readonly behind: Buffer;
}

/** For a command without a key. */
const noKey: FrameKey = { start: 0, length: 0, behind: NOTHING };

/** The key of a line that begins with `verb` and the key, which has `length` bytes. */
export function keyAfter(verb: string, length: number): FrameKey {
  return { start: verb.length + 1, length, behind: NOTHING };
}

/**
 * The key `bytes` of a line that has it in base64: placement, rules and trackers use the bytes, the server gets the
 * line.
 */
export function decodedKey(bytes: Buffer): FrameKey {
  return { start: -1, length: bytes.length, behind: bytes };
}

/**
 * Gives `request` the frame of `line` (one character per byte) and `value`, both without their CRLF. `value` is `null`
 * if it has no data.
 */
export function writeFrame(request: Request, line: string, value: Buffer | null, key: FrameKey): void {
  const { start, length, behind } = key;
  const lineEnd = line.length;
  const dataStart = lineEnd + CRLF_BYTES;
  const frameEnd = value === null ? dataStart : dataStart + value.length + CRLF_BYTES;
  const chunk = Buffer.allocUnsafe(frameEnd + behind.length);
  chunk.write(line, "latin1");
  writeCrlf(chunk, lineEnd);
  if (value !== null) {
    copyBytes(value, 0, value.length, chunk, dataStart);
    writeCrlf(chunk, frameEnd - CRLF_BYTES);
  }
  copyBytes(behind, 0, behind.length, chunk, frameEnd);
  request.chunk = chunk;
  request.frameStart = 0;
  request.lineEnd = lineEnd;
  request.dataStart = dataStart;
  request.frameEnd = frameEnd;
  request.keyStart = start < 0 ? request.frameEnd : start;
  request.keyEnd = request.keyStart + length;
  request.hasData = value !== null;
  request.isVerbatim = true;
  request.isKept = true;
}

function writeCrlf(chunk: Buffer, at: number): void {
  chunk[at] = CR;
  chunk[at + 1] = LF;
}

/** A request with a frame of this kind. */
export function writtenRequest(
  operation: Operation,
  owner: ReplyOwner,
  line: string,
  value: Buffer | null = null,
  key: FrameKey = noKey,
): Request {
  const request = new Request(operation, owner, NOTHING);
  writeFrame(request, line, value, key);
  return request;
}
