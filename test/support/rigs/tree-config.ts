/** mcrouter configurations of tests. */
import type { Config } from "../../../src/config/config.ts";
import { ConfigError } from "../../../src/errors.ts";
import { loadMcrouterConfig } from "../../../src/mcrouter/config/config.ts";
import { McrouterOptions } from "../../../src/mcrouter/config/options.ts";
import { nativeConfig } from "./native-config.ts";

/** Files by absolute path. */
type Files = Readonly<Record<string, string>>;

/** The configuration of a document (an object, or JSON text), on a free port of this machine; `options` by their names inside. */
export async function treeConfig(
  document: object | string,
  options: Readonly<Record<string, string>> = {},
  files: Files = {},
): Promise<Config> {
  const text = typeof document === "string" ? document : JSON.stringify(document);
  const given = new Map(Object.entries({ config: "file:/etc/mcrouter.json", ...options }));
  const { server } = nativeConfig();
  const all: Files = { "/etc/mcrouter.json": text, ...files };
  const read = async (name: string): Promise<string> => {
    const found = all[name];
    if (found === undefined) throw Object.assign(new Error(`${name}: ENOENT`), { code: "ENOENT" });
    return found;
  };
  return loadMcrouterConfig(new McrouterOptions(given), server, read);
}

/** What is wrong with it, a line each: `LINE: MESSAGE`. */
export async function treeProblems(
  document: object | string,
  options: Readonly<Record<string, string>> = {},
  files: Files = {},
): Promise<string[]> {
  try {
    await treeConfig(document, options, files);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, message }) => `${line}: ${message}`);
  }
}
