/**
 * A command line that runs Platypus → the source of its configuration. It distinguishes Platypus' options from
 * mcrouter's:
 *
 *     platypus --config platypus.toml --listen 127.0.0.1:11211        Platypus'
 *     platypus -p 5000 -f /etc/mcrouter.json                          mcrouter's
 *     platypus --config file:/etc/mcrouter.json --port=5000           mcrouter's
 *     platypus --config mcrouter.json                                 the file's content shows that it is mcrouter's
 *
 * Both forms support --rules FILE.
 */

import { existsSync, readFileSync, statSync } from "node:fs";
import { suggestion } from "../config/nearest-name.ts";
import { UsageError } from "../errors.ts";
import type { McrouterOptions } from "../mcrouter/config/options.ts";
import { loadWing } from "../observe/mcrouter-wing.ts";
import type { LoadOptions } from "../server/load-config.ts";
import { parseOptions } from "./options.ts";

/** Subcommands: valid first words. */
export const COMMANDS = [
  "serve",
  "init",
  "check",
  "explain",
  "simulate",
  "top",
  "refresh",
  "forget",
  "drain",
  "undrain",
  "breaker",
  "log-level",
  "replay-asynclog",
  "completion",
] as const;

/** The parsed command line. */
export interface Invocation {
  /** Options for `loadConfig`, in addition to the environment. */
  readonly load: Pick<LoadOptions, "path" | "mcrouter" | "rules" | "overrides">;
  /** The file to watch. `null` if absent. */
  readonly file: string | null;
  /** `null` if the command line is not mcrouter's. */
  readonly mcrouter: McrouterInvocation | null;
}

export interface McrouterInvocation {
  readonly options: McrouterOptions;
  /** Notes about options that are unknown or have no effect. */
  readonly notes: readonly string[];
  readonly wants: "run" | "help" | "version" | "validate";
}

/** Parses the command line of `serve`. Rejects with a UsageError. */
export async function readInvocation(args: readonly string[]): Promise<Invocation> {
  const config = optionOf(args, "config");
  const isOfMcrouter = config !== null && /^(file:|\s*\{)/.test(config);
  const isMcrouter = isOfMcrouter || (await isMcrouterLine(args)) || isFlavor(args.find((arg) => !arg.startsWith("-")));
  return isMcrouter ? readMcrouter(args) : readNative(args);
}

/** True for a file with mcrouter options. */
function isFlavor(word: string | undefined): boolean {
  if (word === undefined || !existsSync(word) || !statSync(word).isFile()) return false;
  return /"(?:standalone_|libmcrouter_)?options"\s*:/.test(readFileSync(word, "utf8"));
}

/** True if only mcrouter's options explain the command line. */
export async function isMcrouterLine(args: readonly string[]): Promise<boolean> {
  // Platypus' options are recognized without mcrouter's parser.
  if (!args.some((arg) => arg.startsWith("-") && !/^--(config|listen|rules)(=|$)/.test(arg))) return false;
  return (await loadWing()).isMcrouterCommandLine(args);
}

async function readMcrouter(args: readonly string[]): Promise<Invocation> {
  const { configFileOf, McrouterOptions, parseMcrouterArguments, readFlavor } = await loadWing();
  const rules = optionOf(args, "rules");
  const { given: own, words, notes: ownNotes, wants } = parseMcrouterArguments(without(args, "rules"));
  const [file, ...others] = words;
  if (others.length > 0) throw new UsageError(`expected one flavor, got ${words.join(" ")}`);
  const flavor = file === undefined ? null : await readFlavor(file);
  const given = new Map([...(flavor?.given ?? []), ...own]);
  const notes = [...(flavor?.notes ?? []), ...ownNotes];
  checkAddress(given, wants, rules);
  // A plain path is valid too.
  const config = given.get("config");
  const isPath = config !== undefined && !/^(file:|\s*\{)/.test(config);
  const options = new McrouterOptions(isPath ? new Map([...given, ["config", `file:${config}`]]) : given);
  const mcrouter = { options, notes, wants };
  return { load: { path: null, mcrouter: options, rules }, file: configFileOf(options), mcrouter };
}

/** mcrouter's options for addresses. */
const addressOptions = ["ports", "ssl_ports", "unix_domain_sock", "listen_sock_fd"] as const;

/** As mcrouter does, refuses to start without an address, unless a file of rules may have one. */
function checkAddress(
  given: ReadonlyMap<string, string>,
  wants: McrouterInvocation["wants"],
  rules: string | null,
): void {
  const isListening = addressOptions.some((name) => (given.get(name) ?? "") !== "");
  // A plain `--config FILE` is Platypus' form.
  if (wants !== "run" || rules !== null || isListening || [...given.keys()].every((name) => name === "config")) return;
  throw new UsageError("invalid ports: give --port (-p), --ssl-port, --unix-domain-sock or --listen-sock-fd");
}

function readNative(args: readonly string[]): Invocation {
  const { values, positionals } = parseOptions(args, {
    config: { type: "string" },
    listen: { type: "string", multiple: true },
    rules: { type: "string" },
  });
  const [word] = positionals;
  if (word !== undefined) throw new UsageError(unexpected(word));
  const overrides = values.listen === undefined ? {} : { "server.listen": values.listen.join(",") };
  const path = values.config ?? null;
  return { load: { path, rules: values.rules ?? null, overrides }, file: path, mcrouter: null };
}

function unexpected(word: string): string {
  if (/[./]/.test(word)) return `a configuration is given by --config: platypus --config ${word}`;
  return `there is no command ${word}${suggestion(word, COMMANDS) || `; there are ${COMMANDS.join(", ")}`}`;
}

/** The value of `--NAME VALUE` or `--NAME=VALUE`. `null` if the option is absent. */
function optionOf(args: readonly string[], name: string): string | null {
  const at = args.findIndex((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
  if (at < 0) return null;
  const arg = args[at]!;
  return arg === `--${name}` ? (args[at + 1] ?? "") : arg.slice(`--${name}=`.length);
}

function without(args: readonly string[], name: string): readonly string[] {
  const at = args.findIndex((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
  if (at < 0) return args;
  return args.filter((_, index) => index !== at && !(args[at] === `--${name}` && index === at + 1));
}
