import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it, type TestContext } from "vitest";
import { makeFolder } from "../src/make-folder.ts";

async function scratch({ onTestFinished }: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "platypus-folder-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

it("makeFolder creates a folder and its parents, and returns whether it had to", async (context) => {
  const folder = path.join(await scratch(context), "a/b/c");
  expect(await makeFolder(folder)).toBe(true);
  expect((await stat(folder)).isDirectory()).toBe(true);
  expect(await makeFolder(folder)).toBe(false);
  expect(await makeFolder("/")).toBe(false);
});

it("makeFolder fails with the reason if a folder cannot be created", async (context) => {
  const folder = await scratch(context);
  await writeFile(path.join(folder, "file"), "");
  await expect(makeFolder(path.join(folder, "file/below"))).rejects.toMatchObject({ code: "ENOTDIR" });
  // Node's own recursive mkdir never returns here.
  await expect(makeFolder("/proc/none/below")).rejects.toMatchObject({ code: "ENOENT" });
});
