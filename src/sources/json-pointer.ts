/**
 * A part of a JSON document. Source: RFC 6901, "JavaScript Object Notation (JSON) Pointer".
 */
import { SourceError } from "../errors.ts";
import { isJsonObject, jsonText, parseJson } from "./exact-json.ts";

/**
 * The value at `pointer` in `document`: a string as its text, other values as JSON. Throws a SourceError if the
 * document is not JSON or has no such value. The message never contains text of the document.
 */
export function selectJson(document: Buffer, pointer: string, source: string): Buffer {
  let value: unknown;
  try {
    value = parseJson(document);
  } catch (error) {
    throw new SourceError("SOURCE_FAILED", `source ${source}: the answer is no JSON`, { cause: error });
  }
  value = valueAt(value, pointer);
  if (value === undefined)
    throw new SourceError("SOURCE_FAILED", `source ${source}: the answer has nothing at ${pointer}`);
  try {
    return Buffer.from(jsonText(value), "utf8");
  } catch (error) {
    throw new SourceError("SOURCE_FAILED", `source ${source}: the answer is nested too deeply`, { cause: error });
  }
}

/** The value at `pointer` in a parsed document. `undefined` if absent. */
export function valueAt(document: unknown, pointer: string): unknown {
  let value = document;
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    const isMember = isJsonObject(value) || (Array.isArray(value) && /^(0|[1-9]\d*)$/.test(name));
    if (!isMember || !Object.hasOwn(value as object, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** True for text in the syntax of a pointer; "" is the whole document. */
export function isJsonPointer(text: string): boolean {
  return /^(\/([^~]|~[01])*)*$/.test(text);
}
