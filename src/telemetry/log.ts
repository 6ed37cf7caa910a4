/**
 * The log: text for people, JSON for machines. It never contains values; it contains keys only if the caller adds them.
 * The output handles lines that cannot be written; the caller is not informed.
 *
 * Messages and fields may contain external text. Characters that end a line or control a terminal are escaped here, so
 * that no message can look like another line. A message of several lines is given as a list.
 */
import { styleText } from "node:util";
import { type LogConfig, type LogLevel, type LogModule, logLevels } from "./log-config.ts";
import { LogOutput, stderrOutput } from "./log-output.ts";

const order: Record<LogLevel, number> = { error: 0, warn: 1, info: 2, debug: 3 };

const colors = { error: "red", warn: "yellow", info: "cyan", debug: "gray" } as const;

/** Fields of a JSON line in addition to time, level, module and message. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** A line as data. */
export interface LogLine {
  readonly level: LogLevel;
  readonly module: LogModule;
  /** Lines that belong together are joined by line ends. Nothing is escaped. */
  readonly message: string;
  readonly fields: LogFields;
  readonly unixMs: number;
}

/** One line, or several that belong together: in a text log, all lines after the first are indented. */
export type LogMessage = string | readonly string[];

/** Control characters, line separators of Unicode, and characters that change the text direction. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be written
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** `text` with unsafe characters as `\n`, `\x1b` or `\u2028`. */
function escaped(text: string): string {
  return text.replace(UNSAFE, (character) => {
    if (character === "\n") return "\\n";
    if (character === "\r") return "\\r";
    if (character === "\t") return "\\t";
    const code = character.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
  });
}

function fieldsOf(fields: LogFields | undefined): LogFields {
  const safe = Object.entries(fields ?? {}).map(([name, value]) => {
    return [name, typeof value === "string" ? escaped(value) : value] as const;
  });
  return Object.fromEntries(safe);
}

/** Writes lines of at least its level, or of the level of their module. */
export class Log {
  /** Removes secrets from lines about sources, whose errors may contain a path or an address. */
  withoutSecrets: (text: string) => string = (text) => text;
  /** Also gets each line that is written. Must not throw. `null` if there is no such receiver. */
  receiver: ((line: LogLine) => void) | null = null;
  private config: LogConfig;
  private readonly output: LogOutput;
  private readonly nowIso: () => string;
  /** True if levels are coloured: the log writes to a terminal and $NO_COLOR is not set. */
  private readonly isColored: boolean;

  /** `output` receives whole lines. The default is stderr. */
  constructor(
    config: LogConfig,
    output?: LogOutput | ((line: string) => void),
    nowIso: () => string = () => new Date().toISOString(),
  ) {
    this.config = config;
    this.output =
      typeof output === "function" ? new LogOutput({ name: "it", write: output }) : (output ?? stderrOutput());
    this.isColored = output === undefined;
    this.nowIso = nowIso;
    this.output.render = (message) => this.render("warn", "telemetry", message, undefined);
  }

  /** Number of lines that no target took. */
  get lostLines(): number {
    return this.output.lost;
  }

  /** The minimum level of lines, except for modules with a separate level. */
  get level(): LogLevel {
    return this.config.level;
  }

  /** Sets levels and format. */
  configure(config: LogConfig): void {
    this.config = config;
  }

  /** Changes the level by `steps` until `configure` is called. Modules with a separate level keep it. */
  shiftLevel(steps: number): void {
    const at = order[this.config.level] + steps;
    const level = logLevels[Math.min(Math.max(at, 0), logLevels.length - 1)]!;
    this.config = { ...this.config, level };
  }

  error(module: LogModule, message: LogMessage, fields?: LogFields): void {
    this.line("error", module, message, fields);
  }

  warn(module: LogModule, message: LogMessage, fields?: LogFields): void {
    this.line("warn", module, message, fields);
  }

  info(module: LogModule, message: LogMessage, fields?: LogFields): void {
    this.line("info", module, message, fields);
  }

  debug(module: LogModule, message: LogMessage, fields?: LogFields): void {
    this.line("debug", module, message, fields);
  }

  private line(level: LogLevel, module: LogModule, message: LogMessage, fields: LogFields | undefined): void {
    const { config } = this;
    if (order[level] > order[config.modules?.[module] ?? config.level]) return;
    const given = typeof message === "string" ? [message] : message;
    const lines = module === "source" ? given.map((line) => this.withoutSecrets(line)) : given;
    this.output.write(this.render(level, module, lines, fields));
    this.receiver?.({ level, module, message: lines.join("\n"), fields: fields ?? {}, unixMs: Date.now() });
  }

  private render(level: LogLevel, module: LogModule, message: LogMessage, fields: LogFields | undefined): string {
    const time = this.nowIso();
    const lines = (typeof message === "string" ? [message] : message).map(escaped);
    if (this.config.form === "json") {
      return `${JSON.stringify({ time, level, module, message: lines.join("\n"), ...fieldsOf(fields) })}\n`;
    }
    const rest =
      fields === undefined
        ? ""
        : Object.entries(fields)
            .map(([name, value]) => ` ${name}=${escaped(String(value))}`)
            .join("");
    const padded = level.padEnd(5);
    const shown = this.isColored ? styleText(colors[level], padded, { stream: process.stderr }) : padded;
    return `${time} ${shown} ${module}: ${lines.join("\n  ")}${rest}\n`;
  }
}
