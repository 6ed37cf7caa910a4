/**
 * Values from files below one folder. The key selects the file, never the folder: `.` and `..` are refused, and the
 * target of a link must be below the folder too.
 */
import { type BigIntStats, constants } from "node:fs";
import { access, open, realpath, stat } from "node:fs/promises";
import path from "node:path";
import { type Clock, systemClock } from "../clock.ts";
import { readFailure } from "../config/read-failure.ts";
import { type Complete, type Settings, template, text } from "../config/setting.ts";
import { maxBodySetting } from "../config/settings.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { SourceError } from "../errors.ts";
import { FileWatch } from "./file-watch.ts";
import type { FetchContext, FetchResult, Source } from "./source.ts";
import type { SourceInput, SourceType } from "./source-type.ts";
import { asFilePath, parseTemplate, renderTemplate, type Template } from "./template.ts";

const settings = {
  root: {
    type: text,
    default: null,
    example: "values",
    isRequired: true,
    meaning: "Folder of the files, relative to the configuration file's folder. No file outside it is read.",
  },
  path: {
    type: template,
    default: null,
    example: "{1}",
    isRequired: true,
    meaning: "Template of the file's path below `root`.",
  },
  max_body: maxBodySetting,
} as const satisfies Settings;

/** `root` is absolute. */
export interface FileSourceConfig extends SourceConfig, Complete<typeof settings> {}

export const fileType: SourceType<typeof settings, FileSourceConfig> = {
  names: ["file"],
  about: "Reads a file below a folder.",
  settings,
  read({ root, path: below, maxBodyBytes }, input) {
    if (root === null || below === null) return null;
    checkPath(below, input);
    return { root: path.resolve(input.folder, root), path: below, maxBodyBytes };
  },
  create: (config, { clock }) => new FileSource(config, clock),
  warnings,
};

function checkPath(below: string, { problems, placeOf }: SourceInput): void {
  if (below.startsWith("/") || below.split(/[/\\]/).includes("..")) {
    problems.add(placeOf("path"), `expected a path below root without "..", got ${JSON.stringify(below)}`);
  }
}

/** Warnings: the folder does not exist, or the file cannot be read. */
async function warnings({ root, path: below }: FileSourceConfig): Promise<string[]> {
  const wrong = await folderProblem(root);
  if (wrong !== null) return [`root ${root}: ${wrong}`];
  const parts = parseTemplate(below);
  // A path without parts of the key is a single file.
  if (parts.some(({ type }) => type === "place")) return [];
  const file = path.join(root, ...parts.map((part) => (part.type === "literal" ? part.text : "")));
  const unreadable = await access(file, constants.R_OK).then(() => null, readFailure);
  return unreadable === null ? [] : [`${file}: ${unreadable}`];
}

async function folderProblem(folder: string): Promise<string | null> {
  try {
    if (!(await stat(folder)).isDirectory()) return "expected a folder, found a file";
    await access(folder, constants.X_OK);
    return null;
  } catch (error) {
    return readFailure(error).replace("no such file", "no such folder");
  }
}

/** File times have the resolution of the kernel's tick. */
const SETTLED_NS = 2_000_000_000n;

/** Reads whole files. A missing file is "not there". */
export class FileSource implements Source {
  readonly name: string;
  private readonly config: FileSourceConfig;
  private readonly template: Template;
  private readonly clock: Clock;
  onChanged?: (key: string) => void;
  private files: FileWatch | null = null;

  constructor(config: FileSourceConfig, clock: Clock = systemClock) {
    this.clock = clock;
    this.name = config.name;
    this.config = config;
    this.template = parseTemplate(config.path);
  }

  async fetch(context: FetchContext): Promise<FetchResult> {
    const relative = renderTemplate(this.template, context, asFilePath);
    try {
      const root = await realpath(this.config.root);
      const file = await realpath(path.join(root, relative));
      if (!file.startsWith(root === path.sep ? root : root + path.sep)) {
        throw new SourceError("SOURCE_REFUSED", `source ${this.name}: the file lies outside of ${this.config.root}`);
      }
      if (context.cacheKey !== undefined) this.watchFor(context.cacheKey, file, relative);
      return await this.read(file, context.tag, context.signal);
    } catch (error) {
      if (error instanceof SourceError) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG") return { type: "notThere" };
      throw new SourceError("SOURCE_FAILED", `source ${this.name}: ${message}`, { cause: error });
    }
  }

  describe(context: FetchContext): string[] {
    return [path.join(this.config.root, renderTemplate(this.template, context, asFilePath))];
  }

  async close(): Promise<void> {
    this.files?.close();
  }

  /** Watches the real file and the name that led to it: a link may change its target. */
  private watchFor(key: string, file: string, relative: string): void {
    if (this.onChanged === undefined) return;
    this.files ??= new FileWatch((changed) => this.onChanged?.(changed), this.clock);
    const name = path.join(this.config.root, relative);
    this.files.note(key, name === file ? [file] : [file, name]);
  }

  private async read(file: string, known: string | null, signal: AbortSignal): Promise<FetchResult> {
    // Non-blocking: opening a pipe without a writer would block.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = await handle.stat({ bigint: true });
      if (!stat.isFile()) throw new SourceError("SOURCE_REFUSED", `source ${this.name}: not a regular file`);
      if (stat.size > this.config.maxBodyBytes) throw this.tooLarge();
      const tag = tagOf(stat, this.clock.unixSeconds());
      if (tag !== null && tag === known) return { type: "unchanged", freshness: null };
      const value = await handle.readFile({ signal });
      // Some files do not report their size.
      if (value.length > this.config.maxBodyBytes) throw this.tooLarge();
      return { type: "value", value, tag, freshness: null };
    } finally {
      await handle.close();
    }
  }

  private tooLarge(): SourceError {
    const bound = `more than max_body (${this.config.maxBodyBytes} bytes)`;
    return new SourceError("SOURCE_TOO_LARGE", `source ${this.name}: the file has ${bound}`);
  }
}

/**
 * A tag that changes whenever the content may have changed. `null` if the file changed so recently that another change
 * might leave its times unchanged. A program can set the mtime of a file, but not its ctime.
 */
function tagOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats, unixSeconds: number): string | null {
  const lastChangeNs = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  const ageNs = BigInt(unixSeconds) * 1_000_000_000n - lastChangeNs;
  return ageNs < SETTLED_NS ? null : `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}
