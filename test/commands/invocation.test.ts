import { describe, expect, it } from "vitest";
import { readInvocation } from "../../src/commands/invocation.ts";
import { UsageError } from "../../src/errors.ts";

describe("the choice of the command line", () => {
  it("is Platypus' with a file, or without arguments", async () => {
    expect(await readInvocation([])).toEqual({
      load: { path: null, rules: null, overrides: {} },
      file: null,
      mcrouter: null,
    });
    expect(
      await readInvocation([
        "--config",
        "a.toml",
        "--listen",
        "127.0.0.1:1",
        "--listen=127.0.0.1:2",
        "--rules",
        "r.toml",
      ]),
    ).toEqual({
      load: { path: "a.toml", rules: "r.toml", overrides: { "server.listen": "127.0.0.1:1,127.0.0.1:2" } },
      file: "a.toml",
      mcrouter: null,
    });
  });

  it("is mcrouter's with its options, or with a configuration in its form", async () => {
    for (const args of [
      ["-p", "5000", "-f", "/etc/m.json"],
      ["--config", "file:/etc/m.json"],
      ["--port=5000", "--config=/etc/m.json"],
    ]) {
      expect(await readInvocation(args)).toMatchObject({
        file: "/etc/m.json",
        load: { path: null },
        mcrouter: { wants: "run" },
      });
    }
    const inline = await readInvocation(["--config", '{ "route": "NullRoute" }', "-p", "5000"]);
    expect([inline.file, inline.mcrouter?.options.text("config")]).toEqual([null, '{ "route": "NullRoute" }']);
  });

  it("accepts --rules beside mcrouter's options", async () => {
    const { load, mcrouter } = await readInvocation(["-p", "5000", "--rules", "r.toml", "-f", "m.json", "--odd"]);
    expect([load.rules, mcrouter!.notes, mcrouter!.options.text("config_file")]).toEqual([
      "r.toml",
      ["unknown option --odd, left out"],
      "m.json",
    ]);
    expect((await readInvocation(["-p", "1", "--rules=r.toml", "-f", "m.json"])).load.rules).toBe("r.toml");
  });

  it("is refused with a flavor, or with an option that neither program knows", async () => {
    await expect(readInvocation(["-p", "5000", "flavor.json"])).rejects.toThrow(UsageError);
    await expect(readInvocation(["--odd"])).rejects.toThrow(UsageError);
  });
});
