/**
 * Detects when the content of a configuration's files differs from the loaded content. Two triggers start a look:
 * events of the files' folders and of their real paths' folders (Kubernetes swaps a symlink there), and a check of
 * size, times and inode every two seconds. The check is needed because some file systems send no events, and none sends
 * an event for a link higher up in the path. After a trigger, only the content counts:
 *
 *     idle --event--> look --(1 s)--> unchanged since then? no: look again --(1 s)--> …
 *                                     yes: idle; report if it differs from the loaded content
 *
 * A file that is empty or a prefix of its old content may be incomplete: it must stay unchanged five times as long,
 * even if a look is requested.
 *
 * If a file is missing, the watch checks for it every second. So it also finds files in recreated folders.
 */

import { type FSWatcher, watch } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Clock, Timer } from "../clock.ts";
import { type FileContents, FilesRead } from "./files-read.ts";

const defaultSettleMs = 1_000;
const POLL_MS = 2_000;
/** A file that has become shorter must stay unchanged for this many times the normal time. */
const SHORTER_FACTOR = 5;
/** Timers may fire slightly early. */
const TIMER_SLACK_MS = 10;

/** The state of a folder; a new folder at the old path has another identity. */
export interface FolderState {
  readonly path: string;
  readonly identity: string;
}

/** The file system operations that the watcher needs. */
export interface WatchedFiles {
  /** Follows symlinks. Rejects if there is no readable file. */
  read(path: string): Promise<Uint8Array>;
  /** Differs when the file may have changed. `null` if there is no file. */
  signature(path: string): Promise<string | null>;
  /** The existing ones of the file's folder and the folder of its real path. */
  folders(path: string): Promise<readonly FolderState[]>;
  /** Calls `onEvent` after each possible change in the folder. Throws if the folder cannot be watched. */
  watch(folder: string, onEvent: () => void): { close(): void };
}

export interface WatchOptions {
  /** Absolute path. `null` if the configuration does not come from a file. */
  readonly path: string | null;
  /** Contents of the configuration's files when they were loaded. */
  readonly loaded: FileContents;
  readonly clock: Clock;
  /** Time that a file must stay unchanged (ms). Default: one second. */
  readonly settleMs?: number;
  /**
   * The content of a file differs from the last loaded or reported content and has stayed unchanged. The result is
   * awaited.
   */
  readonly onChange: () => unknown;
  /** A file cannot be read. Called once until the file is readable again. */
  readonly onError: (error: Error) => void;
  /**
   * A folder cannot be watched. Called once until it can be watched again. Meanwhile the two-second check covers its
   * files.
   */
  readonly onUnwatched: (folder: string, error: Error) => void;
  readonly files?: WatchedFiles;
}

export interface ConfigWatcher {
  /**
   * Looks immediately (SIGHUP), without waiting for files to stay unchanged, except for a file that has become shorter.
   * Resolves after `onChange`, if it is called.
   */
  check(): Promise<void>;
  /** Sets the configuration's files and their loaded contents. */
  loaded(contents: FileContents): void;
  close(): void;
}

export function watchConfigFiles(options: WatchOptions): ConfigWatcher {
  return new FileWatcher(options);
}

class FileWatcher implements ConfigWatcher {
  readonly #options: WatchOptions;
  readonly #files: WatchedFiles;
  readonly #watched = new Map<string, { close(): void }>();
  /** Looks run one after another, so that their reports stay in order. */
  #looks: Promise<void> = Promise.resolve();
  #looksPending = 0;
  #timer: Timer | null = null;
  #pollTimer: Timer | null = null;
  /** Signatures at the last poll. */
  #signatures = new Map<string, string | null>();
  /** Contents at the last look, and the time since which looks have seen them. */
  #seen: FileContents | null = null;
  #seenSinceMs = 0;
  /** True if an event arrived since the last look began. */
  #hasEvent = false;
  #known: FileContents;
  #reportedError: string | null = null;
  readonly #unwatched = new Set<string>();
  /** Resolved when no file is settling any more. */
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
    // Start to watch the folders of new files.
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
    // A missing configuration is not a change: wait until it is back.
    if (error === null && !isEqual(contents, this.#known)) {
      this.#known = contents;
      await this.#options.onChange();
    }
    this.#settled?.resolve();
    this.#settled = null;
  }

  /** Watches the current folders of the files. */
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

  /** Starts a look if a file may have changed. */
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

/** True if all files of `contents` are equal in `others`. */
function isEqual(contents: FileContents, others: FileContents): boolean {
  return [...contents].every(([path, content]) => {
    const other = others.get(path) ?? null;
    return content === other || (content !== null && other !== null && Buffer.compare(content, other) === 0);
  });
}

/** True if the content is empty or a prefix of the old content. */
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
