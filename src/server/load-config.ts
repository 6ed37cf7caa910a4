/** Configuration from a file, the environment and the command line. */

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

/** Whose form a configuration has. */
export type ConfigForm = "native" | "mcrouter" | "twemproxy";

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
  /** Reads the files, and remembers them; without it they are only read. */
  readonly reads?: FilesRead;
  /** The form that the configuration must have. `null` if its content tells. */
  readonly form?: ConfigForm | null;
  /** Called with the form, once it is known. */
  readonly onForm?: (form: ConfigForm) => void;
}

/** Reads and checks a configuration. Rejects with a `ConfigError` that holds every problem; nothing else. */
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
  return parseNative({ file, text, env, overrides, sourceTypes, reads });
}

/** The form of a file. Throws a `ConfigError` if it is not the expected one. */
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

/** Sections of Platypus' own file, at the left margin of YAML or as members of the outermost object of JSON. */
const OWN_SECTION = /^(?:\s*\{?\s*"(?:server|target|source|get|telemetry)"|(?:server|target|source|get|telemetry))\s*:/;
/** What every configuration of mcrouter or twemproxy has. */
const THEIRS = /["']?\b(?:pools?|routes?|servers)["']?\s*:/;

/** Throws a `ConfigError` for Platypus' own settings in another format than TOML. */
function refuseOwnSettings(file: string, text: string, form: "mcrouter" | "twemproxy"): void {
  const line = text.split("\n").findIndex((each) => OWN_SECTION.test(each));
  if (line < 0 || THEIRS.test(text.replace(/^\s*"?target\b[\s\S]*?servers/m, ""))) return;
  const format = form === "mcrouter" ? "JSON, which is read as mcrouter's" : "YAML, which is read as twemproxy's";
  const message = `Platypus' own settings are TOML; this is ${format}. Write for example:  [server]  and below it  listen = "127.0.0.1:11211"`;
  throw new ConfigError([{ file, line: line + 1, message }]);
}

/** What the name of an empty file says. */
function formOfName(file: string): ConfigForm | null {
  const extension = extname(file).toLowerCase();
  if (extension === ".json") return "mcrouter";
  return extension === ".yml" || extension === ".yaml" ? "twemproxy" : null;
}

/** A mcrouter configuration, with what a native file adds to it. */
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
    const message = "[target] and [pool.NAME] stand beside a mcrouter configuration, which has pools of its own";
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

/** `[listen.NAME]` beside another configuration has options of its addresses, and adds none. */
function checkListeners(file: string | null, { listeners }: AccessConfig, { server, pools }: Config): void {
  const all = [...server.listen, ...pools.flatMap(({ listen }) => listen)].map(addressText);
  for (const { name, addresses } of listeners) {
    const missing = addresses.map(addressText).find((address) => !all.includes(address));
    if (missing === undefined) continue;
    const message = `listen.${name}.address: ${missing} is not an address of this configuration; it has ${all.join(", ")}`;
    throw new ConfigError([{ file, line: null, message }]);
  }
}

/** A mcrouter configuration begins with a brace, or with a comment that TOML does not have. */
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

/** The first line that says something is a mapping or the beginning of a document, which TOML does not have. */
function isYaml(text: string): boolean {
  const first = text.split("\n").find((line) => /^\s*[^\s#]/.test(line)) ?? "";
  return /^(---|%YAML|[^\s=[\]"']+:(\s|$))/.test(first);
}

/** Pools of twemproxy's file; everything else comes from the environment and the command line. */
async function loadTwemproxy(options: LoadOptions, file: string, text: string): Promise<Config> {
  const { env, overrides = {} } = options;
  if (overrides["server.listen"] !== undefined) {
    const message = "--listen has no place here: every pool listens where the file says";
    throw new ConfigError([{ file, line: null, message }]);
  }
  const { server, telemetry } = parseNative({ file: null, text: "", env, overrides, sourceTypes, isAddition: true });
  // A parser of YAML is 8 MB of memory that nobody else needs.
  const { parseTwemproxy } = await import("../config/dialects/twemproxy.ts");
  return { ...parseTwemproxy({ file, text, server: withoutDefaultAdmin(server) }), telemetry };
}

/** What takes another program's place takes no address that it would not take. */
function withoutDefaultAdmin(server: ServerConfig): ServerConfig {
  return server.admin?.isDefault ? { ...server, admin: null } : server;
}
