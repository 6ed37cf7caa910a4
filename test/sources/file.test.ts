import { execFileSync } from "node:child_process";
import { appendFile, cp, mkdir, mkdtemp, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SourceError } from "../../src/errors.ts";
import { FileSource } from "../../src/sources/file.ts";
import { binaryContextOf, contextOf } from "../support/fakes/fetch-context.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";

let folder: string;
let root: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-file-"));
  root = path.join(folder, "root");
  await mkdir(path.join(root, "sub"), { recursive: true });
  await writeFile(path.join(folder, "secret"), "outside");
  await writeFile(path.join(root, "a.txt"), "inside");
  await writeFile(path.join(root, "sub", "b.txt"), "below");
});
afterEach(() => rm(folder, { recursive: true }));

function sourceOf(config: { root?: string; path?: string; maxBodyBytes?: number } = {}): FileSource {
  return new FileSource({
    type: "file",
    name: "files",
    ...looseLimits,
    root,
    path: "{1:path}",
    maxBodyBytes: 1_000,
    ...config,
  });
}

/** What a fetch of `part` ends with: the value's text, "not there" or the error's code. */
async function outcome(part: string, source = sourceOf()): Promise<string> {
  try {
    const result = await source.fetch(contextOf(part, [part]));
    return result.type === "value" ? result.value.toString() : "not there";
  } catch (error) {
    expect(error).toBeInstanceOf(SourceError);
    return (error as SourceError).code;
  }
}

describe("the file source", () => {
  it("reads a file below the folder as a value, including an empty file", async () => {
    await writeFile(path.join(root, "empty"), "");
    expect(await outcome("a.txt")).toBe("inside");
    expect(await outcome("sub/b.txt")).toBe("below");
    expect(await outcome("b", sourceOf({ path: "sub/{1}.txt" }))).toBe("below");
    expect(await outcome("empty")).toBe("");
  });

  it.each(["missing", "sub/missing", "missing/b.txt", "a.txt/b", "x".repeat(250)])("misses for %s", async (part) => {
    expect(await outcome(part)).toBe("not there");
  });

  it("misses if the name is longer than file names can be", async () => {
    expect(await outcome("x".repeat(250), sourceOf({ path: "{1}.json.gz" }))).toBe("not there");
  });

  it("misses while the folder does not exist", async () => {
    const source = sourceOf({ root: path.join(folder, "later") });
    expect(await outcome("a", source)).toBe("not there");
    await mkdir(path.join(folder, "later"));
    await writeFile(path.join(folder, "later", "a"), "now");
    expect(await outcome("a", source)).toBe("now");
  });

  it("accepts a file as large as max_body and refuses one byte more", async () => {
    await writeFile(path.join(root, "large"), "x".repeat(1_000));
    expect(await outcome("large")).toHaveLength(1_000);
    await appendFile(path.join(root, "large"), "x");
    expect(await outcome("large")).toBe("SOURCE_TOO_LARGE");
  });

  it.runIf(process.platform === "linux")("that does not tell its size is bounded as well", async () => {
    const source = sourceOf({ root: "/proc/self", path: "{1}", maxBodyBytes: 10 });
    expect(await outcome("status", source)).toBe("SOURCE_TOO_LARGE");
  });

  it("uses the bytes of the key as the name, which must be UTF-8", async () => {
    await writeFile(path.join(root, "ключ"), "named");
    await writeFile(path.join(root, "\ufffd"), "the name of all that is no UTF-8");
    expect(await outcome("ключ")).toBe("named");
    await expect(sourceOf().fetch(binaryContextOf("", ["\xff"]))).rejects.toMatchObject({ code: "SOURCE_REFUSED" });
  });
});

describe("the tag of a file", () => {
  const past = new Date("2020-01-01T00:00:00Z");

  /** A source to which all files are old, and one to which they are new. */
  function timed(): { source: FileSource; young: FileSource } {
    const config = { type: "file", name: "files", ...looseLimits, root, path: "{1}", maxBodyBytes: 1_000 } as const;
    const clock = new ManualClock();
    const young = new FileSource(config, clock);
    const later = new ManualClock();
    later.advance(Date.now() - 1_700_000_000_000 + 60_000);
    return { source: new FileSource(config, later), young };
  }

  async function fetchWith(source: FileSource, tag: string | null) {
    return source.fetch({ ...contextOf("a.txt", ["a.txt"]), tag });
  }

  it("stays the same while the file is unchanged", async () => {
    const { source } = timed();
    const first = await fetchWith(source, null);
    expect(first).toMatchObject({ type: "value", tag: expect.any(String) });
    expect(await fetchWith(source, first.type === "value" ? first.tag : null)).toMatchObject({ type: "unchanged" });
  });

  it("is omitted for a file that may change again within one tick of its timestamps", async () => {
    await utimes(path.join(root, "a.txt"), past, past);
    expect(await fetchWith(timed().young, null)).toMatchObject({ type: "value", tag: null });
  });

  it.each([
    ["is written in place", (file: string) => writeFile(file, "INSIDE")],
    [
      "is replaced by rename",
      async (file: string) => {
        await writeFile(`${file}.new`, "INSIDE");
        await utimes(`${file}.new`, past, past);
        await rename(`${file}.new`, file);
      },
    ],
    [
      "is removed and made anew",
      async (file: string) => {
        await rm(file);
        await writeFile(file, "INSIDE");
      },
    ],
    [
      "is copied over with its times",
      async (file: string) => {
        await writeFile(`${file}.new`, "INSIDE");
        await utimes(`${file}.new`, past, past);
        await cp(`${file}.new`, file, { preserveTimestamps: true });
      },
    ],
  ])("changes if a file %s, with equal size and time of change", async (_what, replace) => {
    const file = path.join(root, "a.txt");
    await utimes(file, past, past);
    const { source } = timed();
    const first = await fetchWith(source, null);
    const { ctimeNs } = await stat(file, { bigint: true });
    await replace(file);
    // The clock of a file system has ticks of some milliseconds.
    do await utimes(file, past, past);
    while ((await stat(file, { bigint: true })).ctimeNs === ctimeNs);
    const second = await fetchWith(source, first.type === "value" ? first.tag : null);
    expect(second).toMatchObject({ type: "value", value: Buffer.from("INSIDE") });
  });
});

describe("a path that is not a regular file", () => {
  it.each(["sub", "sub/", ""])("is refused if it is the folder %j", async (part) => {
    expect(await outcome(part)).toBe("SOURCE_REFUSED");
  });

  it("is refused without blocking if it is a pipe without a writer", async () => {
    execFileSync("/usr/bin/mkfifo", [path.join(root, "pipe")]);
    expect(await outcome("pipe")).toBe("SOURCE_REFUSED");
  });
});

describe("a file path", () => {
  it.each(["../secret", "sub/../../secret", "..", ".", "sub/..", "a\0b", "..\\secret"])(
    "is refused if it is %j",
    async (part) => {
      expect(await outcome(part)).toBe("SOURCE_REFUSED");
    },
  );

  it("has slashes only if the template allows them", async () => {
    expect(await outcome("sub/b.txt", sourceOf({ path: "{1}" }))).toBe("SOURCE_REFUSED");
  });

  it("stays below the folder if it begins with a slash", async () => {
    expect(await outcome("/sub/b.txt")).toBe("below");
    expect(await outcome(path.join(folder, "secret"))).toBe("not there");
  });

  it("is refused if it consists of dots from the template and nothing from the key", async () => {
    expect(await outcome("/../secret", sourceOf({ path: ".{1:path}" }))).toBe("SOURCE_REFUSED");
    expect(await outcome("", sourceOf({ path: "sub/.{1}./../secret" }))).not.toBe("outside");
  });
});

describe("a symbolic link", () => {
  it("is followed to a file below the folder", async () => {
    await symlink(path.join(root, "a.txt"), path.join(root, "sub", "link"));
    expect(await outcome("sub/link")).toBe("inside");
  });

  it.each([
    ["a file", "link", "link"],
    ["a folder", "link", "link/secret"],
  ])("is refused if it points to %s outside of the folder", async (what, name, part) => {
    await symlink(what === "a file" ? path.join(folder, "secret") : folder, path.join(root, name));
    expect(await outcome(part)).toBe("SOURCE_REFUSED");
  });

  it("is refused if it points to a folder whose name begins with the folder's name", async () => {
    await mkdir(path.join(folder, "root-2"));
    await writeFile(path.join(folder, "root-2", "x"), "outside");
    await symlink(path.join(folder, "root-2"), path.join(root, "link"));
    expect(await outcome("link/x")).toBe("SOURCE_REFUSED");
  });

  it("is a failure if it points to itself, and a miss if it points to nothing", async () => {
    await symlink(path.join(root, "loop"), path.join(root, "loop"));
    await symlink(path.join(root, "nothing"), path.join(root, "dangling"));
    expect(await outcome("loop")).toBe("SOURCE_FAILED");
    expect(await outcome("dangling")).toBe("not there");
  });

  it("may be the folder that the configuration names", async () => {
    await symlink(root, path.join(folder, "alias"));
    expect(await outcome("a.txt", sourceOf({ root: path.join(folder, "alias") }))).toBe("inside");
  });
});
