/** What can be set of the log: its levels, of all and by module, and the form of its lines. */

/** Who has something to say in the log. */
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
  /** Of modules that have one of their own. */
  readonly modules?: Readonly<Partial<Record<LogModule, LogLevel>>>;
  readonly form: "text" | "json";
}
