/**
 * Tells when a configuration file has become another one. Events of its folder, and of its real path's (Kubernetes
 * swaps a symlink in there), only say "look"; what counts is the file's size, mtime and digest:
 *
 *     idle --event--> look --(1 s)--> same as before? no: look again --(1 s)--> …
 *                                     yes: idle; report if the digest is a new one
 *
 * A file that is gone is looked for every second until it is back, which also finds folders that were put in anew.
 */

import { type FSWatcher, watch } from "node:fs";
import { readFile, realpath, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Clock, Timer } from "../clock.ts";
import { configDigest } from "./load.ts";

const defaultSettleMs = 1_000;

/** A file at one moment. */
interface FileState {
  readonly size: number;
  readonly mtimeMs: number;
  readonly content: Uint8Array;
}

/** A folder at one moment: another one of the same path has another identity. */
export interface FolderState {
  readonly path: string;
  readonly identity: string;
}

/** What watching needs of a file system. */
export interface WatchedFiles {
  /** Follows symlinks. Rejects if there is no readable file. */
  read(path: string): Promise<FileState>;
  /** The file's folder, and its real path's folder where that is another one; those that exist. */
  folders(path: string): Promise<readonly FolderState[]>;
  /** Calls `onEvent` after anything in the folder may have changed. Throws if it cannot be watched. */
  watch(folder: string, onEvent: () => void): { close(): void };
}

export interface WatchOptions {
  readonly path: string;
  /** Files that the configuration is made of besides: certificates. */
  readonly others?: () => readonly string[];
  readonly clock: Clock;
  /** How long a file must hold still; a second where nothing is said. */
  readonly settleMs?: number;
  /** The file's content is another one, and has held still. Never called twice in a row for one content. */
  readonly onChange: () => void;
  /** The file cannot be read; once until it can be again. */
  readonly onError: (error: Error) => void;
  readonly files?: WatchedFiles;
}

export interface ConfigWatcher {
  /** Looks now, without waiting for the file to hold still (SIGHUP). Resolves after `onChange`, if it was called. */
  check(): Promise<void>;
  close(): void;
}

/** Watches until closed. The content at the time of the call is the known one, so call it before the first load. */
export function watchConfigFile(options: WatchOptions): ConfigWatcher {
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
  /** What the last look saw of a file that is settling. */
  #settling: string | null = null;
  /** An event came in since the last look began. */
  #hasEvent = false;
  /** Digest by path of the content that is loaded; null before the first look. */
  #known: Map<string, string> | null = null;
  #reportedError: string | null = null;
  #isClosed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#files = options.files ?? realFiles;
    void this.#enqueueLook(true);
  }

  check(): Promise<void> {
    return this.#enqueueLook(true);
  }

  close(): void {
    this.#isClosed = true;
    this.#disarm();
    for (const watched of this.#watched.values()) watched.close();
    this.#watched.clear();
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
    const errors: Error[] = [];
    await this.#watchFolders(errors);
    const state = await this.#files.read(this.#options.path).catch((error: Error) => {
      errors.push(error);
      return null;
    });
    const others = await this.#readOthers();
    if (this.#isClosed) return;
    this.#report(errors);
    const digests = state === null ? null : new Map([[this.#options.path, digestOf(state)], ...others]);
    const seen = state === null ? null : JSON.stringify([state.size, state.mtimeMs, ...digests!]);
    const hasSettled = isImmediate || (seen === this.#settling && !this.#hasEvent);
    this.#settling = seen;
    if (!hasSettled || this.#hasEvent || seen === null) this.#arm();
    if (!hasSettled || (digests === null && this.#known !== null)) return;
    const before = this.#known;
    this.#known = digests ?? new Map([[this.#options.path, ""]]);
    // A file that has just been named is not a change; what names it was one.
    const hasChanged = [...this.#known].some(([path, digest]) => (before?.get(path) ?? digest) !== digest);
    if (hasChanged) this.#options.onChange();
  }

  /** Digests of the other files; one that cannot be read counts as empty, and whoever loads it complains. */
  #readOthers(): Promise<[path: string, digest: string][]> {
    return Promise.all(
      this.#others().map(async (path) => [path, digestOf(await this.#files.read(path).catch(() => null))]),
    );
  }

  #others(): readonly string[] {
    return this.#options.others?.() ?? [];
  }

  /** Follows the folders to where they are now. */
  async #watchFolders(errors: Error[]): Promise<void> {
    const paths = [this.#options.path, ...this.#others()];
    const folders = (await Promise.all(paths.map((path) => this.#files.folders(path)))).flat();
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
      } catch (error) {
        errors.push(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  #report(errors: readonly Error[]): void {
    const messages = errors.map(({ message }) => message).join("; ");
    if (messages !== "" && messages !== this.#reportedError) this.#options.onError(errors[0]!);
    this.#reportedError = messages === "" ? null : messages;
  }

  #arm(): void {
    this.#timer = this.#options.clock.setTimer(this.#options.settleMs ?? defaultSettleMs, () => {
      this.#timer = null;
      void this.#enqueueLook(false);
    });
  }

  #disarm(): void {
    if (this.#timer !== null) this.#options.clock.clearTimer(this.#timer);
    this.#timer = null;
  }
}

function digestOf(state: FileState | null): string {
  return state === null ? "" : configDigest(state.content);
}

const realFiles: WatchedFiles = {
  async read(path) {
    const [{ size, mtimeMs }, content] = await Promise.all([stat(path), readFile(path)]);
    return { size, mtimeMs, content };
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
