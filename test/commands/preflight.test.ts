import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { preflight } from "../../src/commands/preflight.ts";
import { parseNative } from "../../src/config/native.ts";
import { sourceTypes } from "../../src/sources/types.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-preflight-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** Warnings of a source with these settings, in this environment. */
function warningsOf(source: string, env: Record<string, string> = {}): Promise<string[]> {
  const text = `[source.s]\n${source}\n`;
  const config = parseNative({ file: path.join(folder, "p.toml"), text, env: {}, sourceTypes });
  const home = { HOME: folder, AWS_EC2_METADATA_DISABLED: "true", ...env };
  return preflight(config, { env: home, resolve: async () => "1.2.3.4" });
}

describe("preflight", () => {
  it("warns of a root folder that does not exist, is a file, or cannot be entered", async () => {
    const file = (root: string) => warningsOf(`type = "file"\nroot = "${root}"\npath = "{key}"`);
    expect(await file("none")).toEqual([`source s: root ${folder}/none: there is no such folder`]);
    await writeFile(path.join(folder, "file"), "");
    expect(await file("file")).toEqual([`source s: root ${folder}/file: expected a folder, found a file`]);
    expect(await file(".")).toEqual([]);
  });

  it("warns of the single file of a source if the file cannot be read", async () => {
    const source = 'type = "file"\nroot = "."\npath = "one.txt"';
    expect(await warningsOf(source)).toEqual([`source s: ${folder}/one.txt: there is no such file`]);
    await writeFile(path.join(folder, "one.txt"), "");
    expect(await warningsOf(source)).toEqual([]);
    await chmod(path.join(folder, "one.txt"), 0o000);
    const isRoot = process.getuid?.() === 0;
    expect(await warningsOf(source)).toHaveLength(isRoot ? 0 : 1);
  });

  it.each([
    ["export default () => 1", 0],
    ["const f = () => 1;\nexport { f as default };", 0],
    ["module.exports = () => 1", 0],
    ["export const getter = () => 1", 1],
    ["", 1],
  ])("checks for the getter of a module: %s", async (text, count) => {
    await writeFile(path.join(folder, "m.ts"), text);
    expect(await warningsOf('type = "module"\npath = "m.ts"')).toHaveLength(count);
  });

  it("warns of AWS without a region or credentials", async () => {
    const source = 'type = "awssm"\nkey = "{key}"';
    expect(await warningsOf(source)).toEqual([
      expect.stringContaining("no AWS region is set"),
      expect.stringContaining("no AWS credentials are set"),
    ]);
    expect(await warningsOf(source, { AWS_REGION: "eu-west-1", AWS_ACCESS_KEY_ID: "x" })).toEqual([]);
    await mkdir(path.join(folder, ".aws"));
    await writeFile(path.join(folder, ".aws", "config"), "[profile a]\nregion = eu-west-1\n");
    expect(await warningsOf(`${source}\nprofile = "a"`)).toEqual([]);
    expect(await warningsOf(`${source}\nprofile = "b"`)).toEqual([expect.stringContaining('the AWS profile "b"')]);
  });

  it("warns once of each server or source name without an address", async () => {
    const servers = '[target]\nservers = ["good:1", "bad:1", "bad:2", "127.0.0.1:1"]\n';
    const text = `${servers}[source.s]\ntype = "http"\nurl = "https://worse/{key}"\n`;
    const config = parseNative({ file: null, text, env: {}, sourceTypes });
    const asked: string[] = [];
    const resolve = async (host: string) => {
      asked.push(host);
      if (host !== "good") throw Object.assign(new Error("no"), { code: "ENOTFOUND" });
    };
    expect(await preflight(config, { env: {}, resolve })).toEqual([
      "pool target: the name bad has no address (ENOTFOUND)",
      "source s: the name worse has no address (ENOTFOUND)",
    ]);
    expect(asked).toEqual(["good", "bad", "worse"]);
  });

  it("warns if the clients exceed the limit of open files, together with other open files", async () => {
    const warnings = (limit: number | null, server = "") => {
      const text = `[server]\nadmin = "off"\n${server}\n[target]\nservers = ["127.0.0.1:1", "127.0.0.1:2"]\n[source.s]\ntype = "http"\nurl = "http://127.0.0.1/"\nconcurrency = 100`;
      const config = parseNative({ file: null, text, env: {}, sourceTypes });
      return preflight(config, { env: {}, filesLimit: limit });
    };
    // 48 in reserve, 1 address, 2 servers, 100 + 8 for the source.
    expect(await warnings(10_159)).toEqual([]);
    expect(await warnings(10_158)).toEqual([
      "max_connections = 10000 does not fit the limit of 10158 open files: 9999 clients do, beside 159 files for servers, sources and the admin address; raise the limit (ulimit -n, LimitNOFILE) to 10159, or lower max_connections",
    ]);
    expect(await warnings(200, "max_connections = 100")).toEqual([]);
    expect(await warnings(200, "max_connections = 101")).toHaveLength(1);
    expect(await warnings(5_159, "workers = 2")).toEqual([]);
    expect(await warnings(5_158, "workers = 2")).toHaveLength(1);
    expect(await warnings(null)).toEqual([]);
  });
});
