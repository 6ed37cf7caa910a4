/**
 * The text of macro calls: `@name(argument, @inner(argument))`. A backslash makes the next character literal. Source:
 * mcrouter lib/config/ConfigPreprocessor.cpp, as facts.
 */

/** A call as written: its parts are neither expanded nor unescaped. */
export interface CallText {
  readonly name: string;
  readonly arguments: readonly string[];
}

/** A piece of text: literal text, or a name between percent signs. */
export type TextPiece = { readonly type: "literal" | "name"; readonly text: string };

/** Reads a string that begins with `@`. A string result is the error message. */
export function readCall(text: string): CallText | string {
  const open = indexOfUnescaped(text, "(");
  if (open < 0) return { name: text.slice(1), arguments: [] };
  if (!text.endsWith(")")) return `the call ${JSON.stringify(text)} has no closing bracket at its end`;
  const parts = readArguments(text.slice(open + 1, -1));
  return typeof parts === "string" ? parts : { name: text.slice(1, open), arguments: parts };
}

/** Splits arguments at commas outside of nested parentheses. `@a()` has one empty argument. */
function readArguments(text: string): string[] | string {
  const parts: string[] = [];
  for (let rest = text; ; ) {
    let comma = indexOfUnescaped(rest, ",");
    const open = comma < 0 ? -1 : indexOfUnescaped(rest.slice(0, comma), "(");
    if (open >= 0) {
      const close = closingBracket(rest, open);
      if (close < 0) return `brackets do not match in ${JSON.stringify(rest)}`;
      comma = close === rest.length - 1 ? -1 : rest.indexOf(",", close);
      if (comma < 0 && close < rest.length - 1) return `expected a comma behind the bracket in ${JSON.stringify(rest)}`;
    }
    if (comma < 0) return [...parts, trimmed(rest)];
    parts.push(trimmed(rest.slice(0, comma)));
    rest = rest.slice(comma + 1);
  }
}

/** Removes surrounding blanks, except a blank after a backslash. */
function trimmed(text: string): string {
  const start = text.replace(/^[ \t\r\n]+/, "");
  const [blanks = ""] = /\s*$/.exec(start) ?? [];
  const rest = start.slice(0, start.length - blanks.length);
  const [backslashes = ""] = /\\*$/.exec(rest) ?? [];
  return blanks !== "" && backslashes.length % 2 === 1 ? rest + blanks[0] : rest;
}

function indexOfUnescaped(text: string, character: string): number {
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === character) return i;
  }
  return -1;
}

/** Position of the closing parenthesis for the one at `open`. */
function closingBracket(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "(") depth++;
    else if (text[i] === ")" && --depth === 0) return i;
  }
  return -1;
}

/** Splits text at percent signs and removes backslashes. `null` if a name has no second percent sign. */
export function readPieces(text: string): TextPiece[] | null {
  const pieces: TextPiece[] = [];
  let piece = "";
  let isName = false;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "%") {
      if (isName || piece !== "") pieces.push({ type: isName ? "name" : "literal", text: piece });
      piece = "";
      isName = !isName;
    } else if (text[i] === "\\") {
      piece += text[++i] ?? "";
    } else {
      piece += text[i];
    }
  }
  if (isName) return null;
  if (piece !== "") pieces.push({ type: "literal", text: piece });
  return pieces;
}
