/**
 * Chooses the subcommand. The first word is one only if it is one of ours.
 */
import { ConfigError, PlatypusError, UsageError } from "../errors.ts";
import { packageVersion } from "../version.ts";
import { check } from "./check.ts";
import { explain } from "./explain.ts";
import { serve } from "./serve.ts";
import { SIMULATE_HELP, simulate } from "./simulate.ts";

const HELP = `Platypus ${packageVersion}: a memcached proxy that fills its own misses

  platypus                         run the quickstart: an in-process store and three example sources
  platypus --config FILE           run with a configuration
  platypus check FILE              say everything that is wrong with a configuration, and run nothing
  platypus explain KEY --config FILE
                                   a key's server, rule, source call and times; --fetch asks its source
  platypus simulate FILE           what a fleet would ask of a rule's source, with and without refresh

  --config FILE        TOML; docs/configuration.md lists every setting
  --listen ADDRESS     host:port or unix:PATH instead of [server] listen; may be repeated
  --version, --help

Every setting can also be given as an environment variable, such as PLATYPUS_SERVER_LISTEN.

  SIGTERM, SIGINT      answer what was read, then exit 0; a second one exits at once
  SIGHUP               read the configuration again (a changed file is noticed by itself)

Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration.
`;

/** Runs the command line; sets the exit code instead of throwing. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await dispatch(args);
  } catch (error) {
    process.exitCode = error instanceof ConfigError || error instanceof UsageError ? 2 : 1;
    if (error instanceof ConfigError) {
      const { length } = error.problems;
      process.stderr.write(
        `${error.message}\n${length} problem${length === 1 ? "" : "s"} found; nothing was started\n`,
      );
    } else if (error instanceof PlatypusError) {
      process.stderr.write(`platypus: ${error.message}\n`);
      if (error instanceof UsageError) process.stderr.write("platypus --help lists what there is\n");
    } else {
      process.stderr.write(`platypus: ${error instanceof Error ? error.stack : String(error)}\n`);
    }
  }
}

function dispatch(args: readonly string[]): Promise<void> {
  if (args[0] === "simulate" && (args.includes("--help") || args.includes("-h"))) return print(SIMULATE_HELP);
  if (args.includes("--help") || args.includes("-h")) return print(HELP);
  if (args.includes("--version") || args.includes("-V")) return print(`platypus ${packageVersion}\n`);
  const [first, ...rest] = args;
  if (first === "check") return check(rest);
  if (first === "explain") return explain(rest);
  if (first === "simulate") return simulate(rest);
  if (first === "serve") return serve(rest);
  return serve(args);
}

async function print(text: string): Promise<void> {
  process.stdout.write(text);
}
