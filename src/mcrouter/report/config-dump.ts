/**
 * The last configuration that was good, kept on disk: `ROOT/SERVICE/ROUTER/file-<path, escaped>` for each of its files. At a
 * start with a bad configuration it serves, if it is not too old.
 *
 * Source: mcrouter ConfigApi.cpp, as facts.
 */
import { readFile, rename, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Clock } from "../../clock.ts";
import type { McrouterConfig } from "../../config/config.ts";
import { makeFolder } from "../../make-folder.ts";

/** Where a router keeps its files. */
export interface DumpPlace {
  readonly root: string;
  readonly serviceName: string;
  readonly routerName: string;
}

/** Keeps the files of a good configuration; unchanged ones are only touched. Rejects where they cannot be written. */
export async function dumpConfig(place: DumpPlace, { sources }: McrouterConfig): Promise<void> {
  await makeFolder(folderOf(place));
  for (const [file, text] of sources.texts) {
    const dump = dumpOf(place, file);
    const old = await readFile(dump, "utf8").catch(() => null);
    if (old === text) {
      await utimes(dump, new Date(), new Date());
      continue;
    }
    // A disk that is full leaves the old file, and no half of the new one.
    await writeFile(`${dump}.${process.pid}`, text);
    await rename(`${dump}.${process.pid}`, dump);
  }
}

/** Reads files as they were kept, at most `maxAgeSeconds` old; 0: none is read. Rejects as `fs.readFile` does, or with a reason. */
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
