/** A file system of 256 KiB, to be filled. It needs the right to mount. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const SIZE = 256 * 1024;

export class SmallDisk {
  readonly folder: string;

  constructor() {
    this.folder = mkdtempSync(path.join(tmpdir(), "platypus-small-disk-"));
    const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${SIZE}`, "tmpfs", this.folder]);
    if (status === 0) return;
    rmSync(this.folder, { recursive: true });
    throw new Error(`mount: ${stderr}`);
  }

  /** Why there can be none; `null` if there can be one. */
  static missing(): string | null {
    try {
      new SmallDisk().remove();
      return null;
    } catch (error) {
      return `no right to mount a small file system (${String(error).trim()})`;
    }
  }

  fill(): void {
    for (const bytes of [SIZE, 4096, 1]) {
      try {
        for (let i = 0; i < SIZE; i++)
          writeFileSync(path.join(this.folder, `filler-${bytes}`), "x".repeat(bytes), { flag: "a" });
      } catch {
        // Full for pieces of this size.
      }
    }
  }

  free(): void {
    for (const bytes of [SIZE, 4096, 1]) rmSync(path.join(this.folder, `filler-${bytes}`), { force: true });
  }

  remove(): void {
    spawnSync("umount", ["-l", this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
