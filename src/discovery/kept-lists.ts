/** The last list of each pool, as a file in the state folder: for a start when the place of the list does not answer. */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DiscoveryConfig, PoolServer } from "../config/config.ts";
import { parseServer } from "../config/native-pool.ts";
import { makeFolder } from "../make-folder.ts";
import { serverText } from "./server-list.ts";

export class KeptLists {
  private readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The list that was kept for the pool and the same place. `null` if absent. */
  async read(pool: string, { text }: DiscoveryConfig): Promise<PoolServer[] | null> {
    try {
      const kept: unknown = JSON.parse(await readFile(this.fileOf(pool), "utf8"));
      if (typeof kept !== "object" || kept === null || !("discover" in kept) || !("servers" in kept)) return null;
      if (kept.discover !== text || !Array.isArray(kept.servers)) return null;
      const servers = kept.servers.map((each) => parseServer(String(each), "/"));
      const isGood = servers.length > 0 && servers.every((server) => typeof server !== "string");
      return isGood ? servers : null;
    } catch {
      return null;
    }
  }

  /** Rejects with the reason if the list cannot be written. A reader sees the old file or the new one. */
  async write(pool: string, { text }: DiscoveryConfig, servers: readonly PoolServer[]): Promise<void> {
    await makeFolder(this.folder);
    const file = this.fileOf(pool);
    const unfinished = `${file}.${process.pid}`;
    const content = { discover: text, servers: servers.map(serverText) };
    try {
      await writeFile(unfinished, `${JSON.stringify(content, null, 2)}\n`);
      await rename(unfinished, file);
    } catch (error) {
      await rm(unfinished, { force: true });
      throw error;
    }
  }

  private fileOf(pool: string): string {
    return join(this.folder, `servers-${pool}.json`);
  }
}
