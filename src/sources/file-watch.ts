/**
 * Reports the keys whose files have changed. It watches the folders of the files that were read, and the real folders
 * behind links.
 *
 * A watch follows the folder, not its path: it reports neither a renamed parent folder nor a changed link on the path.
 * So each path is checked regularly, and watched again if it leads to another folder:
 *
 *     watched ──another folder or none at the path──► its keys are reported ──► watched again, or lost
 *     lost ──the folder exists again──► its keys are reported, watched      lost ──for too long──► forgotten
 *
 * Over the limits, a file is not watched, and its keys wait for their ttl.
 */
import { statSync, watch } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import type { Clock, Timer } from "../clock.ts";

const MAX_FOLDERS = 1_000;
/** Maximum number of files of all keys. */
const MAX_FILES = 100_000;
/** An editor or a deployment changes a file in several steps. */
const SETTLE_MS = 50;
/** Time between two checks of the paths of all folders. */
const LOOK_MS = 2_000;
/** Time after which a missing folder is forgotten. */
const LOST_MS = 600_000;

/** The file system operations that the watcher needs. */
export interface WatchedFolders {
  /** Folders with equal identities are one folder. `null` if the folder does not exist. */
  identity(folder: string): Promise<string | null>;
  identitySync(folder: string): string | null;
  /** Calls `onEvent` with the name of the entry that may have changed. Throws if the folder cannot be watched. */
  watch(folder: string, onEvent: (name: string | null) => void): { close(): void };
}

interface Folder {
  readonly path: string;
  /** Keys by the name of their file in this folder. */
  readonly keys: Map<string, Set<string>>;
  /** `null` while no folder is watched at the path. */
  watched: { readonly identity: string; close(): void } | null;
  /** Time when the folder was lost. Only valid while `watched` is `null`. */
  lostMs: number;
}

export class FileWatch {
  private readonly onChanged: (key: string) => void;
  private readonly clock: Clock;
  private readonly files: WatchedFolders;
  private readonly folders = new Map<string, Folder>();
  /** Files by key. */
  private readonly filesOf = new Map<string, readonly string[]>();
  private fileCount = 0;
  private readonly changed = new Set<string>();
  private settleTimer: Timer | null = null;
  private lookTimer: Timer | null = null;
  private isClosed = false;

  constructor(onChanged: (key: string) => void, clock: Clock, files: WatchedFolders = realFolders) {
    this.onChanged = onChanged;
    this.clock = clock;
    this.files = files;
  }

  /** Number of folders that are watched or waited for. */
  get folderCount(): number {
    return this.folders.size;
  }

  /** Sets the files of `key`. Later changes of these files are reported. */
  note(key: string, files: readonly string[]): void {
    if (this.isClosed) return;
    const known = this.filesOf.get(key) ?? [];
    const isKnown = known.length === files.length && known.every((file, i) => file === files[i]);
    if (isKnown && known.every((file) => this.folders.get(path.dirname(file))?.watched != null)) return;
    this.forget(key);
    if (this.fileCount + files.length > MAX_FILES) return;
    const watched = files.filter((file) => this.add(file, key));
    if (watched.length === 0) return;
    this.filesOf.set(key, watched);
    this.fileCount += watched.length;
    this.lookTimer ??= this.clock.setTimer(LOOK_MS, () => void this.lookAtAll());
  }

  close(): void {
    this.isClosed = true;
    for (const { watched } of this.folders.values()) watched?.close();
    this.folders.clear();
    this.filesOf.clear();
    for (const timer of [this.settleTimer, this.lookTimer]) if (timer !== null) this.clock.clearTimer(timer);
    this.settleTimer = null;
    this.lookTimer = null;
  }

  /** Returns false if the file's folder cannot be watched. */
  private add(file: string, key: string): boolean {
    const folder = this.folderAt(path.dirname(file));
    if (folder === null) return false;
    const name = path.basename(file);
    const keys = folder.keys.get(name);
    if (keys === undefined) folder.keys.set(name, new Set([key]));
    else keys.add(key);
    return true;
  }

  /** The folder at a path, watched from now on. `null` if it cannot be watched. */
  private folderAt(folderPath: string): Folder | null {
    const known = this.folders.get(folderPath);
    const folder: Folder = known ?? { path: folderPath, keys: new Map(), watched: null, lostMs: 0 };
    if (folder.watched === null && !this.open(folder, this.files.identitySync(folderPath))) return known ?? null;
    if (known === undefined) {
      if (this.folders.size >= MAX_FOLDERS) this.forgetLost();
      if (this.folders.size >= MAX_FOLDERS) {
        folder.watched?.close();
        return null;
      }
      this.folders.set(folderPath, folder);
    }
    return folder;
  }

  /** Returns false if the folder cannot be watched. */
  private open(folder: Folder, identity: string | null): boolean {
    if (identity === null) return false;
    try {
      const watcher = this.files.watch(folder.path, (name) => this.take(folder, name));
      folder.watched = { identity, close: () => watcher.close() };
      return true;
    } catch {
      return false;
    }
  }

  /** Handles an event. A folder reports its own end under its own name, which a file in it may have too. */
  private take(folder: Folder, name: string | null): void {
    if (name !== null) this.tell(folder.keys.get(name) ?? []);
    if (name === null || name === path.basename(folder.path)) void this.lookAt(folder);
  }

  private async lookAtAll(): Promise<void> {
    for (const folder of [...this.folders.values()]) await this.lookAt(folder);
    this.lookTimer = null;
    if (this.isClosed || this.folders.size === 0) return;
    this.lookTimer = this.clock.setTimer(LOOK_MS, () => void this.lookAtAll());
  }

  /** Watches the folder that the path leads to now. */
  private async lookAt(folder: Folder): Promise<void> {
    const identity = await this.files.identity(folder.path);
    if (this.isClosed || this.folders.get(folder.path) !== folder) return;
    if (folder.watched !== null) {
      if (identity === folder.watched.identity) return;
      folder.watched.close();
      folder.watched = null;
      folder.lostMs = this.clock.nowMs();
      this.open(folder, identity);
    } else if (!this.open(folder, identity)) {
      if (this.clock.nowMs() - folder.lostMs >= LOST_MS) this.forgetFolder(folder);
      return;
    }
    for (const keys of folder.keys.values()) this.tell(keys);
  }

  private tell(keys: Iterable<string>): void {
    for (const key of keys) this.changed.add(key);
    if (this.changed.size === 0) return;
    this.settleTimer ??= this.clock.setTimer(SETTLE_MS, () => {
      this.settleTimer = null;
      const told = [...this.changed];
      this.changed.clear();
      for (const key of told) this.onChanged(key);
    });
  }

  /** Forgets the files of a key, and folders without keys. */
  private forget(key: string): void {
    const files = this.filesOf.get(key) ?? [];
    this.filesOf.delete(key);
    this.fileCount -= files.length;
    for (const file of files) {
      const folder = this.folders.get(path.dirname(file));
      const name = path.basename(file);
      const keys = folder?.keys.get(name);
      keys?.delete(key);
      if (keys?.size === 0) folder!.keys.delete(name);
      if (folder?.keys.size === 0) this.drop(folder);
    }
  }

  /** Removes the folder that has been lost for the longest time. */
  private forgetLost(): void {
    const lost = [...this.folders.values()].filter(({ watched }) => watched === null);
    const [oldest] = lost.sort((a, b) => a.lostMs - b.lostMs);
    if (oldest !== undefined) this.forgetFolder(oldest);
  }

  private forgetFolder(folder: Folder): void {
    for (const keys of folder.keys.values()) {
      for (const key of keys) {
        const others = this.filesOf.get(key)!.filter((file) => path.dirname(file) !== folder.path);
        this.fileCount -= this.filesOf.get(key)!.length - others.length;
        if (others.length === 0) this.filesOf.delete(key);
        else this.filesOf.set(key, others);
      }
    }
    this.drop(folder);
  }

  private drop(folder: Folder): void {
    folder.watched?.close();
    this.folders.delete(folder.path);
  }
}

const realFolders: WatchedFolders = {
  identity: (folder) => stat(folder, { bigint: true }).then(identityOf, () => null),
  identitySync: (folder) => {
    try {
      return identityOf(statSync(folder, { bigint: true }));
    } catch {
      return null;
    }
  },
  watch(folder, onEvent) {
    const watcher = watch(folder, { persistent: false }, (_event, name) => onEvent(name));
    watcher.on("error", () => onEvent(null));
    return watcher;
  },
};

/** The birth time distinguishes a folder from an older one with a reused inode number. */
function identityOf({ dev, ino, birthtimeNs }: { dev: bigint; ino: bigint; birthtimeNs: bigint }): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}
