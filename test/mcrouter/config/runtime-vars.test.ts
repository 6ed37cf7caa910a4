import { describe, expect, it } from "vitest";
import { treeConfig } from "../../support/rigs/tree-config.ts";

const FILE = "/etc/vars.json";
const pools = { A: { servers: ["a:1"] }, B: { servers: ["b:1"] } };

/** A shadow of all keys, whose range the variable `name` may change. */
async function shadowed(vars: string | null, name = "key_fraction_range_tier") {
  const shadow = {
    target: "PoolRoute|B",
    index_range: [0, 1],
    key_fraction_range: [0, 1],
    key_fraction_range_rv: name,
  };
  const route = { type: "ShadowRoute", children: "PoolRoute|A", shadows: [shadow] };
  const config = await treeConfig({ pools, route }, { runtime_vars_file: FILE }, vars === null ? {} : { [FILE]: vars });
  const [root] = [...config.tree!.routes.values()] as unknown as {
    readonly shadows?: readonly { keyFraction: unknown }[];
  }[];
  return { range: root!.shadows?.[0]?.keyFraction ?? null, warnings: config.warnings.join("\n"), files: config.files };
}

describe("runtime variables", () => {
  it.each([
    ["a pair of numbers", `{"key_fraction_range_tier": [0.4, 0.5]}`, [0.4, 0.5]],
    ["a number in key_fractions", `{"key_fractions": {"tier": 0.25}}`, [0, 0.25]],
    [
      "a number in key_fractions, whatever is beside it",
      `{"key_fraction_range_tier": [0, 1], "key_fractions": {"tier": 0.5}}`,
      [0, 0.5],
    ],
    ["comments, as in the configuration", `// note\n{"key_fraction_range_tier": [0, 0]}`, [0, 0]],
  ])("set the range of a shadow with %s", async (_what, vars, range) => {
    expect(await shadowed(vars)).toMatchObject({ range, warnings: "" });
  });

  it.each([
    ["no such variable", `{"other": [0, 0.1]}`, /do not have "key_fraction_range_tier"; key_fraction_range counts/],
    ["no file", null, /\/etc\/vars\.json: there is no such file; there are no runtime variables/],
    ["no JSON", "{", /\/etc\/vars\.json: .*; there are no runtime variables/],
    ["no object", "[1]", /\/etc\/vars\.json: expected an object with runtime variables/],
  ])("leave the configured range, with a warning, if there is %s", async (_what, vars, warning) => {
    const found = await shadowed(vars);
    expect(found.range).toEqual([0, 1]);
    expect(found.warnings).toMatch(warning);
  });

  it.each([
    ["[0.5, 0.4]", /expected two numbers from 0 to 1, in ascending order/],
    ["[0, 1, 1]", /expected two numbers/],
    ["[0, 2]", /expected two numbers/],
    [`"0.5"`, /expected two numbers/],
  ])("omit the shadow, with a warning, for the value %s", async (value, warning) => {
    const found = await shadowed(`{"key_fraction_range_tier": ${value}}`);
    expect(found.range).toBeNull();
    expect(found.warnings).toMatch(warning);
  });

  it("are read again when their file changes, like the configuration", async () => {
    expect((await shadowed(`{"key_fraction_range_tier": [0, 0]}`)).files).toContain(FILE);
    expect((await shadowed(null)).files).toContain(FILE);
  });
});
