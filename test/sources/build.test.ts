import { describe, expect, it } from "vitest";
import type { AwsSecretsManagerSourceConfig, SourceConfig } from "../../src/config/config.ts";
import { AwsSecretsManagerSource } from "../../src/sources/aws-secrets-manager.ts";
import { type BuiltSource, buildSources } from "../../src/sources/build.ts";
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
const vault: AwsSecretsManagerSourceConfig = {
  ...base,
  ...{ type: "awssm", name: "vault", key: "{1}", versionStage: "AWSCURRENT", field: null },
  connection: { pool: null, region: "eu-west-1", profile: null, endpoint: null, assumeRole: null, maxCalls: null },
};

function clientOf(built: ReadonlyMap<string, BuiltSource>, name: string): unknown {
  const source = built.get(name)!.source;
  return source instanceof AwsSecretsManagerSource ? source.client : null;
}

describe("building sources", () => {
  it("makes each by its type, under its name", () => {
    const built = buildSources([echo, file, http, vault], new Map(), new ManualClock());
    expect([...built.keys()]).toEqual(["echo", "file", "http", "vault"]);
    const classes = [...built.values()].map(({ source }) => source.constructor);
    expect(classes).toEqual([EchoSource, FileSource, HttpSource, AwsSecretsManagerSource]);
  });

  it("takes over what has not changed, with what is under way, and makes anew what has", () => {
    const clock = new ManualClock();
    const before = buildSources([echo, file, http], new Map(), clock);
    const after = buildSources([{ ...http }, { ...echo, concurrency: 9 }], before, clock);
    expect(after.get("http")).toBe(before.get("http"));
    expect(after.get("echo")!.limiter).not.toBe(before.get("echo")!.limiter);
    expect(after.has("file")).toBe(false);
  });

  it("gives sources of one AWS pool one client, after a reload too, and the others one each", () => {
    const clock = new ManualClock();
    const connection = { ...vault.connection, pool: "aws" };
    const [a, b] = [
      { ...vault, name: "a", connection },
      { ...vault, name: "b", connection },
    ];
    const before = buildSources([vault, { ...vault, name: "own" }, a, b], new Map(), clock);
    expect(clientOf(before, "a")).toBe(clientOf(before, "b"));
    expect(clientOf(before, "vault")).not.toBe(clientOf(before, "own"));
    const after = buildSources([a, { ...b, field: "f" }, { ...vault, field: "f" }], before, clock);
    expect(clientOf(after, "b")).toBe(clientOf(before, "a"));
    expect(clientOf(after, "vault")).not.toBe(clientOf(before, "vault"));
    const moved = { ...connection, region: "eu-west-2" };
    expect(clientOf(buildSources([{ ...a, connection: moved }], after, clock), "a")).not.toBe(clientOf(after, "a"));
  });
});
