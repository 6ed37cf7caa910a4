import { beforeEach, describe, expect, it } from "vitest";
import { FileWatch, type WatchedFolders } from "../../src/sources/file-watch.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { settled } from "../support/fakes/settled.ts";

/** Folders in memory. A watch follows its folder, as a kernel does, and not the path. */
class FakeFolders implements WatchedFolders {
  readonly identities = new Map<string, string>();
  readonly watches: { readonly identity: string; readonly onEvent: (name: string | null) => void }[] = [];
  isFull = false;

  identitySync(folder: string): string | null {
    return this.identities.get(folder) ?? null;
  }

  async identity(folder: string): Promise<string | null> {
    return this.identitySync(folder);
  }

  watch(folder: string, onEvent: (name: string | null) => void) {
    if (this.isFull) throw new Error("no space left for watches");
    const watch = { identity: this.identities.get(folder)!, onEvent };
    this.watches.push(watch);
    return { close: () => this.watches.splice(this.watches.indexOf(watch), 1) };
  }

  /** Something called `name` changed in the folder with this identity. */
  event(identity: string, name: string | null): void {
    for (const watch of this.watches) if (watch.identity === identity) watch.onEvent(name);
  }
}

let clock: ManualClock;
let folders: FakeFolders;
let told: string[];
let files: FileWatch;

beforeEach(() => {
  clock = new ManualClock();
  folders = new FakeFolders();
  told = [];
  files = new FileWatch((key) => told.push(key), clock, folders);
});

/** Keys that were told of in this time. */
async function pass(ms: number): Promise<string[]> {
  for (let left = ms; left > 0; left -= 50) {
    clock.advance(50);
    await settled();
  }
  return told.splice(0);
}

describe("FileWatch", () => {
  it("reports the keys of a changed file, once for several events", async () => {
    folders.identities.set("/a", "1");
    files.note("k", ["/a/x"]);
    files.note("l", ["/a/x"]);
    files.note("m", ["/a/y"]);
    folders.event("1", "x");
    folders.event("1", "x");
    expect(await pass(100)).toEqual(["k", "l"]);
  });

  it("follows a folder that is replaced while its files are idle", async () => {
    folders.identities.set("/a", "1");
    files.note("k", ["/a/x"]);
    folders.identities.set("/a", "2");
    expect(await pass(2_100)).toEqual(["k"]);
    folders.event("1", "x");
    expect(await pass(100)).toEqual([]);
    folders.event("2", "x");
    expect(await pass(100)).toEqual(["k"]);
    expect(folders.watches).toHaveLength(1);
  });

  it("detects at once that a folder reports its own removal", async () => {
    folders.identities.set("/a", "1");
    files.note("k", ["/a/x"]);
    folders.identities.set("/a", "2");
    folders.event("1", "a");
    await settled();
    expect(await pass(100)).toEqual(["k"]);
  });

  it("waits for a removed folder and reports its keys when the folder is back", async () => {
    folders.identities.set("/a", "1");
    files.note("k", ["/a/x"]);
    folders.identities.delete("/a");
    expect(await pass(2_100)).toEqual(["k"]);
    expect(await pass(60_000)).toEqual([]);
    folders.identities.set("/a", "2");
    expect(await pass(2_100)).toEqual(["k"]);
    folders.event("2", "x");
    expect(await pass(100)).toEqual(["k"]);
  });

  it("forgets a folder that does not come back", async () => {
    folders.identities.set("/a", "1");
    files.note("k", ["/a/x"]);
    folders.identities.delete("/a");
    await pass(610_000);
    expect([files.folderCount, clock.timerCount]).toEqual([0, 0]);
  });

  it("forgets a folder once no key is read from it", async () => {
    folders.identities.set("/link", "0");
    for (let version = 1; version <= 3_000; version++) {
      folders.identities.delete(`/v${version - 1}`);
      folders.identities.set(`/v${version}`, String(version));
      files.note("k", [`/v${version}/x`, "/link/x"]);
    }
    expect([files.folderCount, folders.watches.length]).toEqual([2, 2]);
    folders.event("3000", "x");
    expect(await pass(100)).toEqual(["k"]);
  });

  it("watches new folders even if the table is full of removed folders", async () => {
    for (let i = 0; i < 1_000; i++) {
      folders.identities.set(`/v${i}`, String(i));
      files.note(`k${i}`, [`/v${i}/x`]);
    }
    folders.identities.set("/new", "new");
    files.note("new", ["/new/x"]);
    folders.event("new", "x");
    expect(await pass(100)).toEqual([]);
    for (let i = 0; i < 1_000; i++) folders.identities.delete(`/v${i}`);
    await pass(2_100);
    files.note("new", ["/new/x"]);
    folders.event("new", "x");
    expect(await pass(100)).toContain("new");
    expect(files.folderCount).toBe(1_000);
  });

  it("watches a folder later if it could not be watched at first", async () => {
    folders.identities.set("/a", "1");
    folders.isFull = true;
    files.note("k", ["/a/x"]);
    expect(files.folderCount).toBe(0);
    folders.isFull = false;
    files.note("k", ["/a/x"]);
    folders.event("1", "x");
    expect(await pass(100)).toEqual(["k"]);
  });

  it("watches nothing after it is closed", async () => {
    folders.identities.set("/a", "1");
    files.note("k", ["/a/x"]);
    folders.event("1", "x");
    files.close();
    files.note("l", ["/a/x"]);
    expect(await pass(5_000)).toEqual([]);
    expect([folders.watches.length, clock.timerCount]).toEqual([0, 0]);
  });
});
