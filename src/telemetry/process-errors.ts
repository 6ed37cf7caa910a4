/**
 * Logs warnings of Node and uncaught errors: while Platypus serves, only the log writes to stderr.
 */
import { systemClock } from "../clock.ts";
import { leave } from "../leave.ts";
import { BurstLog } from "./burst-log.ts";
import type { Log } from "./log.ts";

/** Starts to log them. An uncaught error still ends the process, with exit code 1. */
export function logProcessErrors(log: Log): void {
  const bursts = new BurstLog(log, systemClock);
  // Node's listener prints warnings.
  process.removeAllListeners("warning");
  process.on("warning", ({ name, message }) => bursts.say("warn", "serve", name, `${name}: ${message}`));
  process.on("uncaughtException", (error: unknown) => {
    log.error("serve", `unexpected error: ${error instanceof Error ? error.stack : String(error)}`.split("\n"));
    leave(1);
  });
}
