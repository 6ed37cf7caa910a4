/** Loads a configuration from a file, the environment and the command line. */

import { extname } from "node:path";
import type { AccessConfig } from "../config/access-config.ts";
import { addressText, type Config, type ServerConfig } from "../config/config.ts";
import { FilesRead } from "../config/files-read.ts";
import { parseNative } from "../config/native.ts";
import { readFailure } from "../config/read-failure.ts";
import { ConfigError } from "../errors.ts";
import type { ReadText } from "../mcrouter/config/config.ts";
import type { McrouterOptions } from "../mcrouter/config/options.ts";
import { loadWing } from "../observe/mcrouter-wing.ts";
import { sourceTypes } from "../sources/types.ts";

/** The format of a configuration. */
export type ConfigForm = "native" | "mcrouter" | "twemproxy";

/** Sources of a configuration; later sources override earlier ones: file, environment, overrides. */
export interface LoadOptions {
  /** `null` if there is no file: the configuration consists of defaults, environment and overrides. */
  readonly path: string | null;
  /** mcrouter's options. They name the file or contain the configuration; `path` is ignored. */
  readonly mcrouter?: McrouterOptions;
  /** A native file that adds rules, sources and [server] to a mcrouter configuration. */
  readonly rules?: string | null;
  /** Replaces the reader of a mcrouter configuration's files. */
  readonly readFrom?: ReadText;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Full key path ("server.listen") → text in the form of an environment variable. */
  readonly overrides?: Readonly<Record<string, string>>;
  /** Reads the files and keeps their contents. If absent, the contents are not kept. */
  readonly reads?: FilesRead;
  /** The required format. `null` if the content decides. */
  readonly form?: ConfigForm | null;
  /** Called with the format as soon as it is known. */
  readonly onForm?: (form: ConfigForm) => void;
}

/** Loads and checks a configuration. Only rejects with a `ConfigError` that holds all problems. */
export async function loadConfig(given: LoadOptions): Promise<Config> {
  const options = { ...given, reads: given.reads ?? new FilesRead(true) };
  const { path: file, env, overrides = {}, mcrouter, reads } = options;
  if (mcrouter !== undefined) {
    options.onForm?.("mcrouter");
    return loadMcrouter(options, mcrouter);
  }
  const text = file === null ? "" : await readText(file, reads);
  const form = file === null ? "native" : formOf(file, text, options.form ?? null);
  if (file !== null && form !== "native") refuseOwnSettings(file, text, form);
  options.onForm?.(form);
  if (form === "mcrouter") {
    const { McrouterOptions } = await loadWing();
    return loadMcrouter(options, new McrouterOptions(new Map([["config", `file:${file}`]])));
  }
  if (options.rules != null) {
    throw new ConfigError([
      { file: options.rules, line: null, message: "--rules adds to a mcrouter configuration only" },
    ]);
  }
  if (form === "twemproxy") return loadTwemproxy(options, file!, text);
  return withTree(parseNative({ file, text, env, overrides, sourceTypes, reads }));
}

/** Compiles the routes of a native configuration. */
export async function withTree(config: Config): Promise<Config> {
  if (config.routes.length === 0) return config;
  return { ...config, tree: (await loadWing()).treeOfRoutes(config.routes) };
}

/** The format of a file. Throws a `ConfigError` if it is not the expected one. */
function formOf(file: string, text: string, expected: ConfigForm | null): ConfigForm {
  const isBlank = text.split("\n").every((line) => /^\s*(#|---\s*$|$)/.test(line));
  const found = isBlank
    ? (formOfName(file) ?? expected ?? "native")
    : isJson(text)
      ? "mcrouter"
      : isYaml(text)
        ? "twemproxy"
        : "native";
  if (expected === null || expected === found || isBlank) return expected ?? found;
  const names = { native: "Platypus' own TOML", mcrouter: "mcrouter's JSON", twemproxy: "twemproxy's YAML" } as const;
  const message = `expected ${names[expected]}, with which this process was started, found ${names[found]}`;
  throw new ConfigError([{ file, line: null, message }]);
}

/** Sections of Platypus' own format, at the left margin of YAML or as members of the top-level JSON object. */
const OWN_SECTION = /^(?:\s*\{?\s*"(?:server|target|source|get|telemetry)"|(?:server|target|source|get|telemetry))\s*:/;
/** Text in each configuration of mcrouter or twemproxy. */
const THEIRS = /["']?\b(?:pools?|routes?|servers)["']?\s*:/;

/** Throws a `ConfigError` for Platypus' settings in a format other than TOML. */
function refuseOwnSettings(file: string, text: string, form: "mcrouter" | "twemproxy"): void {
  const line = text.split("\n").findIndex((each) => OWN_SECTION.test(each));
  if (line < 0 || THEIRS.test(text.replace(/^\s*"?target\b[\s\S]*?servers/m, ""))) return;
  const format = form === "mcrouter" ? "JSON, which is read as mcrouter's" : "YAML, which is read as twemproxy's";
  const message = `Platypus' own settings are TOML; this is ${format}. Write for example:  [server]  and below it  listen = "127.0.0.1:11211"`;
  throw new ConfigError([{ file, line: line + 1, message }]);
}

/** The format according to the name of an empty file. */
function formOfName(file: string): ConfigForm | null {
  const extension = extname(file).toLowerCase();
  if (extension === ".json") return "mcrouter";
  return extension === ".yml" || extension === ".yaml" ? "twemproxy" : null;
}

/** A mcrouter configuration, with the additions of a native file. */
async function loadMcrouter(
  options: LoadOptions & { readonly reads: FilesRead },
  mcrouter: McrouterOptions,
): Promise<Config> {
  const { env, overrides = {}, rules: file = null, reads } = options;
  const added = parseNative({
    file,
    sourceTypes,
    text: file === null ? "" : await readText(file, reads),
    reads,
    env,
    overrides,

    isAddition: true,
  });
  if (added.pools.length > 0) {
    const message = "[target] and [pool.NAME] conflict with the pools of the mcrouter configuration";
    throw new ConfigError([{ file, line: null, message }]);
  }
  const defaults = withoutDefaultAdmin(added.server);
  const { loadMcrouterConfig } = await loadWing();
  const config = await loadMcrouterConfig(mcrouter, defaults, options.readFrom ?? null, reads);
  const own = added.file === null ? [] : [added.file];
  const { rules, sources, telemetry, access, secrets } = added;
  checkListeners(file, access, config);
  return { ...config, files: [...config.files, ...own, ...added.files], rules, sources, telemetry, access, secrets };
}

/** Next to another configuration, `[listen.NAME]` sets options of its addresses, and adds none. */
function checkListeners(file: string | null, { listeners }: AccessConfig, { server, pools }: Config): void {
  const all = [...server.listen, ...pools.flatMap(({ listen }) => listen)].map(addressText);
  for (const { name, addresses } of listeners) {
    const missing = addresses.map(addressText).find((address) => !all.includes(address));
    if (missing === undefined) continue;
    const message = `listen.${name}.address: ${missing} is not an address of this configuration; it has ${all.join(", ")}`;
    throw new ConfigError([{ file, line: null, message }]);
  }
}

/** True if the text begins like mcrouter's JSON: with a brace, or with a comment that TOML does not have. */
function isJson(text: string): boolean {
  return /^\s*(\{|\/[/*])/.test(text);
}

async function readText(file: string, reads: FilesRead): Promise<string> {
  let content: Uint8Array;
  try {
    content = await reads.bytes(file);
  } catch (error) {
    throw new ConfigError([{ file, line: null, message: readFailure(error) }], { cause: error });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch (error) {
    throw new ConfigError([{ file, line: null, message: "expected UTF-8 text" }], { cause: error });
  }
}

/** True if the first line with content is a mapping or a document start, which TOML does not have. */
function isYaml(text: string): boolean {
  const first = text.split("\n").find((line) => /^\s*[^\s#]/.test(line)) ?? "";
  return /^(---|%YAML|[^\s=[\]"']+:(\s|$))/.test(first);
}

/** Pools of twemproxy's file. All other settings come from the environment and the command line. */
async function loadTwemproxy(options: LoadOptions, file: string, text: string): Promise<Config> {
  const { env, overrides = {} } = options;
  if (overrides["server.listen"] !== undefined) {
    const message = "--listen cannot be used here: the file sets the address of every pool";
    throw new ConfigError([{ file, line: null, message }]);
  }
  const { server, telemetry } = parseNative({ file: null, text: "", env, overrides, sourceTypes, isAddition: true });
  // The YAML parser takes 8 MB of memory that other configurations do not need.
  const { parseTwemproxy } = await import("../config/dialects/twemproxy.ts");
  return { ...parseTwemproxy({ file, text, server: withoutDefaultAdmin(server) }), telemetry };
}

/** A replacement for another program does not listen on addresses that the other program would not use. */
function withoutDefaultAdmin(server: ServerConfig): ServerConfig {
  return server.admin?.isDefault ? { ...server, admin: null } : server;
}
