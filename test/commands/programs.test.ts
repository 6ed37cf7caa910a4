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
    expect(translateNutcracker(args).env).toMatchObject({ PLATYPUS_SERVER_LOG_LEVEL: level });
  });

  it.each([
    [[], "0.0.0.0:22222"],
    [["-s", "1234"], "0.0.0.0:1234"],
    [["-a", "127.0.0.1", "--stats-port=1"], "127.0.0.1:1"],
    [["-a", "::1"], "[::1]:22222"],
  ])("serves statistics where twemproxy does: %j is %s", (args, address) => {
    expect(translateNutcracker(args).env).toMatchObject({ PLATYPUS_SERVER_TWEMPROXY_STATS: address });
  });

  it("lists the options that have no effect, and keeps the PID file", () => {
    const { notes, pidFile } = translateNutcracker(["-i", "1000", "-m", "512", "-p", "/run/n.pid"]);
    expect(notes).toEqual([
      "--stats-interval has no effect: statistics are counted when they are asked for",
      "--mbuf-size has no effect: buffers grow as they are needed",
    ]);
    expect(pidFile).toBe("/run/n.pid");
  });

  it.each([[["-d"]], [["-D"]], [["-s", "0"]], [["-s", "x"]], [["--bogus"]], [["n.yml"]], [["-v", "much"]]])(
    "refuses %j",
    (args) => {
      expect(() => translateNutcracker(args)).toThrow(UsageError);
    },
  );
});
