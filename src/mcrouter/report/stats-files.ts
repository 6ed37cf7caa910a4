/**
 * mcrouter's stats files for monitoring tools, below `--stats-root`:
 *
 *     libmcrouter.SERVICE.ROUTER.stats                 all numbers, as one JSON object, every few seconds
 *     libmcrouter.SERVICE.ROUTER.startup_options       the options; its modification time shows that the process lives
 *     libmcrouter.SERVICE.ROUTER.config_sources_info   digests of the configuration's files
 *
 * If the folder cannot be written, a message is logged, and each tick tries again.
 *
 * Source: mcrouter McrouterLogger.cpp, as facts.
 */
import { rename, rm, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Clock, Timer } from "../../clock.ts";
import { makeFolder } from "../../make-folder.ts";
import type { Reports } from "../../telemetry/reports.ts";
import { prettySorted } from "./admin.ts";

export interface StatsFilesOptions {
  readonly root: string;
  readonly serviceName: string;
  readonly routerName: string;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly reports: Reports;
  /** Current numbers by name. */
  stats(): Readonly<Record<string, string | number>>;
  options(): Readonly<Record<string, string>>;
  sources(): unknown;
}

export class StatsFiles {
  private readonly options: StatsFilesOptions;
  private timer: Timer | null = null;
  private isClosed = false;
  private hasOptions = false;
  private writing: Promise<void>;

  constructor(options: StatsFilesOptions) {
    this.options = options;
    this.writing = this.tick();
  }

  /** Resolves when all writes are done. */
  async close(): Promise<void> {
    this.isClosed = true;
    if (this.timer !== null) this.options.clock.clearTimer(this.timer);
    await this.writing;
  }

  /** Never rejects. */
  private async tick(): Promise<void> {
    await this.options.reports.make("stats_files", () => this.writeAll());
    if (this.isClosed) return;
    this.timer = this.options.clock.setTimer(this.options.intervalMs, () => {
      this.writing = this.tick();
    });
  }

  private async writeAll(): Promise<void> {
    const { root, serviceName, routerName, options, stats, sources } = this.options;
    const prefix = `libmcrouter.${serviceName}.${routerName}`;
    await makeFolder(root);
    // Monitoring tools use the modification time to see whether this process lives.
    const isThere = this.hasOptions && (await this.touch("startup_options"));
    if (!isThere) await this.write("startup_options", prettySorted({ ...options(), pid: process.pid }));
    this.hasOptions = true;
    const named = Object.fromEntries(Object.entries(stats()).map(([name, value]) => [`${prefix}.${name}`, value]));
    await this.write("stats", prettySorted(named));
    await this.write("config_sources_info", prettySorted(sources()));
  }

  private fileOf(kind: string): string {
    const { root, serviceName, routerName } = this.options;
    return path.join(root, `libmcrouter.${serviceName}.${routerName}.${kind}`);
  }

  /** Sets the modification time of a file to now. False if the file does not exist. */
  private async touch(kind: string): Promise<boolean> {
    const now = new Date(1_000 * this.options.clock.unixSeconds());
    return utimes(this.fileOf(kind), now, now).then(
      () => true,
      () => false,
    );
  }

  /** Replaces the file atomically: a reader sees the old or the new content. */
  private async write(kind: string, text: string): Promise<void> {
    const file = this.fileOf(kind);
    const part = `${file}.${process.pid}`;
    try {
      await writeFile(part, `${text}\n`);
      await rename(part, file);
    } catch (error) {
      await rm(part, { force: true }).catch(() => {});
      throw error;
    }
  }
}
