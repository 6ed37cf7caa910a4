import { copyFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { parseNative } from "../../src/config/native.ts";
import { SourceError } from "../../src/errors.ts";
import type { ManyGetter } from "../../src/getter.ts";
import { GetterSource } from "../../src/sources/getter.ts";
import { Limiter } from "../../src/sources/limiter.ts";
import { moduleType } from "../../src/sources/module.ts";
import type { Source } from "../../src/sources/source.ts";
import { sourceTypes } from "../../src/sources/types.ts";
import { contextOf } from "../support/fakes/fetch-context.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { settled } from "../support/fakes/settled.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";
import { temporaryFolder } from "../support/rigs/started.ts";

const file = (name: string) => fileURLToPath(new URL(`../support/modules/${name}`, import.meta.url));
const batch = { maxKeys: 50, waitMs: 1, refreshWaitMs: 500 };

function sourceOf(name = "getter.ts"): Source {
  const config = { type: "module", name: "own", ...looseLimits, path: file(name), version: "1", batch };
  return moduleType.create(config, { clock: new ManualClock(), peers: [], partNamed: () => expect.fail() });
}

async function outcome(source: Source, part: string, tag: string | null = null): Promise<unknown> {
  try {
    const context = contextOf(`k/${part}`, [part]);
    return await source.fetch({ ...context, groups: new Map([...context.groups, ["id", part]]), tag });
  } catch (error) {
    expect(error).toBeInstanceOf(SourceError);
    return (error as SourceError).message;
  }
}

describe("the module source", () => {
  it("passes the key and its captures to the module", async () => {
    expect(await outcome(sourceOf(), "17")).toMatchObject({ type: "value", value: Buffer.from("k/17 of 17") });
  });

  it("accepts bytes, a ttl and a tag, nothing, or an unchanged marker", async () => {
    const source = sourceOf();
    expect(await outcome(source, "bytes")).toMatchObject({ value: Buffer.from([0, 255]), freshness: null });
    expect(await outcome(source, "ttl")).toMatchObject({ tag: "one", freshness: { ttlMs: 2_000, isBinding: true } });
    expect(await outcome(source, "none")).toEqual({ type: "notThere" });
    expect(await outcome(source, "unchanged", "one")).toMatchObject({ type: "unchanged" });
  });

  it("reports the module's own error if it throws, and continues to ask it", async () => {
    const source = sourceOf();
    expect(await outcome(source, "throws")).toBe("source own: the database is away");
    expect(await outcome(source, "bytes")).toMatchObject({ type: "value" });
  });

  it("lists the allowed results if the module returns something else", async () => {
    expect(await outcome(sourceOf(), "number")).toBe(
      "source own: expected a string, bytes, { value, ttl, tag } or undefined from the getter, got a number",
    );
  });

  it('fails if the module answers "unchanged" for a value that is not stored', async () => {
    const source = new GetterSource("own", async () => ({ one: () => ({ unchanged: true }), many: null }), batch);
    expect(await outcome(source, "x")).toMatch(/^source own: expected a value, since no tag was given/);
  });

  it("notifies a hanging module of the timeout", async () => {
    const clock = new ManualClock();
    const limiter = new Limiter(sourceOf(), looseLimits, clock);
    const fetching = limiter.fetch(contextOf("k", ["hangs"]), "fill", null).catch((error: SourceError) => error.code);
    // Loading the module takes the real event loop.
    await outcome(sourceOf(), "none");
    await settled();
    clock.advance(5_000);
    expect(await fetching).toBe("SOURCE_TIMEOUT");
    await expect.poll(() => limiter.inFlight).toBe(0);
  });

  it("asks for one key with other captures in another call, since results by key have one value for it", async () => {
    const calls: string[][] = [];
    const many: ManyGetter = (requests) => {
      calls.push(requests.map(({ key, captures }) => `${key} ${captures[1]}`));
      return new Map(requests.map(({ key, captures }) => [key, `value ${captures[1]}`]));
    };
    const source = new GetterSource("own", async () => ({ one: null, many }), batch);
    const limiter = new Limiter(source, looseLimits, systemClock);
    const parts = [
      ["k", "one"],
      ["k", "two"],
      ["other", "one"],
      ["k", "one"],
    ] as const;
    const results = await Promise.all(parts.map(([key, part]) => limiter.fetch(contextOf(key, [part]), "fill", null)));
    const values = results.map((result) => (result.type === "value" ? result.value.toString() : result.type));
    expect(values).toEqual(["value one", "value two", "value one", "value one"]);
    expect(calls).toEqual([["k one", "other one", "k one"], ["k two"]]);
  });

  it.each([
    ["no-getter.js", /no-getter.js has no function as its default export$/],
    ["none.js", /Cannot find module|Failed to load|ERR_MODULE_NOT_FOUND/],
  ])("reports a missing getter: %s", async (name, message) => {
    expect(await outcome(sourceOf(name), "x")).toMatch(message);
  });
});

describe("a module in a configuration", () => {
  it("must exist, and is a different source after its file has changed", async () => {
    const folder = await temporaryFolder();
    const read = (name: string) =>
      parseNative({
        file: path.join(folder, "p.toml"),
        text: `[source.own]\ntype = "module"\npath = "${name}"`,
        env: {},
        sourceTypes,
      });
    expect(() => read("none.ts")).toThrow(/p\.toml:3: source\.own\.path: .*none\.ts: there is no such file/);
    await copyFile(file("no-getter.js"), path.join(folder, "own.js"));
    const before = read("own.js");
    expect(before.files).toEqual([path.join(folder, "own.js")]);
    await writeFile(path.join(folder, "own.js"), "export default () => 'changed';");
    expect(read("own.js").sources[0]).not.toEqual(before.sources[0]);
  });
});
