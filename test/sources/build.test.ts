import { describe, expect, it } from "vitest";
import type { SourceConfig } from "../../src/config/config.ts";
import { buildSources } from "../../src/sources/build.ts";
import { EchoSource } from "../../src/sources/echo.ts";
import { FileSource } from "../../src/sources/file.ts";
import { HttpSource } from "../../src/sources/http.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { looseLimits, plainRequest } from "../support/source-limits.ts";

const base = { ...looseLimits, timeoutMs: 1_000, concurrency: 2, queue: 3 };
const echo: SourceConfig = { ...base, type: "echo", name: "echo", template: "{key}" };
const file: SourceConfig = { ...base, type: "file", name: "file", root: "/", path: "{1}", maxBodyBytes: 1 };
const http: SourceConfig = {
  ...base,
  type: "http",
  name: "http",
  url: "http://127.0.0.1/{1}",
  method: "GET",
  headers: [],
  ...plainRequest,
  maxBodyBytes: 1,
  isEmptyValue: false,
};

describe("building sources", () => {
  it("makes each by its type, under its name", () => {
    const built = buildSources([echo, file, http], new Map(), new ManualClock());
    expect([...built.keys()]).toEqual(["echo", "file", "http"]);
    const classes = [...built.values()].map(({ source }) => source.constructor);
    expect(classes).toEqual([EchoSource, FileSource, HttpSource]);
  });

  it("takes over what has not changed, with what is under way, and makes anew what has", () => {
    const clock = new ManualClock();
    const before = buildSources([echo, file, http], new Map(), clock);
    const after = buildSources([{ ...http }, { ...echo, concurrency: 9 }], before, clock);
    expect(after.get("http")).toBe(before.get("http"));
    expect(after.get("echo")!.limiter).not.toBe(before.get("echo")!.limiter);
    expect(after.has("file")).toBe(false);
  });
});
