import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { renderReference } from "../../src/config/reference.ts";

describe("docs/configuration.md", () => {
  it("is what the settings table renders to; scripts/write-config-reference.mjs writes it", async () => {
    const written = await readFile(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    expect(written).toBe(renderReference());
  });
});
