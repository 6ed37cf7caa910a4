/**
 * Warnings of Node and errors that nobody catches, as lines of the log: nothing but the log writes to stderr while Platypus
 * serves.
 */
import { systemClock } from "../clock.ts";
import { BurstLog } from "./burst-log.ts";
import type { Log } from "./log.ts";

/** Takes them from now on. An error that nobody catches still ends the process, with exit code 1. */
export function logProcessErrors(log: Log): void {
  const bursts = new BurstLog(log, systemClock);
  // Node prints warnings by a listener of its own.
  process.removeAllListeners("warning");
  process.on("warning", ({ name, message }) => bursts.say("warn", "serve", name, `${name}: ${message}`));
  process.on("uncaughtException", (error: unknown) => {
    log.error("serve", `unexpected error: ${error instanceof Error ? error.stack : String(error)}`.split("\n"));
    process.exit(1);
  });
}
