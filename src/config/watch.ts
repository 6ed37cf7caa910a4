/**
 * Tells when the content of a configuration's files is no longer what was loaded. Two things say "look": events of the files'
 * folders and of the folders of their real paths (Kubernetes swaps a symlink there), and a check of size, times and inode
 * every two seconds. The check is needed because some file systems send no events, and none sends one for a link higher up
 * in the path. After that only the content counts:
 *
 *     idle --event--> look --(1 s)--> same as before? no: look again --(1 s)--> …
 *                                     yes: idle; report if it is not what was loaded
 *
 * A file that is empty, or the beginning of what it was, may be being written: it must hold still five times as long, and
 * that even if somebody asks for a look.
 *
 * A file that is gone is looked for every second until it is back, which also finds folders that were put in anew.
 */

import { type FSWatcher, watch } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Clock, Timer } from "../clock.ts";
import { type FileContents, FilesRead } from "./files-read.ts";

const defaultSettleMs = 1_000;
const POLL_MS = 2_000;
/** A file that has become shorter must hold still this many times longer. */
const SHORTER_FACTOR = 5;
/** A timer may fire a little early. */
const TIMER_SLACK_MS = 10;

/** A folder at one moment: another one of the same path has another identity. */
export interface FolderState {
  readonly path: string;
  readonly identity: string;
}

/** What watching needs of a file system. */
export interface WatchedFiles {
  /** Follows symlinks. Rejects if there is no readable file. */
  read(path: string): Promise<Uint8Array>;
  /** Differs when the file may have changed. `null` if there is no file. */
  signature(path: string): Promise<string | null>;
  /** The file's folder, and its real path's folder where that is another one; those that exist. */
  folders(path: string): Promise<readonly FolderState[]>;
  /** Calls `onEvent` after anything in the folder may have changed. Throws if it cannot be watched. */
  watch(folder: string, onEvent: () => void): { close(): void };
}

export interface WatchOptions {
  /** An absolute path. `null` if the configuration is not read from a file. */
  readonly path: string | null;
  /** What the files of the configuration had when it was loaded. */
  readonly loaded: FileContents;
  readonly clock: Clock;
  /** How long a file must hold still; a second where nothing is said. */
  readonly settleMs?: number;
  /** A file has another content than what was loaded or reported before, and has held still. What it returns is awaited. */
  readonly onChange: () => unknown;
  /** The file cannot be read; once until it can be again. */
  readonly onError: (error: Error) => void;
  /** A folder cannot be watched; once until it can be again. Its files are looked at every two seconds. */
  readonly onUnwatched: (folder: string, error: Error) => void;
  readonly files?: WatchedFiles;
}

export interface ConfigWatcher {
  /**
   * Looks now, without waiting for the files to hold still (SIGHUP), unless one has become shorter. Resolves after
   * `onChange` is done, if it was called.
   */
  check(): Promise<void>;
  /** The files of the configuration, and what they had, from now on. */
  loaded(contents: FileContents): void;
  close(): void;
}

/** Watches until closed. */
export function watchConfigFiles(options: WatchOptions): ConfigWatcher {
  return new FileWatcher(options);
}

class FileWatcher implements ConfigWatcher {
  readonly #options: WatchOptions;
  readonly #files: WatchedFiles;
  readonly #watched = new Map<string, { close(): void }>();
  /** Looks follow one another, so that none overtakes another's report. */
  #looks: Promise<void> = Promise.resolve();
  #looksPending = 0;
  #timer: Timer | null = null;
  #pollTimer: Timer | null = null;
  /** Signatures at the last poll. */
  #signatures = new Map<string, string | null>();
  /** What the last look saw, and since when looks have seen that. */
  #seen: FileContents | null = null;
  #seenSinceMs = 0;
  /** An event came in since the last look began. */
  #hasEvent = false;
  #known: FileContents;
  #reportedError: string | null = null;
  readonly #unwatched = new Set<string>();
  /** Resolved when files that are settling have settled. */
  #settled: PromiseWithResolvers<void> | null = null;
  #isClosed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#files = options.files ?? realFiles;
    this.#known = options.loaded;
    void this.#enqueueLook(true);
    this.#armPoll();
  }

  async check(): Promise<void> {
    await this.#enqueueLook(true);
    await this.#settled?.promise;
  }

  loaded(contents: FileContents): void {
    this.#known = contents;
    // Folders of files that are new are watched from now on.
    if (!this.#isClosed) void this.#enqueueLook(false);
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of [this.#timer, this.#pollTimer]) if (timer !== null) this.#options.clock.clearTimer(timer);
    for (const watched of this.#watched.values()) watched.close();
    this.#watched.clear();
    this.#settled?.resolve();
  }

  get #settleMs(): number {
    return this.#options.settleMs ?? defaultSettleMs;
  }

  get #paths(): readonly string[] {
    const { path } = this.#options;
    return [...new Set([...(path === null ? [] : [path]), ...this.#known.keys()])];
  }

  #enqueueLook(isImmediate: boolean): Promise<void> {
    this.#looksPending += 1;
    this.#looks = this.#looks.then(async () => {
      if (!this.#isClosed) await this.#look(isImmediate);
      this.#looksPending -= 1;
    });
    return this.#looks;
  }

  readonly #onEvent = (): void => {
    this.#hasEvent = true;
    const isIdle = this.#timer === null && this.#looksPending === 0;
    if (isIdle) void this.#enqueueLook(false);
  };

  async #look(isImmediate: boolean): Promise<void> {
    this.#disarm();
    this.#hasEvent = false;
    await this.#watchFolders();
    let error: Error | null = null;
    const contents = new Map<string, Uint8Array | null>();
    for (const path of this.#paths) {
      const content = await this.#files.read(path).catch((reason: Error) => {
        if (path === this.#options.path) error = reason;
        return null;
      });
      contents.set(path, content);
    }
    if (this.#isClosed) return;
    this.#report(error);
    const nowMs = this.#options.clock.nowMs();
    const isSame = this.#seen !== null && isEqual(contents, this.#seen) && !this.#hasEvent;
    if (!isSame) this.#seenSinceMs = nowMs;
    this.#seen = contents;
    const isShorter = [...contents].some(([path, content]) => isBeginning(content, this.#known.get(path) ?? null));
    const stillMs = nowMs - this.#seenSinceMs + TIMER_SLACK_MS;
    const hasSettled = stillMs >= (isShorter ? this.#settleMs * SHORTER_FACTOR : isImmediate ? 0 : this.#settleMs);
    if (!hasSettled || this.#hasEvent || error !== null) this.#arm();
    if (!hasSettled) {
      if (isShorter) this.#settled ??= Promise.withResolvers();
      return;
    }
    // A configuration that is gone is no other one: it is waited for.
    if (error === null && !isEqual(contents, this.#known)) {
      this.#known = contents;
      await this.#options.onChange();
    }
    this.#settled?.resolve();
    this.#settled = null;
  }

  /** Follows the folders to where they are now. */
  async #watchFolders(): Promise<void> {
    const folders = (await Promise.all(this.#paths.map((path) => this.#files.folders(path)))).flat();
    if (this.#isClosed) return;
    const current = new Map(folders.map((folder) => [`${folder.identity} ${folder.path}`, folder.path]));
    for (const [key, watched] of this.#watched) {
      if (current.has(key)) continue;
      watched.close();
      this.#watched.delete(key);
    }
    for (const [key, path] of current) {
      if (this.#watched.has(key)) continue;
      try {
        this.#watched.set(key, this.#files.watch(path, this.#onEvent));
        this.#unwatched.delete(path);
      } catch (error) {
        if (!this.#unwatched.has(path)) this.#options.onUnwatched(path, asError(error));
        this.#unwatched.add(path);
      }
    }
  }

  #report(error: Error | null): void {
    if (error !== null && error.message !== this.#reportedError) this.#options.onError(error);
    this.#reportedError = error?.message ?? null;
  }

  #arm(): void {
    this.#timer = this.#options.clock.setTimer(this.#settleMs, () => {
      this.#timer = null;
      void this.#enqueueLook(false);
    });
  }

  #disarm(): void {
    if (this.#timer !== null) this.#options.clock.clearTimer(this.#timer);
    this.#timer = null;
  }

  #armPoll(): void {
    this.#pollTimer = this.#options.clock.setTimer(POLL_MS, () => void this.#poll());
  }

  /** Has the files looked at if one of them may be another one. */
  async #poll(): Promise<void> {
    const signatures = new Map<string, string | null>();
    for (const path of this.#paths) signatures.set(path, await this.#files.signature(path));
    if (this.#isClosed) return;
    const hasChanged = [...signatures].some(([path, signature]) => this.#signatures.get(path) !== signature);
    this.#signatures = signatures;
    if (hasChanged) this.#onEvent();
    this.#armPoll();
  }
}

/** Whether all files of `contents` are as in `others`. */
function isEqual(contents: FileContents, others: FileContents): boolean {
  return [...contents].every(([path, content]) => {
    const other = others.get(path) ?? null;
    return content === other || (content !== null && other !== null && Buffer.compare(content, other) === 0);
  });
}

/** Whether a file has only the beginning of what it had, or nothing. */
function isBeginning(content: Uint8Array | null, before: Uint8Array | null): boolean {
  if (content === null || before === null || content.length >= before.length) return false;
  return Buffer.compare(content, before.subarray(0, content.length)) === 0;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

const realFiles: WatchedFiles = {
  read: (path) => new FilesRead().bytes(path),

  async signature(path) {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
      return [dev, ino, size, mtimeNs, ctimeNs].join(":");
    } catch {
      return null;
    }
  },

  async folders(path) {
    const real = await realpath(path).catch(() => path);
    const folders = new Set([dirname(resolve(path)), dirname(resolve(real))]);
    const states = await Promise.all([...folders].map(folderState));
    return states.filter((state) => state !== null);
  },

  watch(folder, onEvent) {
    const watcher: FSWatcher = watch(folder, { persistent: false }, onEvent);
    watcher.on("error", onEvent);
    return watcher;
  },
};

async function folderState(path: string): Promise<FolderState | null> {
  try {
    const { dev, ino } = await stat(path);
    return { path, identity: `${dev}:${ino}` };
  } catch {
    return null;
  }
}
