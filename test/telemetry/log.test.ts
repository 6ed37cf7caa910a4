import { describe, expect, it } from "vitest";
import { Log } from "../../src/telemetry/log.ts";
import type { LogConfig } from "../../src/telemetry/log-config.ts";

function logOf(config: LogConfig) {
  const lines: string[] = [];
  const log = new Log(
    config,
    (line) => lines.push(line),
    () => "now",
  );
  return { log, lines };
}

describe("a log", () => {
  it("writes lines that its level, or the level of the module, allows", () => {
    const { log, lines } = logOf({ level: "warn", modules: { backend: "debug", source: "error" }, form: "text" });
    for (const module of ["backend", "source", "config"] as const) {
      log.error(module, "e");
      log.warn(module, "w");
      log.info(module, "i");
      log.debug(module, "d");
    }
    expect(lines.join("")).toBe(
      "now error backend: e\nnow warn  backend: w\nnow info  backend: i\nnow debug backend: d\nnow error source: e\nnow error config: e\nnow warn  config: w\n",
    );
  });

  it.each(["text", "json"] as const)("writes one line whatever a message and its fields hold (%s)", (form) => {
    const { log, lines } = logOf({ level: "info", form });
    const forged = "a\nnow error serve: forged\r\u001b[2J\u0000\u007f\u0085\u009b\u2028\u202e";
    log.info("source", forged, { key: forged });
    expect(lines).toHaveLength(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
    expect(lines[0]).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/);
    expect(lines[0]!.indexOf("\n")).toBe(lines[0]!.length - 1);
    if (form === "text") {
      const escaped = "a\\nnow error serve: forged\\r\\x1b[2J\\x00\\x7f\\x85\\x9b\\u2028\\u202e";
      expect(lines[0]).toBe(`now info  source: ${escaped} key=${escaped}\n`);
    }
  });

  it("leaves secrets out of lines about sources", () => {
    const { log, lines } = logOf({ level: "info", form: "text" });
    log.withoutSecrets = (text) => text.replaceAll("secret", "(hidden)");
    log.warn("source", "open /secret/a: no such file");
    expect(lines).toEqual(["now warn  source: open /(hidden)/a: no such file\n"]);
  });

  it("indents continuation lines of a message, so that they cannot be mistaken for log lines", () => {
    const { log, lines } = logOf({ level: "info", form: "text" });
    log.info("config", ["not reloaded:", "a.toml:1: wrong\nnow error x: y"]);
    expect(lines).toEqual(["now info  config: not reloaded:\n  a.toml:1: wrong\\nnow error x: y\n"]);
  });

  it("applies other levels while it is in use", () => {
    const { log, lines } = logOf({ level: "error", form: "text" });
    log.info("backend", "before");
    log.configure({ level: "error", modules: { backend: "info" }, form: "json" });
    log.info("backend", "after", { trace_id: "1" });
    log.info("source", "not this");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { time: "now", level: "info", module: "backend", message: "after", trace_id: "1" },
    ]);
  });
});
