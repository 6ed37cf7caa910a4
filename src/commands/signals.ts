/**
 * Signals that the replaced programs support, in addition to SIGHUP and the signals that end a process. By default,
 * Node or the kernel would end or suspend the process, or open Node's debugger.
 *
 *     SIGTTIN, SIGTTOU    raise and lower the log level (twemproxy)
 *     SIGUSR1             no effect
 *     SIGUSR2             replaces the workers, if there are workers
 */
import type { Log } from "../telemetry/log.ts";

const SIGNALS = ["SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2"] as const;

export interface SignalActions {
  /** Sends the signal to the workers. */
  readonly pass?: (signal: NodeJS.Signals) => void;
  readonly replaceWorkers?: () => void;
}

/** Disables the default actions of these signals during startup. */
export function holdSignals(): void {
  for (const signal of SIGNALS) process.on(signal, () => {});
}

/** Installs the handlers of these signals. */
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
