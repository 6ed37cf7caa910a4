/**
 * Tells which keys' files have changed. The folders of files that were read are watched, the real ones behind links as
 * well; past the bounds a file is simply not watched, and its keys wait for their ttl.
 */
import { type FSWatcher, watch } from "node:fs";
import path from "node:path";
import type { Clock, Timer } from "../clock.ts";

const MAX_FOLDERS = 1_000;
const MAX_KEYS = 100_000;
/** An editor or a deployment changes a file in several steps. */
const SETTLE_MS = 50;

export class FileWatch {
  private readonly onChanged: (key: string) => void;
  private readonly clock: Clock;
  private readonly folders = new Map<string, FSWatcher>();
  /** Keys by the path of the file that they were read from. */
  private readonly keys = new Map<string, Set<string>>();
  /** Keys in all of these sets. */
  private count = 0;
  private readonly changed = new Set<string>();
  private timer: Timer | null = null;
  private isClosed = false;

  constructor(onChanged: (key: string) => void, clock: Clock) {
    this.onChanged = onChanged;
    this.clock = clock;
  }

  /** `key` is read from `file`; a change of it is told from now on. */
  note(file: string, key: string): void {
    const known = this.keys.get(file);
    if (known?.has(key) || this.count >= MAX_KEYS || this.isClosed) return;
    if (known === undefined && !this.watch(path.dirname(file))) return;
    this.count++;
    if (known === undefined) this.keys.set(file, new Set([key]));
    else known.add(key);
  }

  close(): void {
    this.isClosed = true;
    for (const watcher of this.folders.values()) watcher.close();
    this.folders.clear();
    this.keys.clear();
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }

  /** False: it cannot be watched. */
  private watch(folder: string): boolean {
    if (this.folders.has(folder)) return true;
    if (this.folders.size >= MAX_FOLDERS) return false;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => this.take(folder, name));
      watcher.on("error", () => this.leave(folder));
      this.folders.set(folder, watcher);
      return true;
    } catch {
      return false;
    }
  }

  private take(folder: string, name: string | null): void {
    if (name === null) return;
    for (const key of this.keys.get(path.join(folder, name)) ?? []) this.changed.add(key);
    if (this.changed.size > 0) this.timer ??= this.clock.setTimer(SETTLE_MS, () => this.tell());
  }

  private tell(): void {
    this.timer = null;
    const keys = [...this.changed];
    this.changed.clear();
    for (const key of keys) this.onChanged(key);
  }

  /** The folder is gone: a file read again later finds it again. */
  private leave(folder: string): void {
    this.folders.get(folder)?.close();
    this.folders.delete(folder);
    for (const [file, keys] of [...this.keys]) {
      if (path.dirname(file) !== folder) continue;
      this.count -= keys.size;
      this.keys.delete(file);
    }
  }
}
