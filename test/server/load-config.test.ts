import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.ts";
import { loadConfig } from "../../src/server/load-config.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "platypus-load-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function failure(path: string): Promise<string> {
  const error: unknown = await loadConfig({ path, env: {} }).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return String((error as ConfigError).message).replace(path, "FILE");
}

describe("loading a configuration", () => {
  it("reads the file, then applies the environment and the overrides", async () => {
    const path = await file("good.toml", '\uFEFF[server]\nlisten = "a:1"\nhold = "1MiB"\nprefix = "p"\n');
    const env = { PLATYPUS_SERVER_HOLD: "2MiB", PLATYPUS_SERVER_PREFIX: "q" };
    const config = await loadConfig({ path, env, overrides: { "server.prefix": "r" } });
    expect(config.file).toBe(path);
    expect(config.server).toMatchObject({ listen: [{ host: "a" }], holdBytes: 2_097_152, prefix: "r" });
  });

  it("works without a file", async () => {
    const config = await loadConfig({ path: null, env: {} });
    expect(config.file).toBeNull();
    expect(config.server.listen).toHaveLength(1);
  });

  it("reports why a file cannot be read", async () => {
    expect(await failure(join(folder, "none.toml"))).toBe("FILE: there is no such file");
    await mkdir(join(folder, "sub"));
    expect(await failure(join(folder, "sub"))).toBe("FILE: expected a file, found a folder");
    expect(await failure(await file("latin1.toml", Uint8Array.of(0x61, 0xe9)))).toBe("FILE: expected UTF-8 text");
  });

  it("distinguishes the files of other proxies from broken TOML", async () => {
    expect(await failure(await file("m.json", '// x\n{ "pools": {} }'))).toMatch(/^FILE:2: no route; expected/);
    expect(await failure(await file("t.yml", "# x\nalpha:\n  listen: 127.0.0.1:22121\n"))).toBe(
      "FILE:2: alpha.servers: expected at least one server",
    );
    expect(await failure(await file("bad.toml", "# x\n[server\n"))).toBe(
      'FILE:2: syntax error at column 8: unexpected "\\n"; the header has no closing bracket',
    );
  });

  it("reads twemproxy's file, with the process's settings from the environment", async () => {
    const path = await file("nutcracker.yml", "%YAML 1.2\n---\nalpha:\n  listen: 127.0.0.1:1\n  servers:\n  - a:1:1\n");
    const env = { PLATYPUS_SERVER_MAX_VALUE: "2MiB" };
    const config = await loadConfig({ path, env });
    expect(config.server).toMatchObject({ listen: [], maxValueBytes: 2_097_152 });
    expect(config.pools).toMatchObject([{ name: "alpha", listen: [{ port: 1 }] }]);
    const listening = loadConfig({ path, env, overrides: { "server.listen": "a:1" } });
    await expect(listening).rejects.toThrow("--listen cannot be used here");
  });

  it.each([
    ["n.yml", "", "expected pools by name"],
    ["n.yaml", "# nothing\n---\n", "expected pools by name"],
    ["m.json", "", "FILE"],
  ])("does not mistake an empty %s for a file of its format", async (name, content, message) => {
    expect(await failure(await file(name, content))).toContain(message);
  });
});

describe("Platypus' own settings in another format", () => {
  it.each([
    ["p.yaml", "server:\n  listen: 127.0.0.1:1\ntarget:\n  servers:\n    - 127.0.0.1:2\n", 1, "YAML"],
    ["p.yml", "# mine\nget:\n  a:\n    match: a\n", 2, "YAML"],
    ["p.json", '{"server": {"listen": "127.0.0.1:1"}}', 1, "JSON"],
    ["p.json", '{\n  "target": { "servers": ["127.0.0.1:2"] }\n}', 2, "JSON"],
  ])("are refused with a hint about TOML: %s", async (name, text, line, format) => {
    expect(await failure(await file(name, text))).toMatch(
      new RegExp(`^FILE:${line}: Platypus' own settings are TOML; this is ${format}, which`),
    );
  });

  it("are not recognised in twemproxy's file if a pool has that name", async () => {
    const path = await file("n.yml", "server:\n  listen: 127.0.0.1:1\n  servers:\n  - a:1:1\n");
    expect((await loadConfig({ path, env: {} })).pools.map(({ name }) => name)).toEqual(["server"]);
  });
});
