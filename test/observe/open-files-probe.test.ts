import { describe, expect, it } from "vitest";
import { OpenFilesProbe } from "../../src/observe/open-files-probe.ts";
import { BurstLog } from "../../src/telemetry/burst-log.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { settled } from "../support/fakes/settled.ts";

describe("OpenFilesProbe", () => {
  it("counts and reports failures to open a file, until it is stopped", async () => {
    const clock = new ManualClock();
    const kept = new KeptLog();
    let code: string | null = null;
    const probe = new OpenFilesProbe(clock, new BurstLog(kept.log, clock), async () => {
      if (code !== null) throw Object.assign(new Error(code), { code });
    });
    const pass = async (seconds: number) => {
      for (let i = 0; i < seconds; i++) {
        clock.advance(1_000);
        await settled();
      }
    };
    probe.start();
    await pass(3);
    expect([probe.failures, kept.lines]).toEqual([0, []]);
    code = "EACCES";
    await pass(1);
    expect(probe.failures).toBe(0);
    code = "EMFILE";
    await pass(5);
    expect(probe.failures).toBe(5);
    expect(kept.lines).toEqual([
      "error client: this process (ulimit -n) can open no more files: new clients are cut off",
    ]);
    probe.stop();
    await pass(5);
    expect([probe.failures, clock.timerCount]).toEqual([5, 0]);
  });
});
