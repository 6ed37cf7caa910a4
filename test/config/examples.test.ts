import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { addressText } from "../../src/config/config.ts";
import { parseNative } from "../../src/config/native.ts";
import { McrouterOptions } from "../../src/mcrouter/config/options.ts";
import { loadConfig } from "../../src/server/load-config.ts";
import { sourceTypes } from "../../src/sources/types.ts";
import { treeProblems } from "../support/rigs/tree-config.ts";

const FOLDER = fileURLToPath(new URL("../../config", import.meta.url));
const files = readdirSync(FOLDER).filter((name) => /(?<!\.schema)\.(toml|yml|json)$/.test(name));
const env = { SESSIONS_PASSWORD: "one", REPORTS_PASSWORD: "two" };
const load = (name: string) => loadConfig({ path: path.join(FOLDER, name), env });

describe("the files of config/", () => {
  it.each(files)("load: %s", async (name) => {
    await expect(load(name)).resolves.toMatchObject({ file: path.join(FOLDER, name) });
  });

  it("use one AWS connection for both sources of secrets.toml", async () => {
    const { pools, sources } = await load("secrets.toml");
    expect(pools).toEqual([]);
    expect(sources).toMatchObject([{ field: "password" }, { field: null }]);
    const connection = { pool: "aws", region: "eu-central-1" };
    for (const source of sources) expect(source).toMatchObject({ type: "awssm", key: "{1}", connection });
  });

  it("give the users of users.toml separate keys, and one address without a login", async () => {
    const { access, server } = await load("users.toml");
    expect(access.users).toMatchObject([
      { name: "sessions", passwords: ["one"], prefixes: ["session:"], isReadonly: false },
      { name: "reports", passwords: ["two"], prefixes: [], isReadonly: true },
    ]);
    expect(access.listeners.map(({ needsLogin }) => needsLogin)).toEqual([true, false]);
    expect(server.listen.map(addressText)).toEqual(["127.0.0.1:11211", "unix:/tmp/platypus-users.sock"]);
  });

  it("share fetches between processes over three servers in fleet.toml", async () => {
    const { rules, pools, sources } = await load("fleet.toml");
    expect(rules).toMatchObject([{ lease: "fleet", fillTimeoutMs: 2_000, source: "products" }]);
    expect(pools.map(({ servers }) => servers.length)).toEqual([3]);
    expect(sources).toMatchObject([{ type: "http", timeoutMs: 1_000 }]);
  });
});

describe("config/mcrouter.json", () => {
  const file = path.join(FOLDER, "mcrouter.json");
  const given = new Map([
    ["config_file", file],
    ["ports", "11211"],
    ["listen_addresses", "127.0.0.1"],
  ]);

  it("loads unchanged, with no setting without effect", async () => {
    const config = await loadConfig({
      path: null,
      mcrouter: new McrouterOptions(given),
      env: {},
    });
    expect(config.warnings).toEqual([]);
    expect(config.pools.map(({ name, servers }) => `${name} ${servers.length}`).sort()).toEqual([
      ...["east 3", "sessions 2", "trial 1", "west 3"],
    ]);
    expect([...config.tree!.routes.keys()]).toEqual(["/././", "/east/main/", "/west/main/"]);
  });
});

const MIGRATING = ["mcrouter", "twemproxy", "first-platypus"].map((name) => `docs/migrating/${name}.md`);
describe.each(["README.md", "docs/sources.md", ...MIGRATING])("the examples of %s", (name) => {
  const page = readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  const examples = [...page.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, text]) => text!);

  it.each(examples)("load: %#", (text) => {
    // Their paths are those of config/.
    const file = path.join(FOLDER, "example.toml");
    expect(parseNative({ file, text, env: {}, sourceTypes }).sources).not.toEqual([]);
  });
});

it("the users of docs/deployment.md load", () => {
  const page = readFileSync(new URL("../../docs/deployment.md", import.meta.url), "utf8");
  const [, text] = /```toml\n(\[user\.[\s\S]*?)```/.exec(page)!;
  const config = parseNative({ file: null, text: text!, env, sourceTypes });
  expect(config.access.users).toMatchObject([{ passwords: ["one"], prefixes: ["session:"] }, { isReadonly: true }]);
});

const DOCS = path.join(FOLDER, "../docs");
const PAGES = readdirSync(DOCS, { encoding: "utf8", recursive: true }).filter((name) => name.endsWith(".md"));

const fragments = PAGES.flatMap((name) => {
  const page = readFileSync(path.join(DOCS, name), "utf8");
  return [...page.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, text]): [string, string] => [name, text!]);
});

describe("TOML in the docs", () => {
  // Their paths are those of config/.
  it.each(fragments)("%s loads without a problem: %s", (_name, text) => {
    const file = path.join(FOLDER, "example.toml");
    expect(() => parseNative({ file, text, env: { ...env, OTLP_TOKEN: "token" }, sourceTypes })).not.toThrow();
  });
});

const snippets = ["../README.md", ...PAGES].flatMap((name) => {
  const page = readFileSync(path.join(DOCS, name), "utf8");
  return [...page.matchAll(/```json\n([\s\S]*?)```/g)].flatMap(([, text]): [string, string][] => {
    return /Route\b/.test(text!) ? [[name, text!]] : [];
  });
});

describe("mcrouter's JSON in the docs", () => {
  it("exists", () => {
    expect(snippets.length).toBeGreaterThan(0);
  });

  // A configuration, or a route handle in one whose pools are those it names.
  it.each(snippets)("loads in %s: %s", async (_name, text) => {
    if (/"routes?"\s*:/.test(text)) {
      await expect(treeProblems(text)).resolves.toEqual([]);
      return;
    }
    const names = [...text.matchAll(/"pool":\s*"(\w+)"|"(?:Pool|PoolRoute)\|(\w+)/g)].map(
      (found) => found[1] ?? found[2]!,
    );
    expect(names).not.toEqual([]);
    const pools = names.map((name) => `"${name}": { "servers": ["10.0.0.1:11211", "10.0.0.2:11211"] }`);
    const document = `{ "pools": { ${[...new Set(pools)].join(", ")} }, "route": ${text} }`;
    await expect(treeProblems(document)).resolves.toEqual([]);
  });
});
