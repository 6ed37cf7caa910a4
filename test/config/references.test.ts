import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseNative } from "../../src/config/native.ts";
import type { HttpSourceConfig } from "../../src/sources/http.ts";
import { sourceTypes } from "../../src/sources/types.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
  await writeFile(path.join(folder, "token"), "from-a-file\n");
});
afterEach(() => rm(folder, { recursive: true }));

function read(source: string, env: Record<string, string> = {}) {
  const text = `[source.web]\ntype = "http"\nurl = "http://a/b"\n${source}`;
  return parseNative({ file: path.join(folder, "platypus.toml"), text, env, sourceTypes });
}

function sourceOf(source: string, env: Record<string, string> = {}): HttpSourceConfig {
  return read(source, env).sources[0] as HttpSourceConfig;
}

function problems(source: string, env: Record<string, string> = {}): string {
  try {
    read(source, env);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("a reference to an external value", () => {
  it("reads the environment", () => {
    const { authorization } = sourceOf('username = "u"\npassword = "${ENV:SECRET}"', { SECRET: "p:w" });
    expect(authorization).toBe(`Basic ${Buffer.from("u:p:w").toString("base64")}`);
  });

  it("reads a file, and a change of the file changes the configuration", () => {
    const config = read('bearer_token = "${file:token}"');
    expect((config.sources[0] as HttpSourceConfig).authorization).toBe("Bearer from-a-file");
    expect(config.files).toEqual([path.join(folder, "token")]);
  });

  it("may be a part of a text or an entry of a table, and its value's braces stay literal", () => {
    const { headers } = sourceOf('headers = { a = "x ${ENV:B} {1}", b = "${file:token}" }\n', { B: "{key}" });
    expect(headers).toEqual([
      ["a", "x {{key}} {1}"],
      ["b", "from-a-file"],
    ]);
  });

  it("is escaped to suit the setting: a template, or text that has that name", async () => {
    const name = "getter{1}.ts";
    await writeFile(path.join(folder, name), "export default () => undefined;\n");
    const text = `
      [source.own]
      type = "module"
      path = "\${ENV:NAME}"
      [source.files]
      type = "file"
      root = "."
      path = "\${ENV:NAME}"`;
    const file = path.join(folder, "platypus.toml");
    const config = parseNative({ file, text, env: { NAME: name }, sourceTypes });
    expect(config.sources).toMatchObject([{ path: path.join(folder, name) }, { path: "getter{{1}}.ts" }]);
  });

  it("is reported by name if it is missing", () => {
    expect(problems('bearer_token = "${ENV:NONE}"')).toContain(
      "source.web.bearer_token: there is no environment variable NONE",
    );
    expect(problems('bearer_token = "${file:none}"')).toMatch(
      /4: source\.web\.bearer_token: .*none: there is no such file/,
    );
  });

  it("never shows its value in a message", () => {
    const env = { SECRET: "very secret" };
    for (const source of [
      'timeout = "${ENV:SECRET}"',
      'bearer_token = "${ENV:SECRET}"',
      'method = "${ENV:SECRET}"',
      'redirects = "${ENV:SECRET}"',
    ]) {
      expect(problems(source, env), source).not.toBe("");
      expect(problems(source, env), source).not.toContain("very secret");
    }
  });
});

describe("a login of an http source", () => {
  it.each([
    ['password = "p"', "stands without username"],
    ['username = "u"', "stands without password"],
    ['username = "u"\npassword = "p"\nbearer_token = "t"', "say another login"],
    ['bearer_token = "a b"', "without spaces"],
    ['bearer_token = "a"\nheaders = { Authorization = "b" }', "has an Authorization field too"],
    ['body = "x"', "a GET has no body"],
    ['select = "a"', "expected a JSON pointer"],
    ['value_statuses = ["200", "9"]', 'value_statuses[1]: expected a status such as "200"'],
  ])("is refused: %s", (source, message) => {
    expect(problems(source)).toContain(message);
  });
});
