/** The arrows between the folders of src: docs/architecture.md shows what biome.json enforces. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The part of Biome's configuration that is looked at. */
interface Biome {
  readonly overrides: readonly {
    readonly includes: readonly string[];
    readonly linter: {
      readonly rules: {
        readonly style: {
          readonly noRestrictedImports: {
            readonly options: { readonly patterns: readonly { readonly group: string[] }[] };
          };
        };
      };
    };
  }[];
}

const page = readFileSync(path.join(root, "docs/architecture.md"), "utf8");
const order = /^ {4}(commands → .*)$/m.exec(page)![1]!.split(" → ");
const biome = JSON.parse(readFileSync(path.join(root, "biome.json"), "utf8")) as Biome;

describe("the layers of docs/architecture.md", () => {
  it("are all folders of src", () => {
    const folders = readdirSync(path.join(root, "src"), { withFileTypes: true }).filter((each) => each.isDirectory());
    expect(order.slice(0, -1).sort()).toEqual(folders.map(({ name }) => name).sort());
    expect(order.at(-1)).toBe("ground");
  });

  it("are the layers that biome.json enforces: each folder may not import those to its left", () => {
    for (const [i, folder] of order.slice(0, -1).entries()) {
      const rule = biome.overrides.find(({ includes }) => includes[0] === `src/${folder}/**`);
      const groups = rule?.linter.rules.style.noRestrictedImports.options.patterns.flatMap(({ group }) => group) ?? [];
      const left = groups.filter((group) => /^\*\*\/[a-z]+\/\*\*$/.test(group)).map((group) => group.split("/")[1]!);
      expect({ folder, left }).toEqual({ folder, left: order.slice(0, i) });
    }
  });

  it("fail the check if an import points to the left", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "platypus-layers-"));
    try {
      writeFileSync(path.join(folder, "biome.json"), JSON.stringify({ ...biome, vcs: { enabled: false } }));
      const lint = (file: string) => {
        mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
        writeFileSync(path.join(folder, file), 'export type { Filler } from "../../refresh/filler.ts";\n');
        execFileSync(path.join(root, "node_modules/.bin/biome"), ["lint", file], { cwd: folder, stdio: "pipe" });
      };
      expect(() => lint("src/mcrouter/routes/points-right.ts")).not.toThrow();
      expect(() => lint("src/proxy/route/points-left.ts")).toThrow(/noRestrictedImports/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
