/**
 * The list in the template of a JSON body that has an entry per key.
 *
 *     template   {"ids": ["{id}"], "lang": "en"}       or   {"ids": "{id}"}
 *     body       {"ids": ["1","2"], "lang": "en"}           {"ids": ["1","2"]}
 *
 * An entry is the JSON string around the placeholder, or the placeholder itself outside of a string (`[{id}]` for
 * numbers). An entry that is not inside brackets becomes a list.
 */
import type { Captures } from "./source.ts";
import { asJson, renderTemplate, type Template } from "./template.ts";

export interface JsonList {
  readonly before: Template;
  readonly entry: Template;
  /** The rest of the body, which may have another list. */
  readonly after: Template | JsonList;
}

/** Finds the list for the part `name` in a template. `null` if the template does not have the part. */
export function jsonListOf(template: Template, name: string): JsonList | null {
  const at = template.findIndex((part) => part.type === "place" && part.name === name);
  if (at < 0) return null;
  const start = stringStart(template.slice(0, at));
  const end = start === null ? null : stringEnd(template.slice(at + 1));
  const split =
    start === null || end === null
      ? { before: template.slice(0, at), entry: template.slice(at, at + 1), after: template.slice(at + 1) }
      : {
          before: start.before,
          entry: [...start.rest, template[at]!, ...end.before],
          after: end.rest,
        };
  const isInList = /[[,]\s*$/.test(textBeside(split.before.at(-1))) && /^\s*[\],]/.test(textBeside(split.after[0]));
  const literal = (text: string) => ({ type: "literal", text }) as const;
  const before = isInList ? split.before : [...split.before, literal("[")];
  const after = isInList ? split.after : [literal("]"), ...split.after];
  return { before, entry: split.entry, after: jsonListOf(after, name) ?? after };
}

/** The body for these keys. Other parts are those of the first key. */
export function renderJsonList({ before, entry, after }: JsonList, keys: readonly Captures[]): string {
  const render = (template: Template, key: Captures) => renderTemplate(template, key, asJson);
  const entries = keys.map((key) => render(entry, key));
  const rest = "entry" in after ? renderJsonList(after, keys) : render(after, keys[0]!);
  return render(before, keys[0]!) + entries.join(",") + rest;
}

function textBeside(part: Template[number] | undefined): string {
  return part?.type === "literal" ? part.text : "";
}

/** Splits the template before a placeholder at the quote that opens the string around it. `null` outside of a string. */
function stringStart(parts: Template): { readonly before: Template; readonly rest: Template } | null {
  let opened: readonly [part: number, offset: number] | null = null;
  for (const [index, part] of parts.entries()) {
    if (part.type !== "literal") continue;
    for (const { index: offset } of part.text.matchAll(/(?<!\\)(?:\\\\)*"/g)) {
      const quote = part.text.indexOf('"', offset);
      opened = opened === null ? [index, quote] : null;
    }
  }
  return opened === null ? null : splitAt(parts, ...opened);
}

/** Splits the template behind a placeholder after the quote that closes the string around it. */
function stringEnd(parts: Template): { readonly before: Template; readonly rest: Template } | null {
  for (const [index, part] of parts.entries()) {
    if (part.type !== "literal") continue;
    const match = /(?<!\\)(?:\\\\)*"/.exec(part.text);
    if (match !== null) return splitAt(parts, index, match.index + match[0].length);
  }
  return null;
}

function splitAt(parts: Template, index: number, offset: number): { before: Template; rest: Template } {
  const text = textBeside(parts[index]);
  const literal = (piece: string): Template => (piece === "" ? [] : [{ type: "literal", text: piece }]);
  return {
    before: [...parts.slice(0, index), ...literal(text.slice(0, offset))],
    rest: [...literal(text.slice(offset)), ...parts.slice(index + 1)],
  };
}
