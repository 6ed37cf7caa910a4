/**
 * Notifies systemd of the state of the service (sd_notify(3)), if a unit of `Type=notify` asks for it.
 *
 *     starting ── READY=1 ──► serving ── RELOADING=1 ──► reloading ── READY=1 ──► serving ── STOPPING=1 ──► ends
 *                             └ WATCHDOG=1 every half of WatchdogSec=, as long as the event loop runs
 *
 * systemd listens on a Unix datagram socket, which Node does not support. The packages that add it must be compiled
 * from C++ on each host, so Platypus starts `systemd-notify`: a process of a few milliseconds for each message, which
 * requires `NotifyAccess=all` in the unit. The cost is negligible for a watchdog of at least ten seconds. A watchdog of
 * less than two seconds works, with a warning.
 */
import { spawn } from "node:child_process";
import type { Clock, Timer } from "../clock.ts";
import type { Log } from "../telemetry/log.ts";
import type { Reports } from "../telemetry/reports.ts";

const PROGRAM = "systemd-notify";
const SHORT_WATCHDOG_MS = 2_000;
/**
 * Maximum run time of the program, which normally needs milliseconds. A hanging program delays the messages after it.
 */
const MAX_RUN_MS = 5_000;

/** Notifies systemd. Without systemd, it does nothing. */
export class ServiceManager {
  private readonly socket: string | null;
  private readonly watchdogMs: number | null;
  private readonly clock: Clock;
  private readonly log: Log;
  private readonly reports: Reports;
  private readonly path: string;
  /** Messages are sent in order: a READY before its RELOADING would be lost. */
  private last: Promise<void> = Promise.resolve();
  private reloads = 0;
  private status = "";
  private timer: Timer | null = null;
  private isBeating = false;

  private constructor(given: Given, clock: Clock, log: Log, reports: Reports) {
    this.socket = given.socket;
    this.watchdogMs = given.watchdogMs;
    this.path = given.path;
    this.clock = clock;
    this.log = log;
    this.reports = reports;
  }

  /**
   * Removes $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID from `env`, so that child processes do not notify systemd
   * in the name of this process.
   */
  static take(env: NodeJS.ProcessEnv, clock: Clock, log: Log, reports: Reports): ServiceManager {
    const { NOTIFY_SOCKET: socket = "", WATCHDOG_USEC: usec, WATCHDOG_PID: pid, PATH: path = "" } = env;
    for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete env[name];
    const isOurs = pid === undefined || pid === "" || Number(pid) === process.pid;
    const watchdogMs = Number(usec) / 1000;
    const given = {
      socket: socket === "" ? null : socket,
      watchdogMs: isOurs && watchdogMs > 0 ? watchdogMs : null,
      path,
    };
    return new ServiceManager(given, clock, log, reports);
  }

  /** Reports that the service is ready. `status` appears in `systemctl status`. */
  ready(status: string): void {
    this.status = status;
    this.send("READY=1", `STATUS=${status}`);
    const { watchdogMs } = this;
    if (this.socket === null || watchdogMs === null || this.timer !== null) return;
    if (watchdogMs < SHORT_WATCHDOG_MS) {
      this.log.warn(
        "serve",
        `WatchdogSec= is ${watchdogMs} ms: each report starts a process, twice per interval; use 10 s or more`,
      );
    }
    this.beat(watchdogMs / 2);
  }

  /**
   * Runs a reload between RELOADING and READY. Concurrent reloads count as one for systemd. `reload` resolves to true
   * if the new configuration is in use.
   */
  async reload(reload: () => Promise<boolean>): Promise<void> {
    const monotonicUsec = process.hrtime.bigint() / 1000n;
    if (this.reloads++ === 0)
      this.send("RELOADING=1", `MONOTONIC_USEC=${monotonicUsec}`, "STATUS=reading the configuration");
    let isGood = false;
    try {
      isGood = await reload();
    } finally {
      const rest = isGood ? "" : "; the last configuration was refused, the one before serves";
      if (--this.reloads === 0) this.send("READY=1", `STATUS=${this.status}${rest}`);
    }
  }

  /** Reports that the process finishes its requests and then ends. */
  stopping(): void {
    this.send("STOPPING=1", "STATUS=answering the requests that were read, then stopping");
  }

  /** Resolves when all messages are sent. No watchdog message follows. */
  async close(): Promise<void> {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
    await this.last;
  }

  private beat(everyMs: number): void {
    this.timer = this.clock.setTimer(everyMs, () => {
      this.beat(everyMs);
      // While one message hangs, do not start another.
      if (this.isBeating) return;
      this.isBeating = true;
      this.send("WATCHDOG=1");
      void this.last.then(() => {
        this.isBeating = false;
      });
    });
  }

  private send(...variables: readonly string[]): void {
    const { socket } = this;
    if (socket === null) return;
    this.last = this.last
      .then(() => this.run(socket, variables))
      .catch((error: unknown) => this.failed(error instanceof Error ? error.message : String(error)));
  }

  private failed(reason: string): void {
    this.reports.failed("systemd", `${PROGRAM}: ${reason}`);
  }

  private run(socket: string, variables: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      const env = { PATH: this.path, NOTIFY_SOCKET: socket };
      const child = spawn(PROGRAM, variables, { env, stdio: ["ignore", "ignore", "pipe"] });
      const timer = this.clock.setTimer(MAX_RUN_MS, () => child.kill("SIGKILL"));
      let said = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
      const fail = (reason: string) => {
        this.failed(reason);
        resolve();
      };
      child.once("error", (error: NodeJS.ErrnoException) => {
        fail(
          error.code === "ENOENT"
            ? "there is no such program in PATH; install systemd's, or use Type=exec"
            : error.message,
        );
      });
      child.once("close", (code, signal) => {
        this.clock.clearTimer(timer);
        if (code === 0) resolve();
        else fail(said.trim() || `ended with ${signal ?? `code ${code}`}`);
      });
    });
  }
}

interface Given {
  readonly socket: string | null;
  readonly watchdogMs: number | null;
  readonly path: string;
}
