import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readInvocation } from "../../../src/commands/invocation.ts";
import { readFlavor } from "../../../src/mcrouter/config/flavor.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-flavor-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function file(name: string, content: unknown): Promise<string> {
  const at = path.join(folder, name);
  await writeFile(at, typeof content === "string" ? content : JSON.stringify(content));
  return at;
}

describe("a flavor", () => {
  it("combines the options of two files, and names the router", async () => {
    const flavor = await file(
      "web.json",
      '{ // mcrouter takes comments\n"options": { "server_timeout_ms": 50, "config": "{}" } }',
    );
    await file("web-standalone.json", {
      standalone_options: { ports: "5000" },
      libmcrouter_options: { asynclog_disable: true },
    });
    const { given, notes } = await readFlavor(flavor);
    expect(Object.fromEntries(given)).toEqual({
      server_timeout_ms: "50",
      config: "{}",
      ports: "5000",
      asynclog_disable: "true",
      router_name: "web",
      flavor_name: flavor,
    });
    expect(notes).toEqual([]);
  });

  it("yields to the command line", async () => {
    const flavor = await file("web.json", { options: { config: "{}" } });
    await file("web-standalone.json", { standalone_options: { ports: "5000" } });
    const invocation = await readInvocation([flavor, "-p", "6000"]);
    expect(invocation.mcrouter!.options.text("ports")).toBe("6000");
    expect(invocation.mcrouter!.options.text("config")).toBe("{}");
  });

  it("reports and ignores an unknown option", async () => {
    const { given, notes } = await readFlavor(await file("a.json", { options: { no_such: "1" } }));
    expect(given.has("no_such")).toBe(false);
    expect(notes.join()).toMatch(/^unknown option no_such in flavor .*a\.json, left out$/);
  });

  it.each<[string, unknown, RegExp]>([
    ["none.json", null, /none\.json: there is no such file/],
    ["list.json", [], /expected an object, got a list/],
    ["empty.json", {}, /expected "options", an object of options/],
    ["deep.json", { options: { ports: [1] } }, /ports: expected a text or a number/],
    ["bad.json", "{", /./],
  ])("is refused with the reason if it is unusable: %s", async (name, content, message) => {
    const at = content === null ? path.join(folder, name) : await file(name, content);
    await expect(readFlavor(at)).rejects.toThrow(message);
  });
});

describe("a command line of mcrouter", () => {
  it("is refused without an address, as in mcrouter", async () => {
    const config = await file("m.json", { route: "NullRoute" });
    await expect(readInvocation(["-f", config])).rejects.toThrow(/^invalid ports: give --port/);
    for (const address of [
      ["-p", "1"],
      ["--unix-domain-sock", "/s"],
      ["--listen-sock-fd", "3"],
      ["--ssl-port", "2"],
    ]) {
      await expect(readInvocation(["-f", config, ...address])).resolves.toBeDefined();
    }
    await expect(readInvocation(["-f", config, "--validate-config"])).resolves.toBeDefined();
  });

  it("can show errors of gets by the newer name of that option", async () => {
    for (const name of ["--no-miss-on-get-errors", "--disable-miss-on-get-errors"]) {
      const { mcrouter } = await readInvocation(["-p", "1", name]);
      expect(mcrouter!.options.toggle("miss_on_get_errors")).toBe(false);
    }
    expect((await readInvocation(["-p", "1"])).mcrouter!.options.toggle("miss_on_get_errors")).toBe(true);
  });

  it("can give the number of cores by name", async () => {
    const { mcrouter } = await readInvocation(["-p", "1", "--num-proxies=%CPU_CORES%"]);
    expect(mcrouter!.options.integer("num_proxies")).toBeGreaterThan(0);
  });
});
