/**
 * A user's TypeScript or JavaScript file whose default export is the getter. Node strips the types of TypeScript, so
 * only erasable syntax works.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { readFailure } from "../config/read-failure.ts";
import { type Complete, type Settings, text } from "../config/setting.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { SourceError } from "../errors.ts";
import type { Getter } from "../getter.ts";
import { importFile } from "../packaged.ts";
import { GetterSource } from "./getter.ts";
import type { SourceType } from "./source-type.ts";

const settings = {
  path: {
    type: text,
    default: null,
    example: "getter.ts",
    isRequired: true,
    meaning:
      "TypeScript or JavaScript file whose default export is the getter, relative to the configuration file's folder.",
  },
} as const satisfies Settings;

/** `path` is absolute. */
interface ModuleSourceConfig extends SourceConfig, Complete<typeof settings> {
  /** Changes with the content of the file. */
  readonly version: string;
}

export const moduleType: SourceType<typeof settings, ModuleSourceConfig> = {
  names: ["module"],
  about: "Calls a function of your own.",
  settings,
  read(values, { folder, reads, problems, placeOf }) {
    if (values.path === null) return null;
    const path = resolve(folder, values.path);
    try {
      return { path, version: createHash("sha256").update(reads.bytesSync(path)).digest("hex") };
    } catch (error) {
      problems.add(placeOf("path"), `${path}: ${readFailure(error)}`);
      return null;
    }
  },
  create: moduleSource,
  filesOf: ({ path }) => [path],
  async warnings({ path }) {
    const code = await readFile(path, "utf8").catch(() => null);
    const hasDefault = code === null || /\bexport\s+default\b|\bas\s+default\b|\bexports\b/.test(code);
    return hasDefault ? [] : [`${path} has no default export, which has to be the getter`];
  },
};

/** The source of a file's getter. */
function moduleSource({ name, path, version }: ModuleSourceConfig): GetterSource {
  return new GetterSource(name, async () => {
    // A changed file is another module.
    const loaded = (await importFile(path, version)) as { default?: unknown };
    if (typeof loaded.default !== "function") {
      throw new SourceError("SOURCE_FAILED", `source ${name}: ${path} has no function as its default export`);
    }
    return loaded.default as Getter;
  });
}
