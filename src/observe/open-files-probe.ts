/**
 * Detects that this process has reached its limit of open files. Node does not report the limit: it accepts client
 * connections and closes them immediately.
 */
import { open } from "node:fs/promises";
import type { Clock, Timer } from "../clock.ts";
import type { BurstLog } from "../telemetry/burst-log.ts";

const INTERVAL_MS = 1_000;

export class OpenFilesProbe {
  /** Number of failed attempts to open a file, at most one per second. */
  failures = 0;
  private readonly clock: Clock;
  private readonly bursts: BurstLog;
  private readonly tryToOpen: () => Promise<void>;
  private timer: Timer | null = null;

  /** `tryToOpen` opens a file and closes it. */
  constructor(clock: Clock, bursts: BurstLog, tryToOpen: () => Promise<void> = openNothing) {
    this.clock = clock;
    this.bursts = bursts;
    this.tryToOpen = tryToOpen;
  }

  start(): void {
    this.timer = this.clock.setTimer(INTERVAL_MS, () => {
      this.start();
      void this.probe();
    });
  }

  stop(): void {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }

  private async probe(): Promise<void> {
    try {
      await this.tryToOpen();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EMFILE" && code !== "ENFILE") return;
      this.failures++;
      const what = code === "EMFILE" ? "this process (ulimit -n)" : "this machine (sysctl fs.file-max)";
      this.bursts.say("error", "client", "files", `${what} can open no more files: new clients are cut off`);
    }
  }
}

async function openNothing(): Promise<void> {
  const file = await open("/dev/null");
  await file.close();
}
