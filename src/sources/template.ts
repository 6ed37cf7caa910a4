/**
 * Text with placeholders for parts of a key: `{1}`, `{name}`, `{key}`, and in URL paths `{1:path}`; `%(name)` and
 * `{$key}` are synonyms. `{{` and `}}` are literal braces. The escaping of a part depends on its place: see `Escape`.
 */
import { isUtf8 } from "node:buffer";
import { SourceError } from "../errors.ts";
import type { Captures } from "./source.ts";

/** A literal, or a placeholder for a part of the key. */
type TemplatePart =
  | { readonly type: "literal"; readonly text: string }
  | { readonly type: "place"; readonly name: string; readonly isPath: boolean };

export type Template = readonly TemplatePart[];

/**
 * Converts the bytes of a part into text that cannot leave its place. With `isPath`, slashes separate segments and are
 * kept.
 */
export type Escape = (bytes: Buffer, isPath: boolean) => string;

const PLACE = /\{\{|\}\}|\{\$?([A-Za-z0-9_]+)(:path)?\}|%\(([A-Za-z0-9_]+)\)|[{}]/g;

/** Parses a template. Throws an Error that says what is wrong. */
export function parseTemplate(text: string): Template {
  const parts: TemplatePart[] = [];
  let literal = "";
  let at = 0;
  for (const match of text.matchAll(PLACE)) {
    literal += text.slice(at, match.index);
    at = match.index + match[0].length;
    const name = match[1] ?? match[3];
    if (match[0] === "{{" || match[0] === "}}") {
      literal += match[0][0];
    } else if (name === undefined) {
      throw new Error(
        `"${match[0]}" at position ${match.index + 1} belongs to no {name}; write ${match[0]}${match[0]} for the brace itself`,
      );
    } else {
      if (literal !== "") parts.push({ type: "literal", text: literal });
      literal = "";
      parts.push({ type: "place", name, isPath: match[2] !== undefined });
    }
  }
  literal += text.slice(at);
  if (literal !== "") parts.push({ type: "literal", text: literal });
  return parts;
}

/** Names of the parts that a template needs, including `key`. */
export function templateNames(template: Template): string[] {
  return template.flatMap((part) => (part.type === "place" ? [part.name] : []));
}

/** Inserts the parts of a key into a template. Throws a SourceError for a part that the pattern does not have. */
export function renderTemplate(template: Template, captures: Captures, escapeAs: Escape): string {
  return renderJoined(template, [captures], null, escapeAs);
}

/** The part whose values several keys put into one place of a template, and the text between the values. */
export interface Joining {
  readonly name: string;
  readonly separator: string;
}

/** Like `renderTemplate`, for several keys: the joined part of each of them, and the other parts of the first. */
export function renderJoined(
  template: Template,
  keys: readonly Captures[],
  joining: Joining | null,
  escapeAs: Escape,
): string {
  let text = "";
  for (const part of template) {
    if (part.type === "literal") text += part.text;
    else if (part.name !== joining?.name) text += renderPart(part, keys[0]!, escapeAs);
    else text += keys.map((key) => renderPart(part, key, escapeAs)).join(joining.separator);
  }
  return text;
}

/** The value of a part of a key, as text. Throws a SourceError if the pattern does not have the part. */
export function partOf({ key, groups }: Captures, name: string): string {
  const value = name === "key" ? key : groups.get(name);
  if (value === undefined) throw new SourceError("SOURCE_REFUSED", `the pattern has no capture "${name}"`);
  return value;
}

function renderPart(
  part: { readonly name: string; readonly isPath: boolean },
  key: Captures,
  escapeAs: Escape,
): string {
  return escapeAs(Buffer.from(partOf(key, part.name), key.encoding), part.isPath);
}

/** For plain text: one character per byte. */
export const asBytes: Escape = (bytes) => bytes.toString("latin1");

/** For a URL: percent-encodes all but unreserved characters (RFC 3986 §2.3). `{1:path}` keeps its slashes. */
export const asUrl: Escape = (bytes, isPath) => {
  refuseDots(bytes.toString("latin1"));
  let text = "";
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    const isPlain = /[A-Za-z0-9\-_.~]/.test(character) || (isPath && character === "/");
    text += isPlain ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
};

/** For a value in a query or a form: percent-encodes all but unreserved characters. There are no segments. */
export const asForm: Escape = (bytes) => {
  let text = "";
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    text += /[A-Za-z0-9\-_.~]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
};

/** For the inside of a JSON string: escapes quotes, backslashes and control characters. The bytes must be UTF-8. */
export const asJson: Escape = (bytes) => {
  if (!isUtf8(bytes)) throw new SourceError("SOURCE_REFUSED", "a part of the key is not UTF-8, which JSON has to be");
  return Buffer.from(JSON.stringify(bytes.toString("utf8")).slice(1, -1), "utf8").toString("latin1");
};

/** For text in an unknown format: refuses control characters, which might end a line or a field. */
export const asPlainText: Escape = (bytes) => {
  for (const byte of bytes) {
    if (byte < 0x20 || byte === 0x7f) {
      throw new SourceError("SOURCE_REFUSED", "a part of the key has control characters, which this body cannot hold");
    }
  }
  return bytes.toString("latin1");
};

/** For a header: refuses control characters, so that a part cannot start another header. */
export const asHeader: Escape = (bytes) => {
  for (const byte of bytes) {
    if (byte < 0x20 || byte === 0x7f) {
      throw new SourceError("SOURCE_REFUSED", "a part of the key has control characters, which a header must not have");
    }
  }
  return bytes.toString("latin1");
};

/** For a file path: UTF-8 without NUL, no `.` or `..`, and slashes only with `{1:path}`. */
export const asFilePath: Escape = (bytes, isPath) => {
  const text = bytes.toString("utf8");
  if (!isUtf8(bytes) || text.includes("\0") || text.includes("\\") || (text.includes("/") && !isPath)) {
    throw new SourceError("SOURCE_REFUSED", "a part of the key has characters that a file name must not have");
  }
  refuseDots(text);
  return text;
};

/**
 * For the name of an AWS secret: refuses other characters than AWS' alphabet, without escaping. Slashes are ordinary
 * characters.
 */
export const asSecretName: Escape = (bytes) => {
  const text = bytes.toString("latin1");
  if (!/^[A-Za-z0-9/_+=.@-]*$/.test(text)) {
    throw new SourceError("SOURCE_REFUSED", "a part of the key has characters that the name of a secret must not have");
  }
  refuseDots(text);
  return text;
};

/**
 * URL parsers and file systems resolve `.` and `..`, and URL parsers even `%2e%2e`: a part with such a segment could
 * leave its place in spite of escaping. Throws a SourceError.
 */
export function refuseDots(text: string): void {
  for (const segment of text.split(/[/\\]/)) {
    if (segment === "." || segment === "..") {
      throw new SourceError("SOURCE_REFUSED", 'a part of the key is or holds a "." or ".." segment');
    }
  }
}
