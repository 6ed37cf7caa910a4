/**
 * Tells which keys' files have changed. The folders of files that were read are watched, and the real folders behind links
 * as well.
 *
 * A watch follows the folder, not its path: it says nothing when a parent folder is renamed or when a link on the path comes
 * to point elsewhere. So every path is looked at again now and then, and watched anew when another folder is there:
 *
 *     watched ──another folder, or none, at the path──► its keys are told ──► watched anew, or lost
 *     lost ──a folder is there again──► its keys are told, watched      lost ──for too long──► forgotten
 *
 * Past the bounds a file is not watched, and its keys wait for their ttl.
 */
import { statSync, watch } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import type { Clock, Timer } from "../clock.ts";

const MAX_FOLDERS = 1_000;
/** Maximum number of files of all keys together. */
const MAX_FILES = 100_000;
/** An editor or a deployment changes a file in several steps. */
const SETTLE_MS = 50;
/** Time between two looks at the paths of all folders. */
const LOOK_MS = 2_000;
/** Time after which a folder that does not come back is forgotten. */
const LOST_MS = 600_000;

/** What watching needs of a file system. */
export interface WatchedFolders {
  /** Two folders with one identity are the same folder. `null` if there is no such folder. */
  identity(folder: string): Promise<string | null>;
  identitySync(folder: string): string | null;
  /** Calls `onEvent` with the name of what may have changed in the folder. Throws if the folder cannot be watched. */
  watch(folder: string, onEvent: (name: string | null) => void): { close(): void };
}

interface Folder {
  readonly path: string;
  /** Keys by the name of the file in this folder that they were read from. */
  readonly keys: Map<string, Set<string>>;
  /** `null` while no folder is watched at the path. */
  watched: { readonly identity: string; close(): void } | null;
  /** Time at which it was lost; counts only while `watched` is `null`. */
  lostMs: number;
}

export class FileWatch {
  private readonly onChanged: (key: string) => void;
  private readonly clock: Clock;
  private readonly files: WatchedFolders;
  private readonly folders = new Map<string, Folder>();
  /** Files by the key that was read from them. */
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

  /** Folders that are watched or waited for. */
  get folderCount(): number {
    return this.folders.size;
  }

  /** `key` is read from these files and no others; a change of them is told from now on. */
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

  /** The folder at a path, which is watched now. `null` if it cannot be watched. */
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

  /** Takes an event. A folder tells of its own end under its own name, which one of its files may have as well. */
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

  /** Follows the path to where it leads now. */
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

  /** Forgets what a key was read from, and folders that no key was read from any more. */
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

  /** Makes room by the folder that has been lost for longest. */
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

/** The time of birth tells a folder from an older one whose inode number it got. */
function identityOf({ dev, ino, birthtimeNs }: { dev: bigint; ino: bigint; birthtimeNs: bigint }): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}
