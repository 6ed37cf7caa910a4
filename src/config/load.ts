/** Configuration from a file, the environment and the command line; and how to tell whether the file is another one. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ConfigError } from "../errors.ts";
import type { Config } from "./config.ts";
import { parseNative } from "./native.ts";
import type { NativeHooks } from "./native-source.ts";
import { readFailure } from "./read-failure.ts";

/** Where a configuration comes from, later over earlier: file, environment, overrides. */
export interface LoadOptions {
  /** Null: no file; defaults, environment and overrides make the configuration. */
  readonly path: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Full key path ("server.listen") to text in the form the environment takes. */
  readonly overrides?: Readonly<Record<string, string>>;
  readonly hooks: NativeHooks;
}

/** Reads and checks a configuration. Rejects with a `ConfigError` that holds every problem; nothing else. */
export async function loadConfig(options: LoadOptions): Promise<Config> {
  const { path: file, env, overrides = {}, hooks } = options;
  const text = file === null ? "" : await readText(file);
  if (file !== null) refuseOtherForms(file, text);
  return parseNative({ file, text, env, overrides, hooks });
}

/** Equal for equal bytes: SHA-256 in hexadecimal. */
export function configDigest(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

async function readText(file: string): Promise<string> {
  let content: Uint8Array;
  try {
    content = await readFile(file);
  } catch (error) {
    throw new ConfigError([{ file, line: null, message: readFailure(error) }], { cause: error });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch (error) {
    throw new ConfigError([{ file, line: null, message: "expected UTF-8 text" }], { cause: error });
  }
}

/** mcrouter's JSON and twemproxy's YAML; neither can begin a TOML document. */
function refuseOtherForms(file: string, text: string): void {
  const lines = text.split("\n");
  const index = lines.findIndex((line) => /^\s*[^\s#]/.test(line));
  const first = lines[index] ?? "";
  const form = /^\s*(\{|\/[/*])/.test(first)
    ? "JSON; mcrouter configurations are"
    : /^(---|[\w-]+:(\s|$))/.test(first)
      ? "YAML; twemproxy configurations are"
      : null;
  if (form === null) return;
  const message = `expected TOML, found what looks like ${form} not supported in this version`;
  throw new ConfigError([{ file, line: index + 1, message }]);
}
