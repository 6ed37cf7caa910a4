import { describe, expect, it } from "vitest";
import { AwsSecretsManagerSource, type AwsSecretsManagerSourceConfig } from "../../src/sources/aws-secrets-manager.ts";
import { type BuiltSource, buildSources, retireSources } from "../../src/sources/build.ts";
import { EchoSource, type EchoSourceConfig } from "../../src/sources/echo.ts";
import { FileSource, type FileSourceConfig } from "../../src/sources/file.ts";
import type { HttpSourceConfig } from "../../src/sources/http.ts";
import { HttpSource } from "../../src/sources/http-source.ts";
import { Limiter } from "../../src/sources/limiter.ts";
import { MergeSource, type MergeSourceConfig } from "../../src/sources/merge.ts";
import { contextOf } from "../support/fakes/fetch-context.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import { looseLimits, plainRequest } from "../support/rigs/source-limits.ts";

const base = { ...looseLimits, timeoutMs: 1_000, concurrency: 2, queue: 3 };
const echo: EchoSourceConfig = { ...base, type: "echo", name: "echo", template: "{key}" };
const file: FileSourceConfig = { ...base, type: "file", name: "file", root: "/", path: "{1}", maxBodyBytes: 1 };
const http: HttpSourceConfig = {
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
const vault: AwsSecretsManagerSourceConfig = {
  ...base,
  ...{ type: "awssm", name: "vault", key: "{1}", versionStage: "AWSCURRENT", field: null },
  connection: { pool: null, region: "eu-west-1", profile: null, endpoint: null, assumeRole: null, maxCalls: null },
};

function withField(config: AwsSecretsManagerSourceConfig): AwsSecretsManagerSourceConfig {
  return { ...config, field: "f" };
}

function clientOf(built: ReadonlyMap<string, BuiltSource>, name: string): unknown {
  const source = built.get(name)!.source;
  return source instanceof AwsSecretsManagerSource ? source.client : null;
}

describe("buildSources", () => {
  it("makes each source by its type, under its name", () => {
    const built = buildSources([echo, file, http, vault], new Map(), new ManualClock());
    expect([...built.keys()]).toEqual(["echo", "file", "http", "vault"]);
    const classes = [...built.values()].map(({ source }) => source.constructor);
    expect(classes).toEqual([EchoSource, FileSource, HttpSource, AwsSecretsManagerSource]);
  });

  it("keeps unchanged sources with their running fetches, and rebuilds changed sources", () => {
    const clock = new ManualClock();
    const before = buildSources([echo, file, http], new Map(), clock);
    const after = buildSources([{ ...http }, { ...echo, concurrency: 9 }], before, clock);
    expect(after.get("http")).toBe(before.get("http"));
    expect(after.get("echo")!.limiter).not.toBe(before.get("echo")!.limiter);
    expect(after.has("file")).toBe(false);
  });

  it("gives the sources of one AWS pool a shared client, after a reload too, and other sources separate clients", () => {
    const clock = new ManualClock();
    const connection = { ...vault.connection, pool: "aws" };
    const [a, b] = [
      { ...vault, name: "a", connection },
      { ...vault, name: "b", connection },
    ];
    const before = buildSources([vault, { ...vault, name: "own" }, a, b], new Map(), clock);
    expect(clientOf(before, "a")).toBe(clientOf(before, "b"));
    expect(clientOf(before, "vault")).not.toBe(clientOf(before, "own"));
    const after = buildSources([a, withField(b), withField(vault)], before, clock);
    expect(clientOf(after, "b")).toBe(clientOf(before, "a"));
    expect(clientOf(after, "vault")).not.toBe(clientOf(before, "vault"));
    const movedSource: AwsSecretsManagerSourceConfig = { ...a, connection: { ...connection, region: "eu-west-2" } };
    expect(clientOf(buildSources([movedSource], after, clock), "a")).not.toBe(clientOf(after, "a"));
  });
});

describe("a source that left the configuration", () => {
  it("closes as part of a merge when its last fetch, which waited for its turn, has ended", async () => {
    const clock = new ManualClock();
    const part = new ManualSource();
    const partLimiter = new Limiter(part, base, clock);
    const config: MergeSourceConfig = {
      ...base,
      concurrency: 1,
      type: "merge",
      name: "both",
      parts: [{ path: ["a"], source: "http", replace: [], onFailure: "fail" }],
    };
    const merge = new MergeSource(config, () => partLimiter);
    const limiter = new Limiter(merge, config, clock);
    const previous = new Map<string, BuiltSource>([
      ["http", { config: http, source: part, limiter: partLimiter }],
      ["both", { config, source: merge, limiter }],
    ]);
    const first = limiter.fetch(contextOf("k1"), "fill", null);
    const second = limiter.fetch(contextOf("k2"), "fill", null);
    await settled();
    retireSources(previous, new Map(), () => {});
    part.last.answer("1");
    await first;
    await settled();
    expect([part.keys, part.closes]).toEqual([["k1", "k2"], 0]);
    part.last.answer("2");
    await second;
    await settled();
    expect(part.closes).toBe(1);
  });
});
