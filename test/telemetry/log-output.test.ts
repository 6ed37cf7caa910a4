import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Log } from "../../src/telemetry/log.ts";
import { LogOutput, logFile, streamTarget } from "../../src/telemetry/log-output.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { settled } from "../support/fakes/settled.ts";

let clock: ManualClock;
beforeEach(() => {
  clock = new ManualClock();
});

/** A target that fails while the test says so. */
class FakeTarget {
  readonly name: string;
  readonly lines: string[] = [];
  error: Error | null = null;

  constructor(name: string) {
    this.name = name;
  }

  write(line: string): void {
    if (this.error !== null) throw this.error;
    this.lines.push(line);
  }
}

describe("LogOutput", () => {
  it("drops and counts lines while its target fails, and reports that once the target works again", () => {
    const target = new FakeTarget("stderr");
    const output = new LogOutput(target, null, clock);
    output.write("a\n");
    target.error = new Error("disk full");
    for (let i = 0; i < 100; i++) output.write("b\n");
    expect(output.lost).toBe(100);
    target.error = null;
    output.write("lost as well, until the next try\n");
    clock.advance(1_000);
    output.write("c\n");
    expect(target.lines).toEqual(["a\n", "101 lines of the log were lost (disk full)\n", "c\n"]);
  });

  it("retries after 1 s, 2 s and so on, at most a minute", () => {
    const target = new FakeTarget("stderr");
    const output = new LogOutput(target, null, clock);
    const triesAt: number[] = [];
    target.write = () => {
      triesAt.push(clock.nowMs() / 1000);
      throw new Error("disk full");
    };
    output.write("a\n");
    clock.advance(200_000);
    expect(triesAt).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183]);
    expect(output.lost).toBe(1);
  });

  it("writes to its fallback while the target fails", () => {
    const file = new FakeTarget("/var/log/p.log");
    const stderr = new FakeTarget("stderr");
    const output = new LogOutput(file, new LogOutput(stderr, null, clock), clock);
    file.error = new Error("no such folder");
    output.write("a\n");
    output.write("b\n");
    file.error = null;
    clock.advance(1_000);
    output.write("c\n");
    expect(stderr.lines).toEqual([
      "the log cannot be written to /var/log/p.log (no such folder); lines go here\n",
      "a\n",
      "b\n",
    ]);
    expect(file.lines).toEqual(["2 lines of the log went to stderr (no such folder)\n", "c\n"]);
    expect(output.lost).toBe(0);
  });

  it("uses the format of its log", () => {
    const target = new FakeTarget("stderr");
    const output = new LogOutput(target, null, clock);
    const log = new Log({ level: "info", form: "json" }, output, () => "now");
    target.error = new Error("disk full");
    log.error("backend", "lost");
    target.error = null;
    clock.advance(1_000);
    expect(target.lines.map((line) => JSON.parse(line))).toEqual([
      { time: "now", level: "warn", module: "telemetry", message: "1 line of the log were lost (disk full)" },
    ]);
    expect(log.lostLines).toBe(1);
  });
});

describe("streamTarget", () => {
  it("counts the lines that a stream failed to write, and survives the stream's errors", async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    const output = new LogOutput(streamTarget("stderr", stream), null, clock);
    output.write("a\n");
    await settled();
    output.write("b\n");
    expect(output.lost).toBe(2);
  });

  it("buffers only a bounded amount for a reader that does not read", () => {
    const stream = new Writable({ write: () => {} });
    const output = new LogOutput(streamTarget("stderr", stream), null, clock);
    const line = `${"x".repeat(9_999)}\n`;
    for (let i = 0; i < 1_000; i++) output.write(line);
    expect(stream.writableLength).toBeLessThan((1 << 20) + 2 * line.length);
    expect(output.lost).toBeGreaterThan(800);
  });
});

describe("logFile", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-log-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Lines that went to the fallback. */
  function outputTo(file: string): { output: LogOutput; diverted: string[] } {
    const stderr = new FakeTarget("stderr");
    return { output: new LogOutput(logFile(file), new LogOutput(stderr, null, clock), clock), diverted: stderr.lines };
  }

  it("appends to a file, and to a new file after the first was moved away", async () => {
    const file = path.join(folder, "a.log");
    const { output } = outputTo(file);
    output.write("one\n");
    await rename(file, `${file}.1`);
    output.write("two\n");
    expect(await readFile(`${file}.1`, "utf8")).toBe("one\n");
    expect(await readFile(file, "utf8")).toBe("two\n");
  });

  it("waits for a folder that does not exist or was removed", async () => {
    const file = path.join(folder, "later", "a.log");
    const { output, diverted } = outputTo(file);
    output.write("one\n");
    expect(diverted[0]).toMatch(/^the log cannot be written to .*\/later\/a\.log \(ENOENT/);
    expect(diverted[1]).toBe("one\n");
    await mkdir(path.join(folder, "later"));
    clock.advance(1_000);
    expect(await readFile(file, "utf8")).toMatch(/^1 line of the log went to stderr \(ENOENT.*\)\n$/);
    await rm(path.join(folder, "later"), { recursive: true });
    output.write("two\n");
    expect(diverted.at(-1)).toBe("two\n");
  });

  it.runIf(process.platform === "linux")("survives a full disk", () => {
    const { output, diverted } = outputTo("/dev/full");
    for (let i = 0; i < 3; i++) output.write("a\n");
    expect(diverted.slice(1)).toEqual(["a\n", "a\n", "a\n"]);
    expect(diverted[0]).toContain("ENOSPC");
  });

  it("does not wait for the reader of a pipe", () => {
    const pipe = path.join(folder, "pipe");
    execFileSync("/usr/bin/mkfifo", [pipe]);
    const { output, diverted } = outputTo(pipe);
    output.write("a\n");
    expect(diverted[0]).toContain("ENXIO");
  });
});
