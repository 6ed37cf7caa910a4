/**
 * A part of a JSON document. Source: RFC 6901, "JavaScript Object Notation (JSON) Pointer".
 */
import { SourceError } from "../errors.ts";
import { isJsonObject, jsonText, parseJson } from "./exact-json.ts";

/**
 * What `pointer` points at in `document`: a string as it is, everything else as JSON. Throws a SourceError when the
 * document is no JSON or has nothing there; it never repeats what the document has.
 */
export function selectJson(document: Buffer, pointer: string, source: string): Buffer {
  let value: unknown;
  try {
    value = parseJson(document);
  } catch (error) {
    throw new SourceError("SOURCE_FAILED", `source ${source}: the answer is no JSON`, { cause: error });
  }
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    const isMember = isJsonObject(value) || (Array.isArray(value) && /^(0|[1-9]\d*)$/.test(name));
    if (!isMember || !Object.hasOwn(value as object, name)) {
      throw new SourceError("SOURCE_FAILED", `source ${source}: the answer has nothing at ${pointer}`);
    }
    value = (value as Record<string, unknown>)[name];
  }
  try {
    return Buffer.from(jsonText(value), "utf8");
  } catch (error) {
    throw new SourceError("SOURCE_FAILED", `source ${source}: the answer is nested too deeply`, { cause: error });
  }
}
