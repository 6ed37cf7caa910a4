/** Settings of the log: the default level, levels by module, and the format of lines. */

/** Modules that write to the log. */
export const logModules = [
  "admin",
  "asynclog",
  "backend",
  "client",
  "config",
  "options",
  "pool",
  "route",
  "rule",
  "serve",
  "source",
  "stats",
  "telemetry",
  "workers",
] as const;
export type LogModule = (typeof logModules)[number];

export const logLevels = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogConfig {
  readonly level: LogLevel;
  /** Levels of modules that differ from the default. */
  readonly modules?: Readonly<Partial<Record<LogModule, LogLevel>>>;
  readonly form: "text" | "json";
}
