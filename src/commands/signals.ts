/**
 * Signals that the programs which Platypus takes the place of understand, beside those that end a process and SIGHUP. What a
 * signal does by default, in Node or in the kernel, would end or suspend the process, or open Node's debugger.
 *
 *     SIGTTIN, SIGTTOU    one level more in the log, one level less (twemproxy)
 *     SIGUSR1             nothing
 *     SIGUSR2             with workers: replaces them; else nothing
 */
import type { Log } from "../telemetry/log.ts";

const SIGNALS = ["SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2"] as const;

export interface SignalActions {
  /** Tells the workers. */
  readonly pass?: (signal: NodeJS.Signals) => void;
  readonly replaceWorkers?: () => void;
}

/** Keeps these signals from doing what they do by default, while the process is only starting. */
export function holdSignals(): void {
  for (const signal of SIGNALS) process.on(signal, () => {});
}

/** Has these signals do what they are for. */
export function takeSignals(log: Log, { pass, replaceWorkers }: SignalActions): void {
  const shift = (signal: NodeJS.Signals, steps: number) => {
    log.shiftLevel(steps);
    pass?.(signal);
    log.warn("serve", `${signal}: the level of the log is ${log.level}`);
  };
  const actions: Record<(typeof SIGNALS)[number], () => void> = {
    SIGTTIN: () => shift("SIGTTIN", 1),
    SIGTTOU: () => shift("SIGTTOU", -1),
    SIGUSR1: () => log.info("serve", "SIGUSR1 has no effect"),
    SIGUSR2: replaceWorkers ?? (() => log.warn("serve", "SIGUSR2 has no effect: there are no workers to replace")),
  };
  for (const signal of SIGNALS) process.on(signal, actions[signal]);
}
