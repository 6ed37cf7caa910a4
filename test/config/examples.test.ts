import { readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { templateHooks } from "../../src/template-hooks.ts";

const FOLDER = fileURLToPath(new URL("../../config", import.meta.url));
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".toml"));
const load = (name: string) => loadConfig({ path: path.join(FOLDER, name), env: {}, hooks: templateHooks });

describe("the files of config/", () => {
  it.each(files)("%s loads", async (name) => {
    await expect(load(name)).resolves.toMatchObject({ file: path.join(FOLDER, name) });
  });

  it("fleet.toml has processes share their fetches, over three servers", async () => {
    const { rules, pools, sources } = await load("fleet.toml");
    expect(rules).toMatchObject([{ lease: "fleet", fillTimeoutMs: 2_000, source: "products" }]);
    expect(pools.map(({ servers }) => servers.length)).toEqual([3]);
    expect(sources).toMatchObject([{ type: "http", timeoutMs: 1_000 }]);
  });
});
