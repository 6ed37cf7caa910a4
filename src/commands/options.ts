/**
 * The options of a subcommand, read by node:util; what it does not know is named, with what was probably meant.
 */
import { type ParseArgsConfig, type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { suggestion } from "../config/nearest-name.ts";
import { UsageError } from "../errors.ts";

/** As `parseArgs`, with positional arguments. Throws a UsageError of one sentence. */
export function parseOptions<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T) {
  const config = { args: [...args], options, allowPositionals: true, strict: true } as const satisfies ParseArgsConfig;
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError(unknownOption(args, options) ?? (error as Error).message.replaceAll("\n", " "));
  }
}

/** Null: there is no option that is unknown. */
function unknownOption(args: readonly string[], options: ParseArgsOptionsConfig): string | null {
  const { tokens } = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  const unknown = tokens.find((token) => token.kind === "option" && !Object.hasOwn(options, token.name));
  if (unknown?.kind !== "option") return null;
  const known = Object.keys(options).map((name) => `--${name}`);
  return `there is no option ${unknown.rawName}${suggestion(unknown.rawName, known)}`;
}
