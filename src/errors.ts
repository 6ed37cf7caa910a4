/**
 * The classes of exceptions that leave a module. Replies to clients are never exceptions.
 */

/** Base of all errors that Platypus throws deliberately. `code` is stable, so code may test it. */
export class PlatypusError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A problem in a configuration: its position, and its remedy. */
export interface ConfigProblem {
  /** The file as the user wrote it. `null` for the environment or the command line. */
  readonly file: string | null;
  /** 1-based. `null` if the line is unknown. */
  readonly line: number | null;
  /** What was found, what was expected and how to fix it. The message begins with the key's full path. */
  readonly message: string;
}

/** An invalid configuration. Holds all problems, not only the first. */
export class ConfigError extends PlatypusError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    super("PLATYPUS_CONFIG", problems.map(formatProblem).join("\n"), options);
    this.problems = problems;
  }
}

/** `file:line: message`, as compilers print it, so that editors can open the position. */
function formatProblem(problem: ConfigProblem): string {
  const place = problem.file === null ? "" : problem.line === null ? problem.file : `${problem.file}:${problem.line}`;
  return place === "" ? problem.message : `${place}: ${problem.message}`;
}

/** Wrong use of the command line or the library. The message says what is expected. */
export class UsageError extends PlatypusError {
  constructor(message: string) {
    super("USAGE", message);
  }
}

/** The reason why a source has no value. "Not there" is a result, not an error. */
export type SourceErrorCode =
  | "SOURCE_TIMEOUT"
  | "SOURCE_UNREACHABLE"
  | "SOURCE_STATUS"
  | "SOURCE_TOO_LARGE"
  | "SOURCE_REFUSED"
  | "SOURCE_OVERLOADED"
  | "SOURCE_LEFT_ALONE"
  | "SOURCE_FAILED";

/** A source failed or was not asked: limits, timeouts, and answers that are not values. */
export class SourceError extends PlatypusError {
  override readonly code: SourceErrorCode;
  /** True if the source says that an immediate retry may help. */
  readonly isTransient: boolean;
  /** The HTTP status of an answer that is not a value. `null` for other errors. */
  readonly status: number | null;

  constructor(
    code: SourceErrorCode,
    message: string,
    options: ErrorOptions & { readonly isTransient?: boolean; readonly status?: number } = {},
  ) {
    super(code, message, options);
    this.code = code;
    this.isTransient = options.isTransient ?? false;
    this.status = options.status ?? null;
  }
}

/** A pool could not execute a request of a fill or a refresh. */
export class BackendError extends PlatypusError {
  /**
   * True if the server has not executed the request and will not. False if the server may have executed it, or may do
   * so later.
   */
  readonly isRefused: boolean;

  constructor(message: string, options: ErrorOptions & { isRefused?: boolean } = {}) {
    super("BACKEND", message, options);
    this.isRefused = options.isRefused ?? false;
  }
}
