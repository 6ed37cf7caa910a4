/**
 * Parses the options of a subcommand with node:util. The message about an unknown option suggests a similar one.
 */
import { type ParseArgsConfig, type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { suggestion } from "../config/nearest-name.ts";
import { UsageError } from "../errors.ts";

/** Like `parseArgs`, with positional arguments. Throws a UsageError of one sentence. */
export function parseOptions<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T) {
  const config = { args: [...args], options, allowPositionals: true, strict: true } as const satisfies ParseArgsConfig;
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError(unknownOption(args, options) ?? (error as Error).message.replaceAll("\n", " "));
  }
}

/** `null` if no option is unknown. */
function unknownOption(args: readonly string[], options: ParseArgsOptionsConfig): string | null {
  const { tokens } = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  const unknown = tokens.find((token) => token.kind === "option" && !Object.hasOwn(options, token.name));
  if (unknown?.kind !== "option") return null;
  const known = Object.keys(options).map((name) => `--${name}`);
  return `there is no option ${unknown.rawName}${suggestion(unknown.rawName, known)}`;
}
