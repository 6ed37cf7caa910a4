/**
 * The classes of failure that leave a module as an exception. Replies to clients are never exceptions.
 */

/** Base of every error Platypus throws on purpose. `code` is stable and safe to test for. */
export class PlatypusError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** One thing wrong in a configuration: where it stands, and what would fix it. */
export interface ConfigProblem {
  /** File as the user named it; null for the environment or the command line. */
  readonly file: string | null;
  /** 1-based; null where no line can be told. */
  readonly line: number | null;
  /** What was found, what was expected and how to fix it, with the key's full path first. */
  readonly message: string;
}

/** A configuration that cannot be used. Holds every problem found, not only the first. */
export class ConfigError extends PlatypusError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    super("PLATYPUS_CONFIG", problems.map(formatProblem).join("\n"), options);
    this.problems = problems;
  }
}

/** `file:line: message`, the form compilers use, so that editors can jump to it. */
function formatProblem(problem: ConfigProblem): string {
  const place = problem.file === null ? "" : problem.line === null ? problem.file : `${problem.file}:${problem.line}`;
  return place === "" ? problem.message : `${place}: ${problem.message}`;
}

/** Wrong use of the command line or the library. The message says what was expected. */
export class UsageError extends PlatypusError {
  constructor(message: string) {
    super("USAGE", message);
  }
}

/** Why a source gave no value. "Not there" is a result, not an error. */
export type SourceErrorCode =
  | "SOURCE_TIMEOUT"
  | "SOURCE_UNREACHABLE"
  | "SOURCE_STATUS"
  | "SOURCE_TOO_LARGE"
  | "SOURCE_REFUSED"
  | "SOURCE_OVERLOADED"
  | "SOURCE_LEFT_ALONE"
  | "SOURCE_FAILED";

/** A source that failed, or was not asked: bounds, time-outs and answers that are no value. */
export class SourceError extends PlatypusError {
  override readonly code: SourceErrorCode;
  /** The source itself says that it may do better at once: asking again may help. */
  readonly isTransient: boolean;

  constructor(code: SourceErrorCode, message: string, options: ErrorOptions & { isTransient?: boolean } = {}) {
    super(code, message, options);
    this.code = code;
    this.isTransient = options.isTransient ?? false;
  }
}

/** A pool that could not do what fill or refresh asked of it. */
export class BackendError extends PlatypusError {
  /** True: the server has not executed the request and will not. False: the server may have executed it, or may do so later. */
  readonly isRefused: boolean;

  constructor(message: string, options: ErrorOptions & { isRefused?: boolean } = {}) {
    super("BACKEND", message, options);
    this.isRefused = options.isRefused ?? false;
  }
}
