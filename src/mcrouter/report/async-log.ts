/**
 * Failed deletes on disk in mcrouter's format, one per line:
 *
 *     ["AS1.0",1289416829.836,"C",["10.0.0.1",11302,"delete foo\r\n"]]
 *     ["AS2.0",1289416829.836,"C",{"s":"mcrouter","f":"web","r":"east","h":"[10.0.0.1]:11302","p":"A","k":"foo","a":{…}}]
 *
 * Each hour has a folder, and each quarter of an hour a file:
 * `20101110T19-1289415600/20101110T194029-1289416829-mcrouter-5000-t123-1`. `platypus replay-asynclog` repeats the
 * deletes.
 *
 * Source: mcrouter AsyncLog.cpp, as facts.
 */

import type { FileHandle } from "node:fs/promises";
import { chmod, open } from "node:fs/promises";
import path from "node:path";
import type { Clock } from "../../clock.ts";
import { makeFolder } from "../../make-folder.ts";
import type { Reports } from "../../telemetry/reports.ts";
import type { DeleteSpool } from "../routes/async-log-route.ts";

const FILE_LIFETIME_SECONDS = 900;
/** Maximum number of lines that wait to be written. Further lines are dropped. */
const MAX_WAITING = 100_000;
/** Maximum time that `close` waits for the disk (ms). */
const MAX_CLOSE_MS = 2_000;

/** Attribute in each line of version 2. */
const MARKER = "al";

/** Counters of one log since the start. */
export interface AsyncLogCounters {
  requests: number;
  spooled: number;
  failed: number;
}

export interface AsyncLogOptions {
  /** `null` if failed deletes are only counted. */
  readonly root: string | null;
  readonly serviceName: string;
  readonly routerName: string;
  /** Fields of version 2 lines. `null` or absent for version 1. */
  readonly version2?: { readonly flavorName: string; readonly region: string } | null;
  readonly clock: Clock;
  readonly reports: Reports;
}

/** Writes lines in order. Lines that arrive during a write are written together after it. */
export class AsyncLog implements DeleteSpool {
  readonly counters: AsyncLogCounters = { requests: 0, spooled: 0, failed: 0 };
  private readonly options: AsyncLogOptions;
  private waiting: { readonly line: string; readonly done: () => void }[] = [];
  /** `null` while no write is in progress. */
  private writing: Promise<void> | null = null;
  private file: FileHandle | null = null;
  private openedSeconds = 0;
  private files = 0;

  constructor(options: AsyncLogOptions) {
    this.options = options;
  }

  spool(server: string, pool: string, key: string, done: () => void): void {
    this.counters.requests++;
    const isFull = this.waiting.length >= MAX_WAITING;
    if (this.options.root === null || isFull) {
      this.counters.failed++;
      if (isFull) this.options.reports.failed("async_log", `${MAX_WAITING} lines wait for the disk`);
      done();
      return;
    }
    const entry = this.entryOf(server, pool, key);
    this.waiting.push({ line: `${JSON.stringify(entry)}\n`, done });
    this.writing ??= this.write();
  }

  /** Keys are bytes, one character each, and are written that way. */
  private entryOf(server: string, pool: string, key: string): unknown {
    const { version2 = null, serviceName, clock } = this.options;
    const [host, port] = hostAndPort(server);
    const seconds = roundedSeconds(clock.unixSeconds());
    if (version2 === null) return ["AS1.0", seconds, "C", [host, port, `delete ${key}\r\n`]];
    const { flavorName, region } = version2;
    const attributes = { [MARKER]: 1 };
    const what = { s: serviceName, f: flavorName, r: region, h: `[${host}]:${port}`, p: pool, k: key, a: attributes };
    return ["AS2.0", seconds, "C", what];
  }

  /** Resolves when all lines are written and the file is closed, or when the disk takes too long. */
  async close(): Promise<void> {
    const { clock } = this.options;
    const { promise: tooLate, resolve } = Promise.withResolvers<void>();
    const timer = clock.setTimer(MAX_CLOSE_MS, resolve);
    const closing = Promise.resolve(this.writing).then(() => this.leaveFile());
    await Promise.race([closing, tooLate]);
    clock.clearTimer(timer);
  }

  private async write(): Promise<void> {
    while (this.waiting.length > 0) {
      const lines = this.waiting;
      this.waiting = [];
      try {
        const file = await this.currentFile();
        await file.appendFile(lines.map(({ line }) => line).join(""), "latin1");
        this.counters.spooled += lines.length;
      } catch (error) {
        this.counters.failed += lines.length;
        this.options.reports.failed("async_log", error, lines.length);
        // The last line may lack its end. Start a new file, so that the next line is not appended to it.
        await this.leaveFile();
      }
      for (const { done } of lines) done();
    }
    this.writing = null;
  }

  private async leaveFile(): Promise<void> {
    const { file } = this;
    this.file = null;
    // The appended lines are in the file already.
    await file?.close().catch(() => {});
  }

  private async currentFile(): Promise<FileHandle> {
    const nowSeconds = Math.floor(this.options.clock.unixSeconds());
    if (this.file !== null && nowSeconds - this.openedSeconds <= FILE_LIFETIME_SECONDS) {
      // Lines in a deleted file would be lost.
      const { nlink } = await this.file.stat();
      if (nlink > 0) return this.file;
    }
    await this.leaveFile();
    const { root, serviceName, routerName } = this.options;
    const stamp = timeStamp(nowSeconds);
    const folder = path.join(root!, `${stamp.slice(0, "YYYYMMDDTHH".length)}-${nowSeconds - (nowSeconds % 3600)}`);
    await makeOpenFolder(folder);
    const name = `${stamp}-${nowSeconds}-${serviceName}-${routerName}-t${process.pid}-${++this.files}`;
    this.file = await open(path.join(folder, name), "a", 0o666);
    this.openedSeconds = nowSeconds;
    return this.file;
  }
}

/** Another user may run the replay. */
async function makeOpenFolder(folder: string): Promise<void> {
  if (await makeFolder(folder)) await chmod(folder, 0o777);
}

function roundedSeconds(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}

/** Host and port of `host:port`, `[v6]:port` or `unix:path`, which has port 0. */
function hostAndPort(server: string): readonly [host: string, port: number] {
  if (server.startsWith("unix:")) return [server, 0];
  const colon = server.lastIndexOf(":");
  const host = server.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return [host, Number(server.slice(colon + 1))];
}

/** Local time as YYYYMMDDTHHMMSS. */
function timeStamp(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  const two = (number: number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}
