import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { withMcrouterTables } from "../../scripts/docs/mcrouter-tables.ts";
import { renderSettingsFile } from "../../scripts/docs/settings-file.ts";
import { renderReference } from "../../scripts/docs/settings-page.ts";

describe("docs/configuration.md", () => {
  it("is what the settings table renders to; scripts/write-config-reference.mjs writes it", async () => {
    const written = await readFile(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    expect(written).toBe(renderReference());
  });
});

describe("config/platypus.toml", () => {
  it("is what the tables of settings render to (npm run docs)", async () => {
    const written = await readFile(new URL("../../config/platypus.toml", import.meta.url), "utf8");
    expect(written).toBe(renderSettingsFile());
  });
});

describe("docs/migrating.md", () => {
  it("has mcrouter's handles and options as they are (npm run docs)", async () => {
    const written = await readFile(new URL("../../docs/migrating.md", import.meta.url), "utf8");
    expect(withMcrouterTables(written)).toBe(written);
  });
});
