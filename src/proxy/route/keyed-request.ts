/**
 * Requests for a key that Platypus itself makes: for fills and refreshes, and for routes that keep several places
 * consistent.
 */

import { BackendError } from "../../errors.ts";
import { MAX_KEY_BYTES } from "../key.ts";
import { Operation, type ReplyOwner, type Request } from "../request.ts";
import { decodedKey, keyAfter, writtenRequest } from "../wire/written-frame.ts";

/** A command: the words around the key, and its data. */
export interface Words {
  readonly verb: string;
  /** Text after the key. "" if absent. */
  readonly rest: string;
  readonly value?: Buffer;
}

/** True for a key (one character per byte) that a text line can contain. */
export function isText(key: string): boolean {
  return /^[!-~\x80-\xff]*$/.test(key);
}

/** True for a key (one character per byte) that `keyedRequest` can send, in base64 if it is not text. */
export function isSendable(key: string): boolean {
  return (isText(key) ? key.length : Math.ceil(key.length / 3) * 4) <= MAX_KEY_BYTES;
}

/**
 * The request `verb key rest` with its data, answered to `owner`. A key that a line cannot contain is sent in base64,
 * including `prefix`; for other keys the connection adds the prefix. Throws a BackendError if the base64 key is too
 * long for a server.
 */
export function keyedRequest(
  operation: Operation,
  key: string,
  { verb, rest, value }: Words,
  prefix: string,
  owner: ReplyOwner,
): Request {
  // For placement, the bytes of such a key follow the frame, as in meta-parser.ts.
  const isBase64 = !isText(key);
  const word = isBase64 ? Buffer.from(prefix + key, "latin1").toString("base64") : key;
  // A server would refuse the line and read the data as commands.
  if (isBase64 && word.length > MAX_KEY_BYTES) {
    throw new BackendError("the key is too long for a server in base64", { isRefused: true });
  }
  const line = `${verb} ${word}${rest === "" ? "" : ` ${rest}`}${isBase64 ? " b" : ""}`;
  const place = isBase64 ? decodedKey(Buffer.from(key, "latin1")) : keyAfter(verb, key.length);
  return writtenRequest(operation, owner, line, value ?? null, place);
}

/** A key (one character per byte), and what decides on its way through the tree (see `Request`). */
export interface RoutedKey {
  readonly text: string;
  readonly routingPrefix: Buffer | null;
  readonly bucketKey: Buffer | null;
}

/** The key of a request, for a route's own requests that take the same way through the tree. */
export function routedKeyOf(request: Request): RoutedKey {
  return { text: request.keyText(), routingPrefix: request.routingPrefix, bucketKey: request.bucketKey };
}

/**
 * A plain get of the sendable `key`. Its reply is `found` with value and flags, or a meta reply for a key that is not
 * text.
 */
export function getOf(key: RoutedKey, owner: ReplyOwner): Request {
  return isText(key.text)
    ? routed(Operation.get, key, { verb: "get", rest: "" }, owner)
    : routed(Operation.metaGet, key, { verb: "mg", rest: "v f" }, owner);
}

/** Asks for the remaining TTL of the sendable `key`, in seconds: `HD t…`, or `EN`. */
export function ttlOf(key: RoutedKey, owner: ReplyOwner): Request {
  return routed(Operation.metaGet, key, { verb: "mg", rest: "t" }, owner);
}

/** A delete of the sendable `key`. */
export function deleteOf(key: RoutedKey, owner: ReplyOwner): Request {
  return isText(key.text)
    ? routed(Operation.delete, key, { verb: "delete", rest: "" }, owner)
    : routed(Operation.metaDelete, key, { verb: "md", rest: "" }, owner);
}

/** A value that a route stores. */
export interface StoredValue {
  readonly value: Buffer;
  readonly flags: number;
}

/** `add` or `set` of the sendable `key`. `exptime` is memcached's, an integer. */
export function storeOf(
  verb: "add" | "set",
  key: RoutedKey,
  { value, flags }: StoredValue,
  exptime: number,
  owner: ReplyOwner,
): Request {
  // A server that refused the number would read the value as commands.
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

/** Like `keyedRequest`, on the way of the sendable `key`. */
export function routed(operation: Operation, key: RoutedKey, words: Words, owner: ReplyOwner): Request {
  const request = keyedRequest(operation, key.text, words, "", owner);
  request.routingPrefix = key.routingPrefix;
  request.bucketKey = key.bucketKey;
  return request;
}
