/**
 * The destination of log lines: a file, stderr, or a function of the library's user. Writing a line never throws, never
 * ends the process, does not wait for a reader, and uses a limited amount of memory.
 *
 *     works ──write error──► fails: lines go to the fallback, or are lost and counted
 *       ▲                      │ after 1 s, 2 s … 60 s
 *       └──a line that reports the number of missing lines──┘
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import type { Writable } from "node:stream";
import { isatty } from "node:tty";
import { type Clock, systemClock, type Timer } from "../clock.ts";

/** Maximum text that waits for the reader of a stream. Further lines are lost. */
const MAX_UNREAD_BYTES = 1 << 20;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;
const STDERR = 2;

/** Receives whole lines. */
export interface LogTarget {
  /** Name for messages: "stderr", or the path of a file. */
  readonly name: string;
  /** If the line cannot be written, throws or calls `failed` later. */
  write(line: string, failed: (error: Error) => void): void;
}

export class LogOutput {
  /** Number of lines that no target took. */
  lost = 0;
  /** Formats a message about the log as a log line. */
  render: (message: string) => string = (message) => `${message}\n`;
  private readonly target: LogTarget;
  private readonly fallback: LogOutput | null;
  private readonly clock: Clock;
  /** Number of lines that the target missed since it began to fail. */
  private missing = 0;
  private reason = "";
  private retryMs = FIRST_RETRY_MS;
  /** `null` while the target works. */
  private timer: Timer | null = null;

  constructor(target: LogTarget, fallback: LogOutput | null = null, clock: Clock = systemClock) {
    this.target = target;
    this.fallback = fallback;
    this.clock = clock;
  }

  write(line: string): void {
    if (this.timer !== null || !this.tryToWrite(line, 1)) this.divert(line);
  }

  /** Returns false if the target failed. `count` is the number of lines that the target misses if it fails later. */
  private tryToWrite(line: string, count: number): boolean {
    try {
      this.target.write(line, (error) => {
        this.missing += count;
        if (this.fallback === null) this.lost += count;
        this.fail(error);
      });
      return true;
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  }

  private divert(line: string): void {
    this.missing++;
    if (this.fallback === null) this.lost++;
    else this.fallback.write(line);
  }

  private fail(error: Error): void {
    if (this.timer !== null) return;
    if (this.reason === "") {
      this.reason = error.message;
      const { name } = this.target;
      this.fallback?.write(this.render(`the log cannot be written to ${name} (${error.message}); lines go here`));
    }
    this.timer = this.clock.setTimer(this.retryMs, () => this.retry());
    this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
  }

  private retry(): void {
    this.timer = null;
    const { missing, reason } = this;
    const where = this.fallback === null ? "were lost" : `went to ${this.fallback.target.name}`;
    if (missing > 0) {
      this.missing = 0;
      const isWritten = this.tryToWrite(
        this.render(`${missing} ${missing === 1 ? "line" : "lines"} of the log ${where} (${reason})`),
        missing,
      );
      if (!isWritten) this.missing += missing;
    }
    if (this.timer !== null) return;
    this.reason = "";
    this.retryMs = FIRST_RETRY_MS;
  }
}

/** A log file. It is opened for each line, so that it may be renamed at any time. */
export function logFile(path: string): LogTarget {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  const lines = new FileLines();
  return {
    name: path,
    write(line) {
      // Non-blocking: opening a pipe without a reader would block.
      const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o666);
      try {
        lines.write(fd, line);
      } finally {
        closeSync(fd);
      }
    },
  };
}

/** A stream whose reader may be slow or gone. */
export function streamTarget(name: string, stream: Writable): LogTarget {
  // The callback of a write reports its failure. Without a listener, an error of the stream would end the process.
  stream.on("error", () => {});
  return {
    name,
    write(line, failed) {
      if (stream.writableLength > MAX_UNREAD_BYTES) throw new Error("its reader is too slow");
      stream.write(line, (error) => {
        if (error != null) failed(error);
      });
    },
  };
}

let standard: LogOutput | null = null;

/** The only output of this process to stderr. */
export function stderrOutput(): LogOutput {
  standard ??= new LogOutput(stderrTarget());
  return standard;
}

/**
 * Node writes to a terminal, a pipe or a socket without waiting for the reader, but to a file or a device such as
 * /dev/full immediately.
 */
function stderrTarget(): LogTarget {
  if (!isFile(STDERR)) return streamTarget("stderr", process.stderr);
  const lines = new FileLines();
  return { name: "stderr", write: (line) => lines.write(STDERR, line) };
}

function isFile(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFile() || (stat.isCharacterDevice() && !isatty(fd));
  } catch {
    return false;
  }
}

/** Writes whole lines: after a partial line (disk full), the next line starts with a line end. */
class FileLines {
  private isTorn = false;

  write(fd: number, line: string): void {
    const bytes = Buffer.from(this.isTorn ? `\n${line}` : line, "utf8");
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(fd, bytes, written);
    } finally {
      if (written > 0) this.isTorn = written < bytes.length;
    }
  }
}
