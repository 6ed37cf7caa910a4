/**
 * Patterns of rules: RE2 syntax, matched against the whole key in linear time for all patterns (re2js).
 *
 * Keys are bytes. A key in UTF-8 is matched as text, other keys as one character per byte. Captures record the
 * encoding, so that they can be converted back to the bytes of the key.
 */
import { RE2JS } from "re2js";
import type { Captures } from "../sources/source.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A literal and the rest of a key, as most patterns have them: `page/(.*)`, `user:(?P<id>[^/]+)`, `page/.*`, `(page/.*)`. */
interface Rest {
  readonly literal: string;
  readonly captured: "rest" | "key" | "nothing";
  readonly name: string | null;
  readonly isEmptyAllowed: boolean;
  /** A character that the rest must not contain. */
  readonly excluded: string;
}

/** A compiled pattern. */
export class Pattern {
  /** Matched without RE2, in a tenth of the time. `null` if the pattern has another form. */
  private readonly rest: Rest | null;
  private readonly regex: RE2JS;
  private readonly names: readonly (readonly [string, number])[];
  private readonly groupCount: number;
  private readonly literalPrefix: string;

  /** Throws an Error that says what is wrong with `text`. */
  constructor(text: string) {
    this.regex = RE2JS.compile(text);
    this.names = Object.entries(this.regex.namedGroups());
    this.groupCount = this.regex.groupCount();
    this.rest = restOf(text);
    this.literalPrefix = this.rest?.literal ?? literalPrefix(text);
  }

  /** Captures of the whole `key` (one character per byte). `null` if the pattern does not match. */
  match(key: string): Captures | null {
    if (!key.startsWith(this.literalPrefix)) return null;
    const text = decode(key);
    if (this.rest !== null) return this.matchRest(text ?? key, this.rest, text === null);
    const matcher = this.regex.matcher(text ?? key);
    if (!matcher.matches()) return null;
    const groups = new Map<string, string>();
    for (let i = 1; i <= this.groupCount; i++) groups.set(String(i), matcher.group(i) ?? "");
    for (const [name, index] of this.names) groups.set(name, matcher.group(index) ?? "");
    return { key: text ?? key, groups, encoding: text === null ? "latin1" : "utf8" };
  }

  private matchRest(text: string, { literal, captured, name, isEmptyAllowed, excluded }: Rest, isBytes: boolean) {
    const rest = text.slice(literal.length);
    if ((rest === "" && !isEmptyAllowed) || rest.includes(excluded)) return null;
    const groups = new Map<string, string>();
    if (captured !== "nothing") groups.set("1", captured === "key" ? text : rest);
    if (name !== null) groups.set(name, captured === "key" ? text : rest);
    return { key: text, groups, encoding: isBytes ? "latin1" : "utf8" } as const;
  }
}

const WHOLE_GROUP = /^\((?:\?P?<(\w+)>)?([^()]*)\)$/;
const REST = /^(\((?:\?P?<(\w+)>)?)?(\.\*|\.\+|\[\^\/\]\+)(\))?$/;

/** The parts of a pattern of a literal and the rest, with at most one group. `null` for other patterns. */
function restOf(text: string): Rest | null {
  const whole = WHOLE_GROUP.exec(text);
  const inner = whole?.[2] ?? text;
  const literal = literalPrefix(inner);
  const rest = REST.exec(inner.slice(literal.length));
  if (rest === null) return null;
  const [, open, restName = null, body, close] = rest;
  // WHOLE_GROUP has no group within.
  if ((open === undefined) !== (close === undefined)) return null;
  return {
    literal,
    captured: whole !== null ? "key" : open === undefined ? "nothing" : "rest",
    name: whole?.[1] ?? restName,
    isEmptyAllowed: body === ".*",
    excluded: body === "[^/]+" ? "/" : "\n",
  };
}

/** Bytes as UTF-8 text. `null` if they are not UTF-8. */
function decode(key: string): string | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is the same in every encoding
  if (/^[\x00-\x7f]*$/.test(key)) return key;
  try {
    return utf8.decode(Buffer.from(key, "latin1"));
  } catch {
    return null;
  }
}

/** The plain ASCII prefix of all matches: a cheap test before the pattern. */
export function literalPrefix(text: string): string {
  // With alternatives, flags or a quantifier, the first characters may not be literal.
  if (text.includes("|") || text.startsWith("(?")) return "";
  const literal = /^[A-Za-z0-9 _:/,;=@!"'<>~-]*/.exec(text)![0];
  const next = text[literal.length];
  return next === "*" || next === "?" || next === "{" || next === "+" ? literal.slice(0, -1) : literal;
}
