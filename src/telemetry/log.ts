/**
 * Log lines on stderr: text for people, JSON for machines. Never holds values; keys only where a caller decides so.
 */
import { styleText } from "node:util";
import type { LogConfig, LogLevel, LogModule } from "../config/config.ts";

const order: Record<LogLevel, number> = { error: 0, warn: 1, info: 2, debug: 3 };

const colors = { error: "red", warn: "yellow", info: "cyan", debug: "gray" } as const;

/** Fields of a JSON line beside time, level, module and message. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** Writes lines of at least its level, or of that of their module. */
export class Log {
  private config: LogConfig;
  private readonly write: (line: string) => void;
  private readonly nowIso: () => string;
  /** It writes to stderr: levels are coloured where that is a terminal and $NO_COLOR does not forbid it. */
  private readonly isColored: boolean;

  /** `write`: takes whole lines; left out: they go to stderr. */
  constructor(
    config: LogConfig,
    write?: (line: string) => void,
    nowIso: () => string = () => new Date().toISOString(),
  ) {
    this.config = config;
    this.write = write ?? ((line) => process.stderr.write(line));
    this.isColored = write === undefined;
    this.nowIso = nowIso;
  }

  /** Lines below it are not written, where their module has no level of its own. */
  get level(): LogLevel {
    return this.config.level;
  }

  /** Levels and form from now on. */
  configure(config: LogConfig): void {
    this.config = config;
  }

  error(module: LogModule, message: string, fields?: LogFields): void {
    this.line("error", module, message, fields);
  }

  warn(module: LogModule, message: string, fields?: LogFields): void {
    this.line("warn", module, message, fields);
  }

  info(module: LogModule, message: string, fields?: LogFields): void {
    this.line("info", module, message, fields);
  }

  debug(module: LogModule, message: string, fields?: LogFields): void {
    this.line("debug", module, message, fields);
  }

  private line(level: LogLevel, module: LogModule, message: string, fields: LogFields | undefined): void {
    const { config } = this;
    if (order[level] > order[config.modules?.[module] ?? config.level]) return;
    const time = this.nowIso();
    if (config.form === "json") {
      this.write(`${JSON.stringify({ time, level, module, message, ...fields })}\n`);
      return;
    }
    const rest =
      fields === undefined
        ? ""
        : Object.entries(fields)
            .map(([name, value]) => ` ${name}=${value}`)
            .join("");
    const padded = level.padEnd(5);
    const shown = this.isColored ? styleText(colors[level], padded, { stream: process.stderr }) : padded;
    this.write(`${time} ${shown} ${module}: ${message}${rest}\n`);
  }
}
