/**
 * The text of a mcrouter configuration → its document without comments and macros.
 *
 * Expansion is synchronous and reads no files. An import whose file is not loaded ends the expansion; the file is read,
 * and the expansion starts again, until all imported files are loaded.
 */

import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { readFailure } from "../../config/read-failure.ts";
import { ConfigError, type ConfigProblem } from "../../errors.ts";
import { readJson } from "./json-reader.ts";
import { describeJson, type Json, type JsonObject, type JsonPlace, jsonInteger, jsonString } from "./json-value.ts";
import { MacroError } from "./macro-error.ts";
import { asMacroError, Preprocessor } from "./preprocessor.ts";

export interface McrouterText {
  readonly text: string;
  /**
   * The path as the user wrote it; imports are relative to its folder. `null` if the text does not come from a file.
   */
  readonly file: string | null;
  /** Parameters for `%name%` in every place: see `globalParams`. */
  readonly params: Readonly<Record<string, string | number>>;
  /** The content of an imported file. Rejects as `fs.readFile` does. */
  readFile(path: string): Promise<string>;
}

export interface ExpandedConfig {
  /** `null` if there are problems. */
  readonly document: JsonObject | null;
  /** Problems in the form of a `ConfigError`, in the order of the lines. */
  readonly problems: readonly ConfigProblem[];
  /** Absolute paths of the imported files, including files that could not be read. */
  readonly files: readonly string[];
  /** MD5 of the text in hexadecimal, as in `config_md5_digest`. */
  readonly rawDigest: string;
}

const FILE_PREFIX = "file:";

/** Expands the text. `problems` holds all mistakes except those after a syntax error. */
export async function expandMcrouterConfig(given: McrouterText): Promise<ExpandedConfig> {
  const contents = new Map<string, string | Error>();
  const rawDigest = createHash("md5").update(given.text).digest("hex");
  for (;;) {
    try {
      const { document, problems } = expandWith(given, contents);
      return { document, problems, files: [...contents.keys()], rawDigest };
    } catch (error) {
      if (!(error instanceof FileNeeded)) throw error;
      const content = await given.readFile(error.path).catch((reason: unknown) => new Error(readFailure(reason)));
      contents.set(error.path, content);
    }
  }
}

class FileNeeded extends Error {
  readonly path: string;

  constructor(path: string) {
    super(path);
    this.path = path;
  }
}

function expandWith(
  { text, file, params }: McrouterText,
  contents: ReadonlyMap<string, string | Error>,
): { document: JsonObject | null; problems: readonly ConfigProblem[] } {
  let raw: Json;
  try {
    raw = readJson(text, file);
  } catch (error) {
    if (error instanceof ConfigError) return { document: null, problems: error.problems };
    throw error;
  }
  if (raw.type !== "object") {
    return { document: null, problems: [{ ...raw.place, message: `expected an object, got ${describeJson(raw)}` }] };
  }
  const folder = file === null ? process.cwd() : dirname(resolve(file));
  const importer = (path: string, place: JsonPlace): { id: string; value: Json } => {
    const id = path.startsWith(FILE_PREFIX) ? resolve(path.slice(FILE_PREFIX.length)) : resolve(folder, path);
    const content = contents.get(id);
    if (content === undefined) throw new FileNeeded(id);
    if (content instanceof Error) throw new MacroError(`import of ${path}: ${content.message}`, place);
    try {
      return { id, value: readJson(content, id) };
    } catch (error) {
      throw error instanceof ConfigError ? asMacroError(error) : error;
    }
  };
  const place = { file: null, line: 1 };
  const globals = Object.entries(params).map(([name, value]): [string, Json] => {
    return [name, typeof value === "number" ? jsonInteger(BigInt(value), place) : jsonString(value, place)];
  });
  const preprocessor = new Preprocessor(new Map(globals), file === null ? "" : resolve(file), importer);
  const document = preprocessor.expandDocument(raw);
  const problems = preprocessor.problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
  return { document: problems.length === 0 ? document : null, problems };
}
