/**
 * A user's TypeScript or JavaScript file. Its default export gives the value of a key; `fetchMany`, if it exists, gives the
 * values of several keys. Node strips the types of TypeScript, so
 * only erasable syntax works.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { readFailure } from "../config/read-failure.ts";
import { type Complete, type Settings, text } from "../config/setting.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { SourceError } from "../errors.ts";
import type { Getter, ManyGetter } from "../getter.ts";
import { importFile } from "../packaged.ts";
import { type BatchLimits, readBatchLimits } from "./batch-settings.ts";
import { GetterSource, getterBatchSettings } from "./getter.ts";
import type { SourceType } from "./source-type.ts";

const settings = {
  path: {
    type: text,
    default: null,
    example: "getter.ts",
    isRequired: true,
    meaning:
      "TypeScript or JavaScript file whose default export is the getter, relative to the configuration file's folder. Its export `fetchMany` is called for several keys at once.",
  },
  ...getterBatchSettings,
} as const satisfies Settings;

/** `path` is absolute. */
interface ModuleSourceConfig extends SourceConfig, Pick<Complete<typeof settings>, "path"> {
  readonly batch: BatchLimits;
  /** Changes with the content of the file. */
  readonly version: string;
}

export const moduleType: SourceType<typeof settings, ModuleSourceConfig> = {
  names: ["module"],
  about: "Calls a function of your own.",
  settings,
  read({ path: given, ...limits }, input) {
    const { folder, reads, problems, placeOf } = input;
    const batch = readBatchLimits(limits, input);
    if (given === null) return null;
    const path = resolve(folder, given);
    try {
      return { path, batch, version: createHash("sha256").update(reads.bytesSync(path)).digest("hex") };
    } catch (error) {
      problems.add(placeOf("path"), `${path}: ${readFailure(error)}`);
      return null;
    }
  },
  create: moduleSource,
  filesOf: ({ path }) => [path],
  async warnings({ path }) {
    const code = await readFile(path, "utf8").catch(() => null);
    const hasGetter = code === null || /\bexport\s+default\b|\bas\s+default\b|\bexports\b|\bfetchMany\b/.test(code);
    return hasGetter ? [] : [`${path} has neither a default export, the getter, nor an export fetchMany`];
  },
};

/** The source of a file's functions. */
function moduleSource({ name, path, version, batch }: ModuleSourceConfig): GetterSource {
  const load = async () => {
    // A changed file is another module.
    const loaded = (await importFile(path, version)) as { default?: unknown; fetchMany?: unknown };
    const one = typeof loaded.default === "function" ? (loaded.default as Getter) : null;
    const many = typeof loaded.fetchMany === "function" ? (loaded.fetchMany as ManyGetter) : null;
    if (one === null && many === null) {
      throw new SourceError("SOURCE_FAILED", `source ${name}: ${path} has no function as its default export`);
    }
    return { one, many };
  };
  return new GetterSource(name, load, batch);
}
