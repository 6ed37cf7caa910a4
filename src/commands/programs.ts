/**
 * Reads the command line of the program whose name Platypus was started under. Under the name of mcrouter or nutcracker
 * (twemproxy), Platypus accepts that program's command line, so that a migration only replaces the program's file.
 *
 * Source: twemproxy's `nutcracker --help`, version 0.5.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { UsageError } from "../errors.ts";
import { isExecutable } from "../packaged.ts";

/** twemproxy's default for its configuration file. */
const NUTCRACKER_FILE = "conf/nutcracker.yml";

const nutcrackerOptions = {
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "V" },
  "test-conf": { type: "boolean", short: "t" },
  daemonize: { type: "boolean", short: "d" },
  "describe-stats": { type: "boolean", short: "D" },
  verbose: { type: "string", short: "v" },
  output: { type: "string", short: "o" },
  "conf-file": { type: "string", short: "c" },
  "stats-port": { type: "string", short: "s" },
  "stats-addr": { type: "string", short: "a" },
  "stats-interval": { type: "string", short: "i" },
  "pid-file": { type: "string", short: "p" },
  "mbuf-size": { type: "string", short: "m" },
} as const;

/** Options without effect, and their replacement. */
const withoutEffect: Readonly<Partial<Record<keyof typeof nutcrackerOptions, string>>> = {
  output: "the log goes to the standard error stream",
  "stats-interval": "statistics are counted when they are asked for",
  "mbuf-size": "buffers grow as they are needed",
};

/** A command line of another program, translated. */
export interface Translated {
  /** The command line of Platypus. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Notes for the user, one per line. */
  readonly notes: readonly string[];
  /** Path of the PID file. `null` if absent. */
  readonly pidFile: string | null;
}

/**
 * The command line to run. If the program's name requires it, sets variables, prints options without effect, and writes
 * a PID file.
 */
export function ownArguments(args: readonly string[]): readonly string[] {
  const name = basename((isExecutable ? process.argv0 : process.argv[1]) ?? "");
  if (name === "mcrouter" && args.length === 0) {
    throw new UsageError("mcrouter takes a port and a configuration: mcrouter -p 11211 -f mcrouter.json");
  }
  if (name !== "nutcracker") return args;
  const { args: own, env, notes, pidFile } = translateNutcracker(args);
  for (const [variable, value] of Object.entries(env)) process.env[variable] ??= value;
  for (const note of notes) process.stderr.write(`nutcracker: ${note}\n`);
  if (pidFile !== null) writeFileSync(pidFile, `${process.pid}\n`);
  return own;
}

/** Throws a UsageError for an option that twemproxy does not have, and for `--daemonize`. */
export function translateNutcracker(args: readonly string[]): Translated {
  const { values } = parse(args);
  const nothing = { env: {}, notes: [], pidFile: null };
  if (values.help) return { ...nothing, args: ["--help"] };
  if (values.version) return { ...nothing, args: ["--version"] };
  const file = values["conf-file"] ?? NUTCRACKER_FILE;
  if (values["test-conf"]) return { ...nothing, args: ["check", file] };
  if (values.daemonize) {
    throw new UsageError(
      "-d: Platypus stays in the foreground; start it from systemd, or with setsid and a redirection",
    );
  }
  if (values["describe-stats"]) {
    throw new UsageError("-D: docs/migrating/twemproxy.md describes the statistics");
  }
  const notes = Object.entries(withoutEffect).flatMap(([option, reason]) =>
    Object.hasOwn(values, option) ? [`--${option} has no effect: ${reason}`] : [],
  );
  return {
    args: ["serve", "--config", file],
    env: {
      PLATYPUS_SERVER_LOG_LEVEL: levelOf(values.verbose),
      PLATYPUS_SERVER_TWEMPROXY_STATS: statisticsOf(values["stats-addr"], values["stats-port"]),
    },
    notes,
    pidFile: values["pid-file"] ?? null,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: nutcrackerOptions, allowPositionals: false, strict: true });
  } catch (error) {
    throw new UsageError((error as Error).message.replaceAll("\n", " "));
  }
}

/** The address of the statistics. Its defaults are twemproxy's. */
function statisticsOf(host = "0.0.0.0", port = "22222"): string {
  if (!(Number(port) > 0 && Number(port) <= 65_535)) {
    throw new UsageError(`-s: expected a port from 1 to 65535, got ${JSON.stringify(port)}`);
  }
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** twemproxy's levels go from 0 (emergency) over 4 (warning), 5 (notice, the default) and 6 (information) to 11. */
function levelOf(verbosity: string | undefined): string {
  const level = Number(verbosity ?? 5);
  if (!(level >= 0)) throw new UsageError(`-v: expected a number from 0 to 11, got ${JSON.stringify(verbosity)}`);
  return level < 4 ? "error" : level === 4 ? "warn" : level <= 6 ? "info" : "debug";
}
