/**
 * Requests that Platypus itself makes for a key: of fills and refreshes, and of routes that keep several places in step.
 */

import { BackendError } from "../../errors.ts";
import { MAX_KEY_BYTES } from "../key.ts";
import { Operation, type ReplyOwner, type Request } from "../request.ts";
import { decodedKey, keyAfter, writtenRequest } from "../wire/written-frame.ts";

/** A command: the words around the key, and its data. */
export interface Words {
  readonly verb: string;
  /** Behind the key; "": nothing. */
  readonly rest: string;
  readonly value?: Buffer;
}

/** True for a key (one character per byte) that a text line can hold. */
export function isText(key: string): boolean {
  return /^[!-~\x80-\xff]*$/.test(key);
}

/** True for a key (one character per byte) that a server can be sent by `keyedRequest`, in base64 where it is no text. */
export function isSendable(key: string): boolean {
  return (isText(key) ? key.length : Math.ceil(key.length / 3) * 4) <= MAX_KEY_BYTES;
}

/**
 * The request `verb key rest` with its data, answered to `owner`. A key that a line cannot hold goes as base64, with `prefix`
 * in it; before others the connection puts it. Throws a BackendError where it is longer then than a server takes.
 */
export function keyedRequest(
  operation: Operation,
  key: string,
  { verb, rest, value }: Words,
  prefix: string,
  owner: ReplyOwner,
): Request {
  // The bytes of such a key stand behind the frame for placement (as meta-parser.ts has it).
  const isBase64 = !isText(key);
  const word = isBase64 ? Buffer.from(prefix + key, "latin1").toString("base64") : key;
  // A server would refuse the line and take the data for commands.
  if (isBase64 && word.length > MAX_KEY_BYTES) {
    throw new BackendError("the key is too long for a server in base64", { isRefused: true });
  }
  const line = [verb, word, ...(rest === "" ? [] : [rest]), ...(isBase64 ? ["b"] : [])].join(" ");
  const place = isBase64 ? decodedKey(Buffer.from(key, "latin1")) : keyAfter(verb, key.length);
  return writtenRequest(operation, owner, line, value ?? null, place);
}

/** A key (one character per byte), and `/region/cluster/` as it stood before it; null: there was none. */
export interface RoutedKey {
  readonly text: string;
  readonly routingPrefix: Buffer | null;
}

/** The key of a request, for requests of a route's own that go the same way. */
export function routedKeyOf(request: Request): RoutedKey {
  return { text: request.keyText(), routingPrefix: request.routingPrefix };
}

/** A plain get of `key`, which is sendable; its reply is `found` with value and flags, or for a key that is no text a meta one. */
export function getOf(key: RoutedKey, owner: ReplyOwner): Request {
  return isText(key.text)
    ? routed(Operation.get, key, { verb: "get", rest: "" }, owner)
    : routed(Operation.metaGet, key, { verb: "mg", rest: "v f" }, owner);
}

/** Asks how many seconds the item of `key`, which is sendable, has left: `HD t…`, or `EN`. */
export function ttlOf(key: RoutedKey, owner: ReplyOwner): Request {
  return routed(Operation.metaGet, key, { verb: "mg", rest: "t" }, owner);
}

/** A delete of `key`, which is sendable. */
export function deleteOf(key: RoutedKey, owner: ReplyOwner): Request {
  return isText(key.text)
    ? routed(Operation.delete, key, { verb: "delete", rest: "" }, owner)
    : routed(Operation.metaDelete, key, { verb: "md", rest: "" }, owner);
}

/** What is stored by a route. */
export interface StoredValue {
  readonly value: Buffer;
  readonly flags: number;
}

/** `add` or `set` of `key`, which is sendable, with the exptime as memcached takes it: a whole number. */
export function storeOf(
  verb: "add" | "set",
  key: RoutedKey,
  { value, flags }: StoredValue,
  exptime: number,
  owner: ReplyOwner,
): Request {
  // A server that refused a number would take the value for commands.
  const clientFlags = flags >>> 0;
  if (isText(key.text)) {
    return routed(
      Operation[verb],
      key,
      { verb, rest: `${clientFlags} ${Math.trunc(exptime)} ${value.length}`, value },
      owner,
    );
  }
  const rest = `${value.length} F${clientFlags} T${Math.trunc(exptime)} M${verb === "add" ? "E" : "S"}`;
  return routed(Operation.metaSet, key, { verb: "ms", rest, value }, owner);
}

function routed(operation: Operation, { text, routingPrefix }: RoutedKey, words: Words, owner: ReplyOwner): Request {
  const request = keyedRequest(operation, text, words, "", owner);
  request.routingPrefix = routingPrefix;
  return request;
}

/** Gets answers that nobody waits for. */
export const nobody: ReplyOwner = { onReply: () => {} };
