/** The examples of docs/pools.md are configurations that load. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { RecordedTree } from "../../src/mcrouter/report/recorded-tree.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { routedConfig } from "../support/rigs/routed-config.ts";

const page = readFileSync(fileURLToPath(new URL("../../docs/pools.md", import.meta.url)), "utf8");
/** The first example below each heading. */
const examples = page.split(/^## /m).map((part) => ({
  title: part.split("\n")[0]!,
  toml: /^```toml\n(.*?)^```/ms.exec(part)?.[1] ?? "",
}));
const withToml = examples.filter(({ toml }) => toml !== "");
const treeOf = (title: string) =>
  new RecordedTree(routedConfig(examples.find((each) => each.title === title)!.toml), 0, new ManualClock());

describe("docs/pools.md", () => {
  it.each(withToml)("has an example that loads without a warning: $title", ({ toml }) => {
    expect(nativeConfig(toml).warnings).toEqual([]);
  });

  it("separates pools by prefix", () => {
    const tree = treeOf("Separate pools by prefix");
    expect(["cart:1", "page"].map((key) => tree.plainPoolOf(key))).toEqual(["sessions", "pages"]);
  });

  it("writes to both zones and reads the first", () => {
    const tree = treeOf("Two zones");
    expect(tree.serversOf("get", "k")).toEqual([expect.stringMatching(/^10\.0\./)]);
    const both = [expect.stringMatching(/^10\.0\./), expect.stringMatching(/^10\.1\./)];
    expect(tree.serversOf("set", "k")).toEqual(both);
    expect(tree.serversOf("delete", "k")).toEqual(both);
  });

  it("reads the old pool after a miss in the new one", () => {
    expect(treeOf("Move to a new pool").serversOf("get", "k")).toEqual([
      expect.stringMatching(/^10\.2\./),
      expect.stringMatching(/^10\.0\./),
    ]);
  });
});
