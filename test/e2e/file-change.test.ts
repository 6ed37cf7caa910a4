import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { TextClient } from "../support/clients/text-client.ts";
import { connect, startPlatypus, temporaryFolder } from "../support/rigs/started.ts";

describe("a file that changes", () => {
  let folder: string;
  let client: TextClient;

  beforeEach(async () => {
    folder = await temporaryFolder();
    await mkdir(path.join(folder, "one"));
    await mkdir(path.join(folder, "two"));
    await writeFile(path.join(folder, "one", "a"), "first");
    await writeFile(path.join(folder, "two", "a"), "second");
    await symlink("one", path.join(folder, "current"));
    const files = `[source.files]\ntype = "file"\nroot = "${folder}"\npath = "{1:path}"\n`;
    const merge = '[source.both]\ntype = "merge"\ntemplate = [{ key = ["file"], source = "files" }]\n';
    const rules = ["files", "both"].map(
      (name) => `[get.${name}]\nmatch = "${name}/(.*)"\nsource = "${name}"\nttl = "1h"\n`,
    );
    const platypus = await startPlatypus(rules.join("") + files + merge);
    client = await connect(platypus);
  });

  const get = async (key: string) => (await client.ask(`get ${key}`, "END\r\n")).split("\r\n")[1];
  const patience = { timeout: 10_000 };

  it("is read again at once, long before its ttl ends", async () => {
    expect(await get("files/one/a")).toBe("first");
    await writeFile(path.join(folder, "one", "a"), "changed");
    await expect.poll(() => get("files/one/a"), patience).toBe("changed");
    await writeFile(path.join(folder, "one", "new"), "renamed over");
    await rename(path.join(folder, "one", "new"), path.join(folder, "one", "a"));
    await expect.poll(() => get("files/one/a"), patience).toBe("renamed over");
  });

  it("is read again at once as a part of a merge", async () => {
    expect(await get("both/one/a")).toBe('{"file":"first"}');
    await writeFile(path.join(folder, "one", "a"), "changed");
    await expect.poll(() => get("both/one/a"), patience).toBe('{"file":"changed"}');
  });

  it("is deleted from the pool if it is removed", async () => {
    expect(await get("files/two/a")).toBe("second");
    await rm(path.join(folder, "two", "a"));
    await expect.poll(() => client.ask("get files/two/a", "END\r\n"), patience).toBe("END\r\n");
  });

  it("is read again after its folder was renamed and created again", async () => {
    expect(await get("files/one/a")).toBe("first");
    for (const value of ["anew", "and again"]) {
      await rename(path.join(folder, "one"), path.join(folder, `old ${value}`));
      await mkdir(path.join(folder, "one"));
      await writeFile(path.join(folder, "one", "a"), value);
      await expect.poll(() => get("files/one/a"), patience).toBe(value);
      await writeFile(path.join(folder, "one", "a"), `${value}, changed`);
      await expect.poll(() => get("files/one/a"), patience).toBe(`${value}, changed`);
    }
  });

  it("is read again after a link on its path was switched", async () => {
    expect(await get("files/current/a")).toBe("first");
    await symlink("two", path.join(folder, "next"));
    await rename(path.join(folder, "next"), path.join(folder, "current"));
    await expect.poll(() => get("files/current/a"), patience).toBe("second");
  });

  it("is read through links", async () => {
    expect(await get("files/current/a")).toBe("first");
    await writeFile(path.join(folder, "one", "a"), "changed");
    await expect.poll(() => get("files/current/a"), patience).toBe("changed");
  });
});
