import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { expandMcrouterConfig } from "../../../src/mcrouter/config/expand.ts";
import { plainJson } from "../../../src/mcrouter/config/json-value.ts";
import { expand, expanded, type Files } from "../../support/rigs/expanded.ts";

/** Problems as `file:line: message`. */
async function problems(text: string, files: Files): Promise<string[]> {
  return (await expand(text, files)).problems.map(({ file, line, message }) => `${file}:${line}: ${message}`);
}

describe("an import", () => {
  it("is read from the configuration's folder, or from the folder of its path", async () => {
    const files = {
      "/etc/mcrouter/pools/a.json": '// comments too\n{ "servers": ["a:1",] }',
      "/srv/b.json": '["b"]',
      "/srv/c.json": '"c"',
    };
    const { document, files: read } = await expand(
      '{ "a": "@import(pools/a.json)", "b": "@import(file:/srv/b.json)", "c": ["@import(../../srv/c.json)", "@import(/srv/c.json)"] }',
      files,
    );
    expect(plainJson(document!)).toEqual({ a: { servers: ["a:1"] }, b: ["b"], c: ["c", "c"] });
    expect(read).toEqual(["/etc/mcrouter/pools/a.json", "/srv/b.json", "/srv/c.json"]);
  });

  it("can define macros, use them, and import other files", async () => {
    const files = {
      "/etc/mcrouter/macros.json": '{ "twice": { "type": "macroDef", "params": ["x"], "result": "%x%%x%" } }',
      "/etc/mcrouter/value.json": '["@twice(a)", "@import(other.json)", "%hostid%"]',
      "/etc/mcrouter/other.json": '"@twice(b)"',
    };
    const macros = '["@import(macros.json)"]';
    expect(await expanded('"@import(value.json)"', macros, files, { hostid: 3 })).toEqual(["aa", "bb", 3]);
  });

  it("falls back to its default if a file is missing or broken, and does not evaluate it otherwise", async () => {
    const files = {
      "/etc/mcrouter/broken.json": "{",
      "/etc/mcrouter/fails.json": '"@fail(no)"',
      "/etc/mcrouter/good.json": "1",
    };
    expect(await expanded('"@import(missing.json, none)"', "{}", files)).toBe("none");
    expect(await expanded('"@import(broken.json, none)"', "{}", files)).toBe("none");
    expect(await expanded('"@import(fails.json, none)"', "{}", files)).toBe("none");
    expect(await expanded('"@import(good.json, @fail(no))"', "{}", files)).toBe(1);
    expect((await expand('{ "a": "@import(missing.json, none)" }')).files).toEqual(["/etc/mcrouter/missing.json"]);
  });

  it("is refused with the file and line of the error", async () => {
    const files = {
      "/etc/mcrouter/broken.json": '{\n "a": \n}',
      "/etc/mcrouter/wrong.json": '\n["%nothing%"]',
      "/etc/mcrouter/one.json": '"@import(two.json)"',
      "/etc/mcrouter/two.json": '"@import(one.json)"',
      "/etc/mcrouter/config.json": "{}",
    };
    const call = (path: string) => problems(`{\n"a": "@import(${path})" }`, files);
    const main = "/etc/mcrouter/config.json";
    expect(await call("missing.json")).toEqual([
      `${main}:2: a: import of missing.json: there is no such file (in macro "import", line 2)`,
    ]);
    expect(await call("broken.json")).toEqual([
      `/etc/mcrouter/broken.json:3: a: expected a value, found "}" (in macro "import", line 2 of ${main})`,
    ]);
    expect(await call("wrong.json")).toEqual([
      `/etc/mcrouter/wrong.json:2: a: %nothing% is not defined here (in macro "import", line 2 of ${main})`,
    ]);
    expect((await call("one.json"))[0]).toMatch(
      /one\.json imports itself: \/etc\/mcrouter\/config\.json → \/etc\/mcrouter\/one\.json → \/etc\/mcrouter\/two\.json → \/etc\/mcrouter\/one\.json/,
    );
    expect((await call("config.json"))[0]).toMatch(/config\.json imports itself/);
  });
});

describe("an expanded configuration", () => {
  it("has the digest of the original text", async () => {
    const text = '{ /* é */ "a": "@str(b)" }';
    expect((await expand(text)).rawDigest).toBe(createHash("md5").update(text).digest("hex"));
  });

  it("can be given without a file, and its imports are then relative to the current folder", async () => {
    const { files } = await expandMcrouterConfig({
      text: '{ "a": "@import(x.json)" }',
      file: null,
      params: {},
      readFile: async () => "1",
    });
    expect(files).toEqual([`${process.cwd()}/x.json`]);
  });
});
