/**
 * mcrouter's command line → its options. The syntax is that of getopt: `--name value`, `--name=value`, unambiguous
 * prefixes of names, grouped short options, and `--` as the end. As in mcrouter, an unknown option is reported and
 * ignored.
 *
 * Source: mcrouter StandaloneUtils.cpp; getopt_long(3).
 */
import { availableParallelism } from "node:os";
import { UsageError } from "../../errors.ts";
import { parseConfigParams } from "./global-params.ts";
import { type OptionRow, optionRows } from "./option-table.ts";

/** The parsed command line. */
export interface McrouterArguments {
  /** The given options: text by internal name. */
  readonly given: ReadonlyMap<string, string>;
  /** Words that are not options: mcrouter's flavor. */
  readonly words: readonly string[];
  /** Notes about unknown options and options without effect. */
  readonly notes: readonly string[];
  readonly wants: "run" | "help" | "version" | "validate";
}

/** Placeholder for the number of cores. */
const CPU_CORES = "%CPU_CORES%";

/** Names that mcrouter accepts and that have no row. */
const bareNames = ["help", "version", "gets", "skip-sanity-checks"] as const;

/** Parses a command line without the program's name. Throws a UsageError if an option lacks its value. */
export function parseMcrouterArguments(args: readonly string[]): McrouterArguments {
  const given = new Map<string, string>();
  const words: string[] = [];
  const notes: string[] = [];
  let wants: McrouterArguments["wants"] = "run";
  const set = (row: OptionRow, text: string) => {
    given.set(row.name, text);
    if (row.effect === "none") notes.push(`--${row.long} is accepted and has no effect in Platypus`);
  };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      words.push(...args.slice(i + 1));
      break;
    }
    if (arg.startsWith("--")) {
      const equals = arg.indexOf("=");
      const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
      const value = equals < 0 ? null : arg.slice(equals + 1);
      const found = longOption(name);
      if (found === null) {
        notes.push(`unknown option ${arg}, left out`);
      } else if (found === "help" || found === "version") {
        wants = found;
      } else if (typeof found !== "string") {
        if (found.name === "validate_config") {
          if (value === null || value === "exit") wants = "validate";
          else if (value !== "run") notes.push(`--validate-config: expected exit or run, got ${JSON.stringify(value)}`);
          given.set(found.name, value ?? "exit");
        } else if (found.kind === "toggle") {
          set(found, value ?? switched(found));
        } else {
          const text = value ?? args[++i];
          if (text === undefined) throw new UsageError(`--${found.long} needs a value`);
          set(found, text);
        }
      }
    } else if (arg.startsWith("-") && arg !== "-") {
      i = shortOptions(arg, args, i, set, notes, (what) => {
        wants = what;
      });
    } else {
      words.push(arg);
    }
  }
  return { given, words, notes, wants };
}

/** Reads one word of short options. Returns the position of the last word that it consumed. */
function shortOptions(
  arg: string,
  args: readonly string[],
  index: number,
  set: (row: OptionRow, text: string) => void,
  notes: string[],
  want: (what: "help" | "version") => void,
): number {
  for (let at = 1; at < arg.length; at++) {
    const letter = arg[at]!;
    if (letter === "h" || letter === "V") {
      want(letter === "h" ? "help" : "version");
      continue;
    }
    const row = optionRows.find(({ short }) => short === letter);
    if (row === undefined) {
      notes.push(`unknown option -${letter}, left out`);
      continue;
    }
    const rest = arg.slice(at + 1);
    if (row.kind === "toggle") {
      set(row, switched(row));
      continue;
    }
    const text = rest === "" ? args[index + 1] : rest;
    if (text === undefined) throw new UsageError(`-${letter} needs a value`);
    set(row, text);
    return rest === "" ? index + 1 : index;
  }
  return index;
}

/** Other names of options: newer command lines have "no" in place of "disable". */
const aliases: Readonly<Record<string, string>> = {
  "no-miss-on-get-errors": "disable-miss-on-get-errors",
  "no-miss-on-arith-errors": "disable-miss-on-arith-errors",
};

function longOption(given: string): OptionRow | string | null {
  const name = aliases[given] ?? given;
  const exact = optionRows.find(({ long }) => long === name && long !== "");
  if (exact !== undefined) return exact;
  if ((bareNames as readonly string[]).includes(name)) return name;
  const fitting = [
    ...optionRows.filter(({ long }) => long !== "" && long.startsWith(name)),
    ...bareNames.filter((bare) => bare.startsWith(name)),
  ];
  return fitting.length === 1 ? fitting[0]! : null;
}

/** The value of a toggle that is given without a value: the opposite of its default. */
function switched(row: OptionRow): string {
  return row.default === "true" ? "0" : "1";
}

/** The option values, including defaults. */
export class McrouterOptions {
  private readonly given: ReadonlyMap<string, string>;
  private readonly problems: string[] = [];

  constructor(given: ReadonlyMap<string, string>) {
    this.given = given;
  }

  isGiven(name: string): boolean {
    return this.given.has(name);
  }

  text(name: string): string {
    const text = this.given.get(name) ?? rowOf(name).default;
    return text === CPU_CORES ? String(availableParallelism()) : text;
  }

  /** "" counts as absent. */
  optionalText(name: string): string | null {
    const text = this.text(name);
    return text === "" ? null : text;
  }

  toggle(name: string): boolean {
    const text = this.text(name);
    if (text === "1" || text === "true" || text === "yes" || text === "on") return true;
    if (text !== "0" && text !== "false" && text !== "no" && text !== "off") {
      this.complain(name, `expected 1, 0, true or false, got ${JSON.stringify(text)}`);
    }
    return false;
  }

  integer(name: string, min = 0): number {
    const text = this.text(name);
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min) return value;
    this.complain(name, `expected a whole number from ${min} on, got ${JSON.stringify(text)}`);
    return Number(rowOf(name).default);
  }

  list(name: string): readonly string[] {
    const text = this.text(name);
    return text === "" ? [] : text.split(",").map((each) => each.trim());
  }

  /** Parameters of `--config-params`; those of `--additional-config-params` override them. */
  configParams(): Map<string, string> {
    try {
      return new Map([
        ...parseConfigParams(this.text("config_params")),
        ...parseConfigParams(this.text("additional_config_params")),
      ]);
    } catch (error) {
      this.problems.push((error as Error).message);
      return new Map();
    }
  }

  /** Throws a UsageError with all problems of the options that were read. */
  end(): void {
    if (this.problems.length > 0) throw new UsageError(this.problems.join("\n"));
  }

  /** Clears the problems: each reload reads the options again, and a file may be corrected meanwhile. */
  begin(): void {
    this.problems.length = 0;
  }

  complain(name: string, message: string): void {
    const { long } = rowOf(name);
    const problem = `--${long}: ${message}`;
    if (!this.problems.includes(problem)) this.problems.push(problem);
  }

  /** All options as `get __mcrouter__.options` shows them. */
  all(): Map<string, string> {
    return new Map(
      optionRows.map(({ name, kind }) => [
        name,
        kind === "toggle" ? String(Number(this.toggle(name))) : this.text(name),
      ]),
    );
  }
}

const rowsByName = new Map(optionRows.map((row) => [row.name, row]));

function rowOf(name: string): OptionRow {
  const row = rowsByName.get(name);
  if (row === undefined) throw new Error(`no option ${name}`);
  return row;
}

/** A command line with one of these options is mcrouter's. */
const telling = new Set(["-p", "-f", "-R", "-t", "-a", "-K", "-I", "-L", "-r"]);

/** True if only mcrouter's options explain the command line. */
export function isMcrouterCommandLine(args: readonly string[]): boolean {
  return args.some((arg) => {
    if (telling.has(arg) || /^-[pfRt]\S/.test(arg)) return true;
    const name = /^--([^=]+)/.exec(arg)?.[1];
    if (name === undefined || name === "config" || name === "help" || name === "version") return false;
    return Object.hasOwn(aliases, name) || optionRows.some(({ long }) => long === name);
  });
}

/** The routing prefix of keys without a prefix: `/region/cluster/`, with both slashes. */
export function routePrefixOf(options: McrouterOptions): string {
  const prefix = options.text("default_route").replace(/^\/?(.*?)\/?$/, "/$1/");
  if (/^\/[^/]+\/[^/]+\/$/.test(prefix)) return prefix;
  options.complain("default_route", `expected /region/cluster/, got ${JSON.stringify(options.text("default_route"))}`);
  return "/././";
}
