/**
 * Selects the subcommand. The first word is a subcommand only if it is a known name.
 */
import { styleText } from "node:util";
import { ConfigError, PlatypusError, UsageError } from "../errors.ts";
import { packageVersion } from "../version.ts";
import { COMMANDS, isMcrouterLine } from "./invocation.ts";
import { ownArguments } from "./programs.ts";

const HELP = `Platypus ${packageVersion}: a memcached proxy that fills its own misses

  platypus                         run the quickstart: an in-process store and three example sources
  platypus --config FILE           run with a configuration
  platypus init                    write a starter configuration: for a pool, Rails, mcrouter or twemproxy
  platypus check FILE              list the errors of a configuration, without running it
  platypus explain KEY --config FILE
                                   show a key's server, rule, source call and times; --fetch calls the source
  platypus simulate FILE           predict the calls of a rule's source, with and without refreshes
  platypus top                     show a live view of a running Platypus
  platypus refresh PATTERN         fetch tracked keys again now
  platypus forget PATTERN          delete tracked keys from the pool
  platypus drain SERVER            take a memcached server out of use
  platypus undrain SERVER          use the server again
  platypus breaker close SOURCE    close the circuit breaker of a source
  platypus log-level LEVEL         change the level of the log
  platypus replay-asynclog FOLDER  repeat the deletes that were kept while a server was down
  platypus completion SHELL        print a script for bash or zsh that completes commands, options and files
  platypus -p PORT -f FILE         run with mcrouter's options and configuration

  --config FILE        TOML (docs/configuration.md lists every setting), mcrouter's JSON, or twemproxy's YAML
  --rules FILE         TOML with rules and sources to add to a mcrouter configuration
  --listen ADDRESS     host:port or unix:PATH instead of [server] listen; may be repeated
  --version, --help    also of each command: platypus check --help

Every setting can also be given as an environment variable, such as PLATYPUS_SERVER_LISTEN.

  SIGTERM, SIGINT      answer the requests that were read, then exit with 0; a second signal exits at once
  SIGHUP               reload the configuration (a changed file is also reloaded without it)

Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration. With mcrouter's options: 2
if a retry may help (an address in use, a missing file), 3 if not (wrong options, an unusable configuration).
`;

interface Command {
  readonly help: string;
  run(args: readonly string[]): Promise<void>;
}

/** Each subcommand is loaded on demand. */
const commands: Readonly<Record<(typeof COMMANDS)[number], () => Promise<Command>>> = {
  serve: async () => {
    const { SERVE_HELP: help, serve: run } = await import("./serve.ts");
    return { help, run };
  },
  init: async () => {
    const { INIT_HELP: help, init: run } = await import("./init.ts");
    return { help, run };
  },
  check: async () => {
    const { CHECK_HELP: help, check: run } = await import("./check.ts");
    return { help, run };
  },
  explain: async () => {
    const { EXPLAIN_HELP: help, explain: run } = await import("./explain.ts");
    return { help, run };
  },
  simulate: async () => {
    const { SIMULATE_HELP: help, simulate: run } = await import("./simulate.ts");
    return { help, run };
  },
  top: async () => {
    const { TOP_HELP: help, top: run } = await import("./top.ts");
    return { help, run };
  },
  refresh: () => control("REFRESH_HELP", "refresh"),
  forget: () => control("FORGET_HELP", "forget"),
  drain: () => control("DRAIN_HELP", "drain"),
  undrain: () => control("UNDRAIN_HELP", "undrain"),
  breaker: () => control("BREAKER_HELP", "breaker"),
  "log-level": () => control("LOG_LEVEL_HELP", "logLevel"),
  "replay-asynclog": async () => {
    const { REPLAY_HELP: help, replayAsyncLog: run } = await import("./replay-asynclog.ts");
    return { help, run };
  },
  completion: async () => {
    const { COMPLETION_HELP: help, completion } = await import("./completion.ts");
    return { help, run: async (args) => completion(args, await helpsOfAll()) };
  },
};

type ControlModule = typeof import("./control.ts");

async function control<Help extends keyof ControlModule, Run extends keyof ControlModule>(
  help: Help,
  run: Run,
): Promise<Command> {
  const module = await import("./control.ts");
  // The names are of a help and of a command.
  return { help: module[help] as string, run: module[run] as Command["run"] };
}

async function helpsOfAll(): Promise<ReadonlyMap<string, string>> {
  const entries = COMMANDS.map(async (name) => [name, (await commands[name]()).help] as const);
  return new Map(await Promise.all(entries));
}

/** Runs the command line; sets the exit code instead of throwing. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await dispatch(ownArguments(args));
  } catch (error) {
    process.exitCode = await exitCodeOf(error, args);
    if (error instanceof ConfigError) {
      const { length } = error.problems;
      process.stderr.write(
        `${error.message}\n${red(`${length} problem${length === 1 ? "" : "s"} found`)}; nothing was started\n`,
      );
    } else if (error instanceof PlatypusError) {
      process.stderr.write(`${red("platypus:")} ${error.message}\n`);
      const command = COMMANDS.find((each) => each === args[0]);
      const help = command === undefined ? "platypus --help" : `platypus ${command} --help`;
      if (error instanceof UsageError) process.stderr.write(`${help} lists what there is\n`);
    } else {
      process.stderr.write(`${red("platypus:")} ${error instanceof Error ? error.stack : String(error)}\n`);
    }
  }
}

/** Red on a terminal, unless $NO_COLOR is set. */
function red(text: string): string {
  return styleText("red", text, { stream: process.stderr });
}

async function exitCodeOf(error: unknown, args: readonly string[]): Promise<number> {
  const isPermanent = error instanceof ConfigError || error instanceof UsageError;
  if (!(await isMcrouterLine(args))) return isPermanent ? 2 : 1;
  // An unreadable file may be readable at the next attempt.
  const isUnreadable = error instanceof ConfigError && error.problems.every(({ line }) => line === null);
  return isPermanent && !isUnreadable ? 3 : 2;
}

async function dispatch(args: readonly string[]): Promise<void> {
  const [first, ...rest] = args;
  const command = await commandOf(args);
  if (args.includes("--help") || args.includes("-h")) return print(command?.help ?? HELP);
  if (args.includes("--version") || args.includes("-V")) return print(`platypus ${packageVersion}\n`);
  if (first === "help") return print((await commandOf(rest))?.help ?? HELP);
  return command === undefined ? (await commands.serve()).run(args) : command.run(rest);
}

async function commandOf([first]: readonly string[]): Promise<Command | undefined> {
  const name = COMMANDS.find((each) => each === first);
  return name === undefined ? undefined : commands[name]();
}

async function print(text: string): Promise<void> {
  process.stdout.write(text);
}
