import { beforeEach, describe, expect, it } from "vitest";
import { BurstLog } from "../../src/telemetry/burst-log.ts";
import { Log } from "../../src/telemetry/log.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";

let clock: ManualClock;
let lines: string[];
let bursts: BurstLog;

beforeEach(() => {
  clock = new ManualClock();
  lines = [];
  const log = new Log(
    { level: "info", form: "text" },
    (line) => lines.push(line),
    () => "now",
  );
  bursts = new BurstLog(log, clock);
});

describe("a burst of one failure", () => {
  it("is one line, and one more with the count if it continues ten seconds later", () => {
    for (let i = 0; i < 1_000; i++) bursts.say("warn", "source", "a", `failed ${i}`);
    expect(lines).toEqual(["now warn  source: failed 0\n"]);
    clock.advance(9_999);
    bursts.say("warn", "source", "a", "still");
    expect(lines).toHaveLength(1);
    clock.advance(1);
    bursts.say("warn", "source", "a", "again");
    expect(lines[1]).toBe("now warn  source: again (and 1000 more like it)\n");
    clock.advance(10_000);
    bursts.say("warn", "source", "a", "once more");
    expect(lines[2]).toBe("now warn  source: once more\n");
  });

  it("starts again after a pause", () => {
    bursts.say("warn", "source", "a", "first");
    clock.advance(10_000);
    bursts.say("warn", "source", "a", "second");
    expect(lines[1]).toBe("now warn  source: second\n");
  });

  it("does not silence another failure", () => {
    bursts.say("warn", "source", "a", "of a");
    bursts.say("error", "pool", "b", "of b");
    expect(lines).toEqual(["now warn  source: of a\n", "now error pool: of b\n"]);
  });
});
