/** Configuration from a file, the environment and the command line; and how to tell whether the file is another one. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ConfigError } from "../errors.ts";
import type { Config, ServerConfig } from "./config.ts";
import { loadMcrouterConfig, type ReadText } from "./mcrouter/config.ts";
import { McrouterOptions } from "./mcrouter/options.ts";
import { parseNative } from "./native.ts";
import type { NativeHooks } from "./native-source.ts";
import { readFailure } from "./read-failure.ts";

/** Where a configuration comes from, later over earlier: file, environment, overrides. */
export interface LoadOptions {
  /** Null: no file; defaults, environment and overrides make the configuration. */
  readonly path: string | null;
  /** mcrouter's options, which name the file themselves, or hold the configuration; `path` is not looked at. */
  readonly mcrouter?: McrouterOptions;
  /** A native file that adds rules, sources and [server] to a mcrouter configuration. */
  readonly rules?: string | null;
  /** Where the files of a mcrouter configuration are read from instead. */
  readonly readFrom?: ReadText;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Full key path ("server.listen") to text in the form the environment takes. */
  readonly overrides?: Readonly<Record<string, string>>;
  readonly hooks: NativeHooks;
}

/** Reads and checks a configuration. Rejects with a `ConfigError` that holds every problem; nothing else. */
export async function loadConfig(options: LoadOptions): Promise<Config> {
  const { path: file, env, overrides = {}, hooks, mcrouter } = options;
  if (mcrouter !== undefined) return loadMcrouter(options, mcrouter);
  const text = file === null ? "" : await readText(file);
  if (file !== null && isJson(text)) {
    return loadMcrouter(options, new McrouterOptions(new Map([["config", `file:${file}`]])));
  }
  if (options.rules != null) {
    throw new ConfigError([
      { file: options.rules, line: null, message: "--rules adds to a mcrouter configuration only" },
    ]);
  }
  if (file !== null && isYaml(text)) return loadTwemproxy(options, file, text);
  return parseNative({ file, text, env, overrides, hooks });
}

/** A mcrouter configuration, with what a native file adds to it. */
async function loadMcrouter(options: LoadOptions, mcrouter: McrouterOptions): Promise<Config> {
  const { env, overrides = {}, hooks, rules: file = null } = options;
  const added = parseNative({
    file,
    text: file === null ? "" : await readText(file),
    env,
    overrides,
    hooks,
    isAddition: true,
  });
  if (added.pools.length > 0) {
    const message = "[target] and [pool.NAME] stand beside a mcrouter configuration, which has pools of its own";
    throw new ConfigError([{ file, line: null, message }]);
  }
  const config = await loadMcrouterConfig(mcrouter, withoutDefaultAdmin(added.server), options.readFrom ?? null);
  const own = added.file === null ? [] : [added.file];
  const { rules, sources, telemetry, secrets } = added;
  return { ...config, files: [...config.files, ...own, ...added.files], rules, sources, telemetry, secrets };
}

/** A mcrouter configuration begins with a brace, or with a comment that TOML does not have. */
function isJson(text: string): boolean {
  return /^\s*(\{|\/[/*])/.test(text);
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

/** The first line that says something is a mapping or the beginning of a document, which TOML does not have. */
function isYaml(text: string): boolean {
  const first = text.split("\n").find((line) => /^\s*[^\s#]/.test(line)) ?? "";
  return /^(---|%YAML|[^\s=[\]"']+:(\s|$))/.test(first);
}

/** Pools of twemproxy's file; everything else comes from the environment and the command line. */
async function loadTwemproxy(options: LoadOptions, file: string, text: string): Promise<Config> {
  const { env, overrides = {}, hooks } = options;
  if (overrides["server.listen"] !== undefined) {
    const message = "--listen has no place here: every pool listens where the file says";
    throw new ConfigError([{ file, line: null, message }]);
  }
  const { server, telemetry } = parseNative({ file: null, text: "", env, overrides, hooks, isAddition: true });
  // A parser of YAML is 8 MB of memory that nobody else needs.
  const { parseTwemproxy } = await import("./twemproxy.ts");
  return { ...parseTwemproxy({ file, text, server: withoutDefaultAdmin(server) }), telemetry };
}

/** What takes another program's place takes no address that it would not take. */
function withoutDefaultAdmin(server: ServerConfig): ServerConfig {
  return server.admin?.isDefault ? { ...server, admin: null } : server;
}
