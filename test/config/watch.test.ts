import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type ConfigWatcher, type FolderState, type WatchedFiles, watchConfigFile } from "../../src/config/watch.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** Lets everything that is ready run: reads of these tests' files are promises that are. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** One file in memory, and the folders that lead to it. */
class ScriptedFiles implements WatchedFiles {
  content: string | null = "one";
  mtimeMs = 1;
  folderStates: FolderState[] = [{ path: "/etc", identity: "1" }];
  readonly watched = new Map<string, () => void>();

  async read() {
    if (this.content === null) throw new Error("gone");
    return { size: this.content.length, mtimeMs: this.mtimeMs, content: Buffer.from(this.content) };
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

interface Scene {
  readonly files: ScriptedFiles;
  readonly watcher: ConfigWatcher;
  readonly changes: (string | null)[];
  readonly errors: string[];
  pass(ms: number): Promise<void>;
}

async function scene(content: string | null = "one"): Promise<Scene> {
  const files = new ScriptedFiles();
  files.content = content;
  const clock = new ManualClock();
  const changes: (string | null)[] = [];
  const errors: string[] = [];
  const watcher = watchConfigFile({
    path: "/etc/p.toml",
    clock,
    onChange: () => changes.push(files.content),
    onError: (error) => errors.push(error.message),
    files,
  });
  await turn();
  const pass = async (ms: number) => {
    clock.advance(ms);
    await turn();
  };
  return { files, watcher, changes, errors, pass };
}

describe("watching a configuration file", () => {
  it("reports a change that has held still for one second", async () => {
    const { files, changes, pass } = await scene();
    await files.write("two");
    await pass(999);
    expect(changes).toEqual([]);
    await pass(1);
    expect(changes).toEqual(["two"]);
    await pass(10_000);
    expect(changes).toEqual(["two"]);
  });

  it("waits on while the file is being written", async () => {
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

  it("reports nothing for events without a change, or a change that was taken back", async () => {
    const { files, changes, pass } = await scene();
    await files.event();
    await pass(5_000);
    await files.write("two");
    await pass(500);
    await files.write("one");
    await pass(5_000);
    expect(changes).toEqual([]);
  });

  it("reports at once when asked to look, and one content only once", async () => {
    const { files, watcher, changes, pass } = await scene();
    await watcher.check();
    expect(changes).toEqual([]);
    await files.write("two");
    await Promise.all([watcher.check(), watcher.check()]);
    expect(changes).toEqual(["two"]);
    await pass(5_000);
    expect(changes).toEqual(["two"]);
  });

  it("sees a file that is deleted and made again", async () => {
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

  it("follows the real path's folder to another one", async () => {
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

  it("says so once if folders cannot be watched, and still looks when asked", async () => {
    const { files, watcher, changes, errors } = await scene();
    files.watch = () => {
      throw new Error("no watches left");
    };
    files.folderStates = [{ path: "/elsewhere", identity: "1" }];
    await files.write("two");
    await watcher.check();
    await watcher.check();
    expect(errors).toEqual(["no watches left"]);
    expect(changes).toEqual(["two"]);
  });

  it("watches a folder once, however often it looks", async () => {
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

  it("looks again at a file that changes while it is being read", async () => {
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

  it("reports nothing once closed", async () => {
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
    const watcher = watchConfigFile({ path, clock, onChange, onError: () => {} });
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

  it("sees it written in place", async () => {
    const path = join(await folder(), "p.toml");
    await writeFile(path, "one");
    await changeAfter(path, () => writeFile(path, "two"));
  });

  it("sees another file renamed over it", async () => {
    const path = join(await folder(), "p.toml");
    await writeFile(path, "one");
    await changeAfter(path, async () => {
      await writeFile(`${path}.new`, "two");
      await rename(`${path}.new`, path);
    });
  });

  it("sees a symlink to its folder swapped, as Kubernetes does", async () => {
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

  it("sees its folder removed and made again", async () => {
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
