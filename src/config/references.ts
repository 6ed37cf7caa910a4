/**
 * `${ENV:NAME}` and `${file:PATH}` in settings of sources and pools. They insert values that must not be in the file,
 * such as a password, from the environment or from a separate file.
 */

import { resolve } from "node:path";
import type { FilesRead } from "./files-read.ts";
import { readFailure } from "./read-failure.ts";
import { type Found, isTable, type Place, type Problems, type Section } from "./section.ts";
import type { Setting, Settings } from "./setting.ts";
import { HIDDEN } from "./shown-url.ts";

const REFERENCE = /\$\{(ENV|file):([^}]*)\}/g;

export interface ReferenceContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths start from this folder. */
  readonly folder: string;
  readonly reads: FilesRead;
}

/**
 * Resolves the references in a section. Returns the section, the files that were read, and the inserted values.
 * Messages do not show values with insertions. In templates, an inserted brace is escaped.
 */
export function resolveReferences(
  section: Section,
  settings: Settings,
  context: ReferenceContext,
  problems: Problems,
): { section: Section; files: string[]; secrets: string[] } {
  const files: string[] = [];
  const secrets: string[] = [];
  const found = new Map(
    [...section.found].map(([key, value]) => {
      const row = settings[key] ?? Object.values(settings).find(({ synonyms }) => synonyms?.includes(key));
      return [key, resolveFound(value, row, files, secrets, context, problems)];
    }),
  );
  return { section: { ...section, found }, files, secrets };
}

function resolveFound(
  found: Found,
  row: Setting | undefined,
  files: string[],
  secrets: string[],
  context: ReferenceContext,
  problems: Problems,
): Found {
  const isTemplate = row?.type.kind === "template" || row?.type.kind === "templates";
  let hasReference = false;
  const put = (value: unknown, place: Place): unknown => {
    if (typeof value !== "string") return value;
    return value.replaceAll(REFERENCE, (_match, kind: string, name: string) => {
      hasReference = true;
      const text =
        kind === "ENV"
          ? context.env[name]
          : readText(resolve(context.folder, name), context.reads, files, place, problems);
      if (text === undefined) problems.add(place, `there is no environment variable ${name}`);
      const put = isTemplate ? (text ?? "").replaceAll(/[{}]/g, "$&$&") : (text ?? "");
      secrets.push(put);
      return put;
    });
  };
  const through = (change: (value: unknown, place: Place) => unknown): unknown =>
    isTable(found.value)
      ? Object.fromEntries(Object.entries(found.value).map(([name, entry]) => [name, change(entry, found.entry(name))]))
      : Array.isArray(found.value)
        ? found.value.map((entry, index) => change(entry, found.entry(index)))
        : change(found.value, found.place);
  const value = through(put);
  if (!hasReference) return found;
  const shown = through((text) => (typeof text === "string" ? text.replaceAll(REFERENCE, HIDDEN) : text));
  return { ...found, value, shown, isHidden: true };
}

/** The content of a file without the line end that editors add. */
function readText(path: string, reads: FilesRead, files: string[], place: Place, problems: Problems): string {
  files.push(path);
  try {
    return reads.textSync(path).replace(/\r?\n$/, "");
  } catch (error) {
    problems.add(place, `${path}: ${readFailure(error)}`);
    return "";
  }
}
