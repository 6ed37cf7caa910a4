import { readdir, readFile } from "node:fs/promises";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "toml";
import { describe, expect, it } from "vitest";
import { withMcrouterTables } from "../../scripts/docs/mcrouter-tables.ts";
import { renderSchema } from "../../scripts/docs/schema.ts";
import { renderSettingsFile } from "../../scripts/docs/settings-file.ts";
import { renderReference } from "../../scripts/docs/settings-page.ts";

describe("docs/configuration.md", () => {
  it("matches the rendered settings table (scripts/write-config-reference.mjs)", async () => {
    const written = await readFile(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    expect(written).toBe(renderReference());
  });
});

describe("config/platypus.toml", () => {
  it("matches the rendered settings tables (npm run docs)", async () => {
    const written = await readFile(new URL("../../config/platypus.toml", import.meta.url), "utf8");
    expect(written).toBe(renderSettingsFile());
  });
});

describe("config/platypus.schema.json", () => {
  const validate = new Ajv2020({ allowUnionTypes: true }).compile(JSON.parse(renderSchema()));
  const valid = (text: string) => validate(parse(text));

  it("matches the rendered settings tables (npm run docs)", async () => {
    const written = await readFile(new URL("../../config/platypus.schema.json", import.meta.url), "utf8");
    expect(written).toBe(renderSchema());
  });

  it("accepts each shipped configuration, and config/platypus.toml with every setting enabled", async () => {
    const folder = new URL("../../config/", import.meta.url);
    const names = (await readdir(folder)).filter((name) => name.endsWith(".toml"));
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) {
      const text = await readFile(new URL(name, folder), "utf8");
      expect(valid(text), `${name}: ${JSON.stringify(validate.errors)}`).toBe(true);
      if (name !== "platypus.toml") continue;
      const all = text.replace(/^#(?=\[|\w+ = )/gm, "");
      expect(valid(all), JSON.stringify(validate.errors)).toBe(true);
    }
  });

  it.each([
    "[server]\nlissen = 1",
    "[server]\nmax_connections = 0",
    '[get.a]\nttl = "60 seconds"',
    '[source.a]\ntype = "ftp"',
    '[source.a]\nurl = "http://h/"',
  ])("refuses everything that check refuses: %s", (text) => {
    expect(valid(text)).toBe(false);
  });
});

describe("docs/migrating/mcrouter.md", () => {
  it("lists mcrouter's handles and options as implemented (npm run docs)", async () => {
    const written = await readFile(new URL("../../docs/migrating/mcrouter.md", import.meta.url), "utf8");
    expect(withMcrouterTables(written)).toBe(written);
  });
});
