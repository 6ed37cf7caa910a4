/** What a process with a native configuration loads: not what belongs to other programs' configurations, or to other commands. */
import { execFileSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const src = pathToFileURL(path.join(root, "src")).href;

/** The modules of src that `code` loads, as paths below it. */
function loadedBy(code: string): readonly string[] {
  const hook = `
    import { registerHooks } from "node:module";
    registerHooks({
      load(url, context, next) {
        if (url.startsWith(${JSON.stringify(src)})) console.log(url.slice(${src.length + 1}));
        return next(url, context);
      },
    });
    ${code}`;
  const args = ["--input-type=module", "--eval", hook];
  return execFileSync(process.execPath, args, { cwd: root, encoding: "utf8" }).trim().split("\n");
}

describe("the set of loaded modules", () => {
  it("contains only the necessary modules after a start with a native configuration", () => {
    const loaded = loadedBy(`
      const { loadConfig } = await import("./src/server/load-config.ts");
      const { Platypus } = await import("./src/server/platypus.ts");
      const { readInvocation } = await import("./src/commands/invocation.ts");
      await import("./src/commands/serve.ts");
      const { load } = await readInvocation(["--config", "config/quickstart.toml", "--listen", "127.0.0.1:0"]);
      const config = await loadConfig({ ...load, env: { PLATYPUS_SERVER_ADMIN: "127.0.0.1:0" } });
      const platypus = await Platypus.start(config);
      await platypus.close();`);
    expect(loaded).toContain("server/platypus.ts");
    expect(loaded.filter((file) => /^mcrouter\/|mcrouter-stats|twemproxy|simulat|replay/.test(file))).toEqual([]);
  });

  it("contains only the modules of the command on the command line", () => {
    const loaded = loadedBy(
      'process.argv.splice(1, 0, "platypus", "check", "config/quickstart.toml"); await import("./src/main.ts");',
    );
    expect(loaded).toContain("commands/check.ts");
    expect(loaded.filter((file) => /^(mcrouter|workers|observe\/admin)\/|commands\/serve|simulat/.test(file))).toEqual(
      [],
    );
  });
});
