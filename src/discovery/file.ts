/**
 * Servers from a file with a server per line, as in `servers` of a pool. Empty lines and text after `#` are ignored.
 * The file is watched as a configuration is, so that a file that is being written is not read half-way.
 */
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type Clock, systemClock } from "../clock.ts";
import type { PoolServer } from "../config/config.ts";
import { parseServer } from "../config/native-pool.ts";
import { readFailure } from "../config/read-failure.ts";
import { watchConfigFiles } from "../config/watch.ts";
import type { Discoverer, FoundServers } from "./discoverer.ts";

/** Time that the file must stay unchanged (ms). */
const SETTLE_MS = 200;

export class FileDiscoverer implements Discoverer {
  private readonly path: string;
  private readonly clock: Clock;
  private last: Buffer | null = null;

  constructor(path: string, clock: Clock = systemClock) {
    this.path = path;
    this.clock = clock;
  }

  async look(): Promise<FoundServers> {
    let content: Buffer;
    try {
      content = await readFile(this.path);
    } catch (error) {
      throw new Error(`${this.path}: ${readFailure(error)}`);
    }
    this.last = content;
    return { servers: parseList(this.path, content.toString("utf8")), isDoubtful: false };
  }

  readonly watch = (changed: () => void): (() => void) => {
    const watcher = watchConfigFiles({
      path: this.path,
      loaded: new Map([[this.path, this.last]]),
      clock: this.clock,
      settleMs: SETTLE_MS,
      onChange: changed,
      onError: changed,
      // The watcher then looks at the file at intervals.
      onUnwatched: () => {},
    });
    return () => watcher.close();
  };
}

/** Throws an Error that names the line of an invalid server, or of a server that is listed twice. */
function parseList(path: string, text: string): PoolServer[] {
  const servers: PoolServer[] = [];
  const seen = new Set<string>();
  for (const [index, line] of text.split("\n").entries()) {
    const own = line.replace(/#.*/, "").trim();
    if (own === "") continue;
    const server = parseServer(own, dirname(path));
    if (typeof server === "string") throw new Error(`${path}:${index + 1}: ${server}`);
    const place = JSON.stringify(server.address);
    if (seen.has(place)) throw new Error(`${path}:${index + 1}: ${JSON.stringify(own)} is listed twice`);
    seen.add(place);
    servers.push(server);
  }
  return servers;
}
