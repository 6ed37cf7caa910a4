import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { FileContents } from "../../src/config/files-read.ts";
import { type ConfigWatcher, type FolderState, type WatchedFiles, watchConfigFiles } from "../../src/config/watch.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";

/** Lets everything that is ready run: reads of these tests' files are promises that are. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** One file in memory with others beside it, and the folders that lead to them. */
class ScriptedFiles implements WatchedFiles {
  content: string | null = "one";
  mtimeMs = 1;
  folderStates: FolderState[] = [{ path: "/etc", identity: "1" }];
  readonly others = new Map<string, string>();
  readonly watched = new Map<string, () => void>();

  async read(path = FILE) {
    const content = path === FILE ? this.content : (this.others.get(path) ?? null);
    if (content === null) throw new Error("gone");
    return Buffer.from(content);
  }

  async signature(path: string) {
    return path === FILE ? `${this.content} ${this.mtimeMs}` : (this.others.get(path) ?? null);
  }

  async folders() {
    return this.folderStates;
  }

  watch(folder: string, onEvent: () => void) {
    this.watched.set(folder, onEvent);
    return { close: () => this.watched.delete(folder) };
  }

  /** Puts other content in place, as an editor would. */
  async write(content: string | null): Promise<void> {
    this.content = content;
    this.mtimeMs += 1;
    await this.event();
  }

  async event(): Promise<void> {
    for (const onEvent of this.watched.values()) onEvent();
    await turn();
  }
}

const FILE = "/etc/p.toml";

function contentsOf(files: Record<string, string | null>): FileContents {
  return new Map(Object.entries(files).map(([path, text]) => [path, text === null ? null : Buffer.from(text)]));
}

interface Scene {
  readonly files: ScriptedFiles;
  readonly watcher: ConfigWatcher;
  readonly changes: (string | null)[];
  readonly errors: string[];
  readonly unwatched: string[];
  pass(ms: number): Promise<void>;
}

async function scene(content: string | null = "one", others: Record<string, string> = {}): Promise<Scene> {
  const files = new ScriptedFiles();
  files.content = content;
  for (const [path, text] of Object.entries(others)) files.others.set(path, text);
  const clock = new ManualClock();
  const changes: (string | null)[] = [];
  const errors: string[] = [];
  const unwatched: string[] = [];
  const watcher = watchConfigFiles({
    path: FILE,
    loaded: contentsOf({ [FILE]: content, ...others }),
    clock,
    onChange: () => changes.push(files.content),
    onError: (error) => errors.push(error.message),
    onUnwatched: (folder, error) => unwatched.push(`${folder}: ${error.message}`),
    files,
  });
  await turn();
  const pass = async (ms: number) => {
    clock.advance(ms);
    await turn();
  };
  return { files, watcher, changes, errors, unwatched, pass };
}

describe("watching a configuration file", () => {
  it("reports a change after one second without further changes", async () => {
    const { files, changes, pass } = await scene();
    await files.write("two");
    await pass(999);
    expect(changes).toEqual([]);
    await pass(1);
    expect(changes).toEqual(["two"]);
    await pass(10_000);
    expect(changes).toEqual(["two"]);
  });

  it("waits while the file is being written", async () => {
    const { files, changes, pass } = await scene();
    await files.write("t");
    await pass(900);
    await files.write("tw");
    await pass(900);
    await files.write("two");
    await pass(900);
    expect(changes).toEqual([]);
    await pass(900);
    await pass(1_000);
    expect(changes).toEqual(["two"]);
  });

  it("reports nothing for events without a change, or for a change that was reverted", async () => {
    const { files, changes, pass } = await scene();
    await files.event();
    await pass(5_000);
    await files.write("two");
    await pass(500);
    await files.write("one");
    await pass(5_000);
    expect(changes).toEqual([]);
  });

  it("reports at once when asked to check, and reports each content only once", async () => {
    const { files, watcher, changes, pass } = await scene();
    await watcher.check();
    expect(changes).toEqual([]);
    await files.write("two");
    await Promise.all([watcher.check(), watcher.check()]);
    expect(changes).toEqual(["two"]);
    await pass(5_000);
    expect(changes).toEqual(["two"]);
  });

  it("detects a file that is deleted and created again", async () => {
    const { files, changes, errors, pass } = await scene();
    await files.write(null);
    await pass(3_000);
    await pass(3_000);
    expect(errors).toEqual(["gone"]);
    files.content = "two";
    await pass(1_000);
    await pass(1_000);
    expect(changes).toEqual(["two"]);
    await files.write(null);
    expect(errors).toEqual(["gone", "gone"]);
  });

  it("reports the first content of a file that was missing", async () => {
    const { files, changes, pass } = await scene(null);
    files.content = "one";
    await pass(1_000);
    await pass(1_000);
    expect(changes).toEqual(["one"]);
  });

  it("follows the real path to another folder", async () => {
    const { files, changes, pass } = await scene();
    files.folderStates = [
      { path: "/etc", identity: "1" },
      { path: "/data/b", identity: "3" },
    ];
    await files.write("two");
    await pass(1_000);
    expect([...files.watched.keys()]).toEqual(["/etc", "/data/b"]);
    files.folderStates = [{ path: "/etc", identity: "9" }];
    files.watched.get("/data/b")?.();
    await turn();
    expect([...files.watched.keys()]).toEqual(["/etc"]);
    expect(changes).toEqual(["two"]);
  });

  it("reports once that folders cannot be watched, and still checks when asked", async () => {
    const { files, watcher, changes, unwatched } = await scene();
    files.watch = () => {
      throw new Error("no watches left");
    };
    files.folderStates = [{ path: "/elsewhere", identity: "1" }];
    await files.write("two");
    await watcher.check();
    await watcher.check();
    expect(unwatched).toEqual(["/elsewhere: no watches left"]);
    expect(changes).toEqual(["two"]);
  });

  it("detects a change without an event", async () => {
    const { files, changes, pass } = await scene();
    files.watched.clear();
    await files.write("two");
    for (let i = 0; i < 4; i++) await pass(1_000);
    expect(changes).toEqual(["two"]);
  });

  it("compares changes with the loaded content, not with the first content it read", async () => {
    const { files, watcher, changes } = await scene();
    await files.write("two");
    watcher.loaded(contentsOf({ [FILE]: "two" }));
    await watcher.check();
    expect(changes).toEqual([]);
    watcher.loaded(contentsOf({ [FILE]: "one" }));
    await watcher.check();
    expect(changes).toEqual(["two"]);
  });

  it("detects a change of any loaded file, from the first change on", async () => {
    const { files, watcher, changes, pass } = await scene("one", { "/tls/cert.pem": "a" });
    for (const text of ["b", "c"]) {
      files.others.set("/tls/cert.pem", text);
      await files.event();
      for (let i = 0; i < 3; i++) await pass(1_000);
    }
    expect(changes).toHaveLength(2);
    files.others.set("/run/secret", "x");
    watcher.loaded(contentsOf({ [FILE]: "one", "/tls/cert.pem": "c", "/run/secret": "x" }));
    files.others.set("/run/secret", "y");
    await watcher.check();
    expect(changes).toHaveLength(3);
  });

  it("detects that a file beside the configuration is removed and created again", async () => {
    const { files, watcher, changes } = await scene("one", { "/run/secret": "x" });
    files.others.delete("/run/secret");
    await watcher.check();
    watcher.loaded(contentsOf({ [FILE]: "one", "/run/secret": null }));
    await watcher.check();
    expect(changes).toHaveLength(1);
    files.others.set("/run/secret", "x");
    await watcher.check();
    expect(changes).toHaveLength(2);
  });

  it.each([
    ["is empty", "", "a whole file of text"],
    ["is the beginning of what it was", "a whole", "a whole file of text"],
  ])("waits longer if a file %s, even if asked to check", async (_what, shorter, whole) => {
    const { files, watcher, changes, pass } = await scene(whole);
    await files.write(shorter);
    const checked = watcher.check();
    for (let i = 0; i < 4; i++) await pass(1_000);
    expect(changes).toEqual([]);
    await files.write(whole);
    for (let i = 0; i < 2; i++) await pass(1_000);
    await checked;
    expect(changes).toEqual([]);
    await files.write(shorter);
    for (let i = 0; i < 8; i++) await pass(1_000);
    expect(changes).toEqual([shorter]);
  });

  it("does not wait for a file that is shorter and different", async () => {
    const { files, watcher, changes } = await scene("a whole file of text");
    await files.write("b whole");
    await watcher.check();
    expect(changes).toEqual(["b whole"]);
  });

  it("watches a folder once, however often it checks", async () => {
    const { files, watcher } = await scene();
    const { watch } = files;
    let opened = 0;
    files.watch = (folder, onEvent) => {
      opened += 1;
      return watch.call(files, folder, onEvent);
    };
    await files.event();
    await watcher.check();
    expect(opened).toBe(0);
  });

  it("checks again if a file changes while it is being read", async () => {
    const { files, watcher, changes, pass } = await scene();
    const { read } = files;
    files.read = async () => {
      files.read = read;
      const state = await read.call(files);
      void files.write("two");
      return state;
    };
    await watcher.check();
    expect(changes).toEqual([]);
    await pass(1_000);
    await pass(1_000);
    expect(changes).toEqual(["two"]);
  });

  it("reports nothing after it is closed", async () => {
    const { files, watcher, changes, pass } = await scene();
    await files.write("two");
    watcher.close();
    await pass(5_000);
    await watcher.check();
    expect(changes).toEqual([]);
    expect(files.watched.size).toBe(0);
  });
});

describe("watching a real file", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  /** Watches `path` until a change is reported, the clock running as fast as it can. */
  async function changeAfter(path: string, act: () => Promise<void>): Promise<void> {
    const clock = new ManualClock();
    let changes = 0;
    const onChange = () => {
      changes += 1;
    };
    const loaded = new Map([[path, await readFile(path)]]);
    const watcher = watchConfigFiles({ path, loaded, clock, onChange, onError: () => {}, onUnwatched: () => {} });
    cleanups.push(() => watcher.close());
    await watcher.check();
    await act();
    while (changes === 0) {
      clock.advance(1_000);
      await turn();
    }
  }

  async function folder(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), "platypus-watch-"));
    cleanups.push(() => rm(path, { recursive: true }));
    return path;
  }

  it("detects a write in place", async () => {
    const path = join(await folder(), "p.toml");
    await writeFile(path, "one");
    await changeAfter(path, () => writeFile(path, "two"));
  });

  it("detects another file renamed over it", async () => {
    const path = join(await folder(), "p.toml");
    await writeFile(path, "one");
    await changeAfter(path, async () => {
      await writeFile(`${path}.new`, "two");
      await rename(`${path}.new`, path);
    });
  });

  it("detects a swapped symlink to its folder, as Kubernetes does", async () => {
    const root = await folder();
    for (const version of ["one", "two"]) {
      await mkdir(join(root, version));
      await writeFile(join(root, version, "p.toml"), version);
    }
    await symlink("one", join(root, "..data"));
    await symlink("..data/p.toml", join(root, "p.toml"));
    await changeAfter(join(root, "p.toml"), async () => {
      await symlink("two", join(root, "..data_tmp"));
      await rename(join(root, "..data_tmp"), join(root, "..data"));
      await rm(join(root, "one"), { recursive: true });
    });
  });

  it("detects a switched link on its path, with the old folder left in place", async () => {
    const root = await folder();
    for (const version of ["one", "two"]) {
      await mkdir(join(root, version, "sub"), { recursive: true });
      await writeFile(join(root, version, "sub", "p.toml"), version);
    }
    await symlink("one", join(root, "current"));
    await changeAfter(join(root, "current", "sub", "p.toml"), async () => {
      await symlink("two", join(root, "next"));
      await rename(join(root, "next"), join(root, "current"));
    });
  });

  it("detects that its folder is removed and created again", async () => {
    const root = join(await folder(), "sub");
    await mkdir(root);
    const path = join(root, "p.toml");
    await writeFile(path, "one");
    await changeAfter(path, async () => {
      await rm(root, { recursive: true });
      await mkdir(root);
      await writeFile(path, "two");
    });
  });
});
