/**
 * The last good configuration on disk: `ROOT/SERVICE/ROUTER/file-<path, escaped>` for each of its files. Platypus uses
 * it when it starts with a bad configuration, unless the copy is too old.
 *
 * Source: mcrouter ConfigApi.cpp, as facts.
 */
import { readFile, rename, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Clock } from "../../clock.ts";
import type { McrouterConfig } from "../../config/config.ts";
import { makeFolder } from "../../make-folder.ts";

/** The folder of a router's files. */
export interface DumpPlace {
  readonly root: string;
  readonly serviceName: string;
  readonly routerName: string;
}

/**
 * Keeps the files of a good configuration; an unchanged file only gets a new time. Rejects if a file cannot be written.
 */
export async function dumpConfig(place: DumpPlace, { sources }: McrouterConfig): Promise<void> {
  await makeFolder(folderOf(place));
  for (const [file, text] of sources.texts) {
    const dump = dumpOf(place, file);
    const old = await readFile(dump, "utf8").catch(() => null);
    if (old === text) {
      await utimes(dump, new Date(), new Date());
      continue;
    }
    // With a full disk, the old file stays complete.
    await writeFile(`${dump}.${process.pid}`, text);
    await rename(`${dump}.${process.pid}`, dump);
  }
}

/**
 * Reads kept files that are at most `maxAgeSeconds` old; 0 reads none. Rejects as `fs.readFile` does, or with a reason.
 */
export function readDump(place: DumpPlace, maxAgeSeconds: number, clock: Clock): (file: string) => Promise<string> {
  return async (file) => {
    const dump = dumpOf(place, path.resolve(file));
    const { mtimeMs } = await stat(dump);
    const ageSeconds = Math.round(clock.unixSeconds() - mtimeMs / 1000);
    if (ageSeconds > maxAgeSeconds)
      throw new Error(`${dump} is ${ageSeconds} s old, more than --max-dumped-config-age`);
    return readFile(dump, "utf8");
  };
}

function folderOf({ root, serviceName, routerName }: DumpPlace): string {
  return path.join(root, serviceName, routerName);
}

function dumpOf(place: DumpPlace, file: string): string {
  return path.join(folderOf(place), `file-${encodeURIComponent(file)}`);
}
