import { describe, expect, it } from "vitest";
import { translateNutcracker } from "../../src/commands/programs.ts";
import { UsageError } from "../../src/errors.ts";

describe("twemproxy's command line", () => {
  it.each([
    [
      ["-c", "/etc/n.yml"],
      ["serve", "--config", "/etc/n.yml"],
    ],
    [
      ["--conf-file=/etc/n.yml", "-v", "4"],
      ["serve", "--config", "/etc/n.yml"],
    ],
    [[], ["serve", "--config", "conf/nutcracker.yml"]],
    [
      ["-t", "-c", "n.yml"],
      ["check", "n.yml"],
    ],
    [["-V"], ["--version"]],
    [["-h"], ["--help"]],
  ])("reads %j as %j", (args, expected) => {
    expect(translateNutcracker(args).args).toEqual(expected);
  });

  it.each([
    [["-v", "0"], "error"],
    [["-v", "4"], "warn"],
    [[], "info"],
    [["-v", "6"], "info"],
    [["-v", "11"], "debug"],
  ])("maps the log level: %j is %s", (args, level) => {
    expect(translateNutcracker(args).env).toEqual({ PLATYPUS_SERVER_LOG_LEVEL: level });
  });

  it("lists the options that have no effect, and keeps the PID file", () => {
    const { notes, pidFile } = translateNutcracker(["-s", "22222", "-m", "512", "-p", "/run/n.pid"]);
    expect(notes).toEqual([
      "--stats-port has no effect: statistics are at the admin address (PLATYPUS_SERVER_ADMIN)",
      "--mbuf-size has no effect: buffers grow as they are needed",
    ]);
    expect(pidFile).toBe("/run/n.pid");
  });

  it.each([[["-d"]], [["--bogus"]], [["n.yml"]], [["-v", "much"]]])("refuses %j", (args) => {
    expect(() => translateNutcracker(args)).toThrow(UsageError);
  });
});
