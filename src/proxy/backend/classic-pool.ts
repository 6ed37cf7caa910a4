/**
 * Meta commands for a server without meta commands (older than memcached 1.6): they are translated into classic
 * commands if possible, and refused otherwise.
 */
import { isFailure, MetaCode, notSupported, type Reply, Status } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { tooLarge } from "../wire/classic-parser.ts";
import { type Command, commandOf, type Outcome, replyTo } from "../wire/command.ts";
import { MAX_META_BYTES } from "../wire/meta-form.ts";
import { hasMetaFlag, metaToken } from "../wire/meta-line.ts";
import { keyAfter, writtenRequest } from "../wire/written-frame.ts";

/** Default maximum size of an item in memcached (`-I`). */
const USUAL_ITEM_BYTES = 1024 * 1024;
const CRLF = "\r\n";
const NO_PREFIX = Buffer.alloc(0);

/**
 * A classic request that has the effect of `request` and completes it, or the reply that refuses `request`; the caller
 * completes it with that reply. The connection adds the prefix of the pool.
 */
export function asClassic(request: Request): Request | Reply {
  const command = commandOf(request, NO_PREFIX);
  if (!("verb" in command)) return command;
  const form = classicForm(request, command);
  if (form === null) return isSaferClassic(request) ? tooLarge : notSupported;
  // The line determines the content of the reply.
  request.retain();
  const [operation, head, rest] = form;
  const hasData = operation >= Operation.set && operation <= Operation.cas;
  const value = operation === Operation.cas && command.verb === "delete" ? NO_PREFIX : command.value;
  const line = `${head} ${command.key.toString("latin1")}${rest}`;
  const isDelete = command.verb === "delete";
  const owner = {
    onReply: (_classic: Request, reply: Reply) => {
      request.complete(isFailure(reply.status) ? reply.copy() : replyTo(request, outcomeOf(reply, isDelete)));
    },
  };
  const place = keyAfter(head, command.key.length);
  const classic = writtenRequest(operation, owner, line, hasData ? value : null, place);
  classic.exptime = command.exptime;
  return classic;
}

/**
 * True for a binary client's `add`, `replace`, `append` or `prepend` whose value the server may find too large. For
 * such a value, memcached deletes the old value after a meta command, and keeps it after a classic one.
 */
export function isSaferClassic(request: Request): boolean {
  const { operation, binary, frameEnd, dataStart } = request;
  const bytes = frameEnd - dataStart;
  if (operation !== Operation.metaSet || binary === null || bytes <= MAX_META_BYTES) return false;
  if (metaToken(request, "M") === "S") return false;
  // The classic forms have no cas, and no blanks in keys. A value of usual size goes as a meta command; a larger one is
  // refused.
  return !hasMetaFlag(request, "Cb") || bytes > USUAL_ITEM_BYTES;
}

/** Operation, words before the key and words after it. `null` if there is no classic equivalent. */
function classicForm(request: Request, command: Command): [Operation, string, string] | null {
  const { verb, key, value, flags, exptime, cas, delta, initial } = command;
  // Replies to writes have no cas, except that a binary client reads 0 as "unknown".
  const wantsCas = request.operation !== Operation.metaGet && hasMetaFlag(request, "c");
  if (wantsCas && request.binary === null) return null;
  // A classic line cannot hold these bytes.
  if (/[^!-~\x80-\xff]/.test(key.toString("latin1"))) return null;
  switch (verb) {
    case "get":
      return [Operation.gets, "gets", ""];
    case "gat":
      return [Operation.gats, `gats ${exptime}`, ""];
    case "touch":
      return [Operation.touch, "touch", ` ${exptime}`];
    case "delete":
      // Writing an empty, expired value over the item with that cas is equivalent to deleting exactly that item.
      return cas === 0n ? [Operation.delete, "delete", ""] : [Operation.cas, "cas", ` 0 -1 0 ${cas}`];
    case "incr":
    case "decr":
      if (initial !== null || cas !== 0n) return null;
      return [Operation[verb], verb, ` ${delta}`];
    case "set":
      if (cas !== 0n) return [Operation.cas, "cas", ` ${flags} ${exptime} ${value.length} ${cas}`];
      return [Operation.set, "set", ` ${flags} ${exptime} ${value.length}`];
    case "add":
    case "replace":
    case "append":
    case "prepend":
      if (cas !== 0n) return null;
      return [Operation[verb], verb, ` ${flags} ${exptime} ${value.length}`];
    default:
      return null;
  }
}

function outcomeOf(reply: Reply, isDelete: boolean): Outcome {
  const { chunk, start, end, valueStart, valueEnd, status } = reply;
  if (status === Status.number) return { status, text: chunk.toString("latin1", start, end).trim() };
  if (status !== Status.found) return { status: isDelete && status === Status.stored ? Status.deleted : status };
  const line = chunk.toString("latin1", start, valueStart - CRLF.length);
  const value = Buffer.from(chunk.subarray(valueStart, valueEnd));
  return { status, value, flags: reply.flags, cas: BigInt(line.slice(line.lastIndexOf(" ") + 1)) };
}

/** True for a server's reply that it does not know the command. */
export function isUnknownCommand(reply: Reply): boolean {
  if (reply.status !== Status.clientError) return false;
  return reply.chunk.toString("latin1", reply.start, reply.start + 6) === `ERROR\r`;
}

/** True for the reply to `mn`. */
export function isMetaNoop(reply: Reply): boolean {
  return reply.status === Status.meta && reply.code === MetaCode.MN;
}
