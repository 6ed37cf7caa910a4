/** `platypus init` and `platypus completion`, as a new user types them. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { foundHere } from "../../src/commands/found-here.ts";
import { starterKinds } from "../../src/commands/starter.ts";
import { loadConfig } from "../../src/server/load-config.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = path.join(ROOT, "src/main.ts");
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "platypus-init-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function platypus(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { cwd: folder, encoding: "utf8" });
  return { status, stdout, stderr };
}

/** With the rule that the file shows taken into use. */
function uncommented(text: string): string {
  return text.replace(/^#(?=\[|\w+ = )/gm, "");
}

describe("platypus init", () => {
  const originals: Readonly<Record<string, string>> = {
    mcrouter: "config/mcrouter.json",
    twemproxy: "config/nutcracker.yml",
  };

  it.each(starterKinds)("writes a file for %s that loads, also with its rule", async (kind) => {
    const original = originals[kind];
    const from = original === undefined ? [] : ["--from", path.join(ROOT, original)];
    const { status, stdout } = platypus("init", "--for", kind, ...from, "own.toml");
    expect(status).toBe(0);
    expect(stdout).toContain("wrote own.toml");
    const file = path.join(folder, "own.toml");
    writeFileSync(file, uncommented(readFileSync(file, "utf8")));
    const isAddition = kind === "mcrouter";
    const config = await loadConfig({
      path: isAddition ? path.join(ROOT, original!) : file,
      rules: isAddition ? file : null,
      env: {},
    });
    expect(config.rules.map(({ name }) => name)).toEqual(["page"]);
    expect(config.pools.length).toBeGreaterThan(0);
  });

  it("keeps twemproxy's placement, so that each key stays on its server", async () => {
    const original = path.join(ROOT, "config/nutcracker.yml");
    platypus("init", "--for", "twemproxy", "--from", original);
    const [before] = (await loadConfig({ path: original, env: {} })).pools;
    const [after] = (await loadConfig({ path: path.join(folder, "platypus.toml"), env: {} })).pools;
    expect(after).toMatchObject({ servers: before!.servers, placement: before!.placement });
  });

  it("does not overwrite a file", () => {
    writeFileSync(path.join(folder, "platypus.toml"), "# mine\n");
    const { status, stderr } = platypus("init", "--for", "pool");
    expect(status).toBe(2);
    expect(stderr).toContain("platypus.toml exists and is not written over");
    expect(readFileSync(path.join(folder, "platypus.toml"), "utf8")).toBe("# mine\n");
  });

  it("accepts servers, and shows the file without writing it", () => {
    const { stdout } = platypus("init", "--for", "pool", "--servers", "10.0.0.1:11211, 10.0.0.2:11211", "--print");
    expect(stdout).toContain('servers = ["10.0.0.1:11211", "10.0.0.2:11211"]');
    expect(existsSync(path.join(folder, "platypus.toml"))).toBe(false);
  });

  it("finds running programs, their files and a Rails application, in this order", () => {
    const root = path.join(folder, "root");
    for (const [pid, line] of [
      ["7", "/usr/bin/mcrouter\0-p\x005000\0-f\0/m.json\0"],
      ["8", "nutcracker\0-c\0/n.yml\0"],
      ["9", "cat\0"],
    ]) {
      mkdirSync(path.join(root, "proc", pid!), { recursive: true });
      writeFileSync(path.join(root, "proc", pid!, "cmdline"), line!);
    }
    mkdirSync(path.join(root, "etc/mcrouter"), { recursive: true });
    writeFileSync(path.join(root, "etc/mcrouter/mcrouter.json"), "{}");
    writeFileSync(path.join(folder, "Gemfile"), 'source "x"\ngem "rails", "~> 8.0"\n');
    expect(foundHere(folder, root)).toEqual([
      { kind: "mcrouter", where: "a running mcrouter", options: ["-p", "5000", "-f", "/m.json"] },
      { kind: "twemproxy", where: "a running nutcracker", file: "/n.yml" },
      {
        kind: "mcrouter",
        where: "/etc/mcrouter/mcrouter.json",
        options: ["-p", "11211", "-f", "/etc/mcrouter/mcrouter.json"],
      },
      { kind: "rails", where: path.join(folder, "Gemfile") },
    ]);
  });
});

describe("platypus completion", () => {
  it("completes commands, options and files in bash", () => {
    const script = path.join(folder, "completion.bash");
    writeFileSync(script, platypus("completion", "bash").stdout);
    writeFileSync(path.join(folder, "pool.toml"), "");
    const complete = (...words: string[]) => {
      const line = `source ${script}; COMP_WORDS=(platypus ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _platypus 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync("bash", ["-c", line], { cwd: folder, encoding: "utf8" }).trim().split("\n");
    };
    expect(complete("ex")).toEqual(["explain"]);
    expect(complete("explain", "--f")).toEqual(["--fetch"]);
    expect(complete("check", "po")).toEqual(["pool.toml"]);
    expect(complete("--conf")).toEqual(["--config"]);
  });

  it("describes each command in zsh, and refuses other shells", () => {
    expect(platypus("completion", "zsh").stdout).toMatch(
      /#compdef platypus[\s\S]*'check:[\s\S]*explain\) options=\(--config/,
    );
    expect(platypus("completion", "fish")).toMatchObject({ status: 2, stdout: "" });
  });
});

describe("--json", () => {
  it("of check lists problems with their lines, or the contents of the file", () => {
    writeFileSync(path.join(folder, "bad.toml"), "[server]\nlissen = 1\n");
    const bad = platypus("check", "--json", "bad.toml");
    expect(bad.status).toBe(2);
    expect(JSON.parse(bad.stdout)).toMatchObject({ ok: false, problems: [{ file: "bad.toml", line: 2 }] });
    writeFileSync(path.join(folder, "good.toml"), '[target]\nservers = ["127.0.0.1:1"]\n');
    const good = platypus("check", "--json", "good.toml");
    expect(good.status).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({
      ok: true,
      problems: [],
      pools: ["target"],
      rules: [],
      sources: [],
    });
  });

  it("of explain has the lines by name", () => {
    const { stdout } = platypus("explain", "a", "--json", "--config", path.join(ROOT, "config/quickstart.toml"));
    expect(JSON.parse(stdout)).toMatchObject({
      key: "a",
      lines: expect.arrayContaining([{ name: "key", text: '"a"' }]),
    });
  });
});
