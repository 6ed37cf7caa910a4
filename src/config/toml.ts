/**
 * TOML text → plain tables, or as many syntax errors as possible. The parser stops at the first error, so a line with
 * an error is removed and the rest is parsed again.
 */
import { parse } from "toml";
import { ConfigError, type ConfigProblem } from "../errors.ts";
import { locateLines } from "./locate.ts";

const MAX_PROBLEMS = 20;
type Problem = Omit<ConfigProblem, "file">;

/** The document as plain tables. Throws a `ConfigError` with the syntax errors in order of lines. */
export function parseToml(file: string | null, text: string): Readonly<Record<string, unknown>> {
  const lines = text.split("\n");
  const problems: Problem[] = [];
  for (;;) {
    let cause: unknown;
    try {
      const document = parse(lines.join("\n"));
      if (problems.length === 0) return document;
    } catch (error) {
      cause = error;
      const problem = problemOf(error, text, lines);
      problems.push(problem);
      const isInValue = isInLongValue(error as TomlError, lines);
      if (problems.length < MAX_PROBLEMS && !isInValue && takeOut(lines, problem.line, problems.length)) continue;
    }
    const sorted = problems.map((problem) => ({ file, ...problem })).sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
    throw new ConfigError(sorted, { cause });
  }
}

/** True if a list or table from an earlier line is still open: later errors would be consequences. */
function isInLongValue({ message, location }: TomlError, lines: readonly string[]): boolean {
  if (location === undefined) return false;
  const { line, column } = location.start;
  const before = (lines[line - 1] ?? "").slice(0, column - 1);
  const [expected = ""] = message.split(" but ");
  return expected.includes('","') && !/[[{]/.test(before);
}

/** Removes a line with an error from `lines`. False if the line is already removed. */
function takeOut(lines: string[], line: number | null, count: number): boolean {
  const text = line === null ? "" : (lines[line - 1] ?? "");
  if (text.trim() === "") return false;
  // Keep a header, so that the keys below it do not join the table above.
  lines[line! - 1] = /^\s*\[/.test(text) ? `[left-out-${count}]` : "";
  return true;
}

/**
 * The parser's grammar errors have `location` and `found`; its other errors have `line`, `column` and a readable
 * message.
 */
interface TomlError extends Error {
  readonly line?: number;
  readonly column?: number;
  readonly location?: { readonly start: { readonly line: number; readonly column: number } };
  readonly found?: string | null;
}

function problemOf(error: unknown, text: string, lines: readonly string[]): Problem {
  // The parser's documentation promises this type.
  const { line = null, column, location, found, message } = error as TomlError;
  if (location === undefined) {
    const own = line === null ? "" : (lines[line - 1] ?? "");
    const [, twice] = /^Cannot redefine existing key '(.*)'/.exec(message) ?? [];
    if (twice !== undefined) return { line, message: definedTwice(twice, own, line, text) };
    if (message === "Invalid escape sequence") return { line, message: escapeProblem(own, column) };
    return { line, message };
  }
  const { start } = location;
  const own = lines[start.line - 1] ?? "";
  const what = typeof found === "string" ? JSON.stringify(found) : "end of file";
  const isInValue = isInLongValue(error as TomlError, lines);
  const hint = isInValue
    ? "; a list or table that begins above is not closed"
    : hintFor(own, start.column, found ?? null);
  return { line: start.line, message: `syntax error at column ${start.column}: unexpected ${what}${hint}` };
}

function definedTwice(path: string, own: string, line: number | null, text: string): string {
  const what = /^\s*\[/.test(own) ? own.trim() : path;
  const first = locateLines(text).lineOf(path.split("."));
  return `${what} is defined twice${first === null || first === line ? "" : `; the first is in line ${first}`}`;
}

function escapeProblem(own: string, column: number | undefined): string {
  const at = column === undefined ? "" : ` at column ${column}`;
  const [, key, value] = /^\s*([\w.-]+)\s*=\s*"([^'"]*)"/.exec(own) ?? [];
  const fix = key === undefined ? "text" : `${key} = '${value}'`;
  return `invalid escape sequence${at}; in single quotes a backslash is a backslash: ${fix}`;
}

function hintFor(own: string, column: number, found: string | null): string {
  const before = own.slice(0, column - 1);
  const rest = own.slice(column - 1);
  if (/^(?:\/\/|;\s|;$|\/\*)/.test(rest)) return before.trim() === "" || !rest.startsWith(";") ? COMMENT : NO_END;
  if (found === "\n" || found === "\r" || found === null) {
    if (/^\s*\[/.test(own) && !own.includes("]")) return "; the header has no closing bracket";
    if (/=\s*"[^"]*$/.test(before) || /=\s*'[^']*$/.test(before)) return "; the text has no closing quote";
    return "";
  }
  if (/^[,;]/.test(rest) && before.includes("=")) return NO_END;
  if (/^\s*[\w.-]+\s*$/.test(before) && found === ":") return `; a setting is NAME = VALUE: ${before.trim()} = …`;
  const isUnquoted = /^\s*[\w.-]+\s*=\s*[\w.-]*$/.test(before) && found !== null && !/\s/.test(found);
  return isUnquoted ? `; text needs quotes: ${before.split("=")[0]!.trim()} = "…"` : "";
}

const COMMENT = '; a comment begins with "#"';
const NO_END = '; a setting ends with its line, without "," or ";"';
