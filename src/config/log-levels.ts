/** Reads the levels of the log: `info`, or `info,backend=debug,source=error`: the default level, then levels of modules. */
import { type LogConfig, type LogLevel, type LogModule, logLevels, logModules } from "../telemetry/log-config.ts";
import { suggestion } from "./nearest-name.ts";

/** The levels, or what is wrong with the text. */
export function parseLogLevels(text: string): Omit<LogConfig, "form"> | { readonly problem: string } {
  const [first = "", ...rest] = text.split(",").map((word) => word.trim());
  if (!isLevel(first)) return { problem: levelProblem(first) };
  const modules: Partial<Record<LogModule, LogLevel>> = {};
  for (const word of rest) {
    const [name = "", own = ""] = word.split("=");
    const module = logModules.find((each) => each === name);
    if (module === undefined) {
      const near = suggestion(name, logModules);
      return { problem: `there is no module ${JSON.stringify(name)}${near}; there are ${logModules.join(", ")}` };
    }
    if (!isLevel(own)) return { problem: levelProblem(own) };
    modules[module] = own;
  }
  return rest.length === 0 ? { level: first } : { level: first, modules };
}

function isLevel(word: string): word is LogLevel {
  return (logLevels as readonly string[]).includes(word);
}

function levelProblem(word: string): string {
  const names = logLevels.map((each) => `"${each}"`).join(" or ");
  return `expected ${names}, got ${JSON.stringify(word)}${suggestion(word, logLevels)}`;
}
