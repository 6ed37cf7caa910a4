import { describe, expect, it } from "vitest";
import type { LogConfig } from "../../src/config/config.ts";
import { Log } from "../../src/telemetry/log.ts";

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
  it("writes what its level, or that of the module, lets pass", () => {
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

  it("takes over other levels while it is used", () => {
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
