/**
 * The lines of meta commands and their answers where Platypus must look into them or say something itself: a miss that no
 * server has answered, a value that the pool could not store, a prefix that the client does not know of. Not the path of
 * a hit, which is passed on as it is.
 *
 * Source: memcached doc/protocol.txt, "Meta Get"; order of flags and the empty answer as memcached 1.6 gives them.
 */
import { MetaCode, Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { LF } from "./ascii.ts";

/** Words of the line at `start`, without the command or code that it begins with. */
function wordsOf(chunk: Buffer, start: number, end: number): string[] {
  return chunk
    .toString("latin1", start, end)
    .split(/[ \r\n]+/)
    .filter((word) => word !== "")
    .slice(1);
}

/** Flags of a meta request, which must have its line still; the key is left out, for `ms` the length too. */
export function metaFlags(request: Request): string[] {
  const words = wordsOf(request.chunk, request.frameStart, request.lineEnd);
  return words.slice(request.operation === Operation.metaSet ? 2 : 1);
}

/** True when the request has this flag, whatever its token. */
export function hasMetaFlag(request: Request, letter: string): boolean {
  return metaFlags(request).some((flag) => flag[0] === letter);
}

/** The answer to an `mg` that found nothing: `EN`, and what is always echoed. */
export function metaMiss(request: Request): Reply {
  return metaReply(MetaCode.EN, `EN${echo(request)}`);
}

/**
 * The answer to an `mg` with `value`, which is in no server: flags and cas are 0. Null where a cas is asked for, because
 * one that is not real is not made up.
 */
export function metaFound(request: Request, value: Buffer): Reply | null {
  let text = "";
  let hasValue = false;
  const key = wordsOf(request.chunk, request.frameStart, request.lineEnd)[0]!;
  const flags = metaFlags(request);
  for (const flag of flags) {
    switch (flag[0]) {
      case "v":
        hasValue = true;
        break;
      case "c":
        return null;
      case "f":
      case "h":
      case "l":
        text += ` ${flag[0]}0`;
        break;
      case "t":
        text += " t-1";
        break;
      case "s":
        text += ` s${value.length}`;
        break;
      case "k":
        text += keyEcho(key, flags);
        break;
      case "O":
        text += ` ${flag}`;
        break;
    }
  }
  if (!hasValue) return metaReply(MetaCode.HD, `HD${text}`);
  const head = Buffer.from(`VA ${value.length}${text}\r\n`, "latin1");
  const reply = metaReply(MetaCode.VA, "");
  reply.chunk = Buffer.concat([head, value, Buffer.from("\r\n", "latin1")]);
  reply.end = reply.chunk.length;
  reply.valueStart = head.length;
  reply.valueEnd = head.length + value.length;
  return reply;
}

/** Takes the first `prefixBytes` off the key in the first line of a meta reply, where it returns one. */
export function dropKeyPrefix(reply: Reply, prefixBytes: number): void {
  const { chunk, start } = reply;
  const lineEnd = chunk.indexOf(LF, start);
  const words = chunk.toString("latin1", start, lineEnd - 1).split(" ");
  const at = reply.code === MetaCode.ME ? 1 : words.findIndex((word, index) => index > 0 && word[0] === "k");
  if (at < 0) return;
  const mark = reply.code === MetaCode.ME ? "" : "k";
  const text = words[at]!.slice(mark.length);
  const isBase64 = words.includes("b");
  const key = isBase64 ? Buffer.from(text, "base64").subarray(prefixBytes).toString("base64") : text.slice(prefixBytes);
  words[at] = mark + key;
  const head = Buffer.from(`${words.join(" ")}\r\n`, "latin1");
  const shift = head.length - (lineEnd + 1 - start);
  reply.chunk = Buffer.concat([head, chunk.subarray(lineEnd + 1, reply.end)]);
  reply.valueStart += shift - start;
  reply.valueEnd += shift - start;
  reply.start = 0;
  reply.end = reply.chunk.length;
  reply.isKept = true;
}

/** What memcached echoes on a miss: opaque and key, in the order asked. */
function echo(request: Request): string {
  const [key] = wordsOf(request.chunk, request.frameStart, request.lineEnd);
  const flags = metaFlags(request);
  let text = "";
  for (const flag of flags) {
    if (flag[0] === "O") text += ` ${flag}`;
    if (flag[0] === "k") text += keyEcho(key!, flags);
  }
  return text;
}

/** The key as it was given; one in base64 is followed by the word that says so. */
function keyEcho(key: string, flags: readonly string[]): string {
  return flags.some((flag) => flag[0] === "b") ? ` k${key} b` : ` k${key}`;
}

function metaReply(code: number, line: string): Reply {
  const reply = new Reply();
  reply.status = Status.meta;
  reply.code = code;
  reply.chunk = Buffer.from(`${line}\r\n`, "latin1");
  reply.end = reply.chunk.length;
  reply.isKept = true;
  return reply;
}
