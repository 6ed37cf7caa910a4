/** A log that keeps its lines instead of writing them. */

import { Log } from "../../../src/telemetry/log.ts";

/** Lines of every level, without the time. */
export class KeptLog {
  readonly lines: string[] = [];
  readonly log: Log;
  private wake: () => void = () => {};

  constructor() {
    const write = (line: string) => {
      this.lines.push(line.trim());
      this.wake();
    };
    this.log = new Log({ level: "debug", form: "text" }, write, () => "");
  }

  /** Resolves when a line that matches stands in the log. */
  async said(pattern: RegExp): Promise<void> {
    while (!this.lines.some((line) => pattern.test(line))) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}
