import { beforeEach, describe, expect, it } from "vitest";
import { parseNative } from "../../src/config/native.ts";
import type { SourceError } from "../../src/errors.ts";
import { buildSources } from "../../src/sources/build.ts";
import { MergeSource, type MergeSourceConfig } from "../../src/sources/merge.ts";
import { sourceTypes } from "../../src/sources/types.ts";
import { contextOf } from "../support/fakes/fetch-context.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";

let a: ManualSource;
let b: ManualSource;

beforeEach(() => {
  a = new ManualSource();
  b = new ManualSource();
});

/** Parts of a and b, in this order. */
function sourceOf(...parts: Partial<MergeSourceConfig["parts"][number]>[]): MergeSource {
  const whole = parts.map((part, i) => ({
    path: [],
    source: "ab"[i]!,
    replace: [],
    onFailure: "fail" as const,
    ...part,
  }));
  return new MergeSource({ type: "merge", name: "both", ...looseLimits, parts: whole }, (name) =>
    name === "a" ? a : b,
  );
}

async function outcome(source: MergeSource, answer: () => void): Promise<unknown> {
  const fetching = source.fetch(contextOf("k", ["one"])).then(
    (result) => (result.type === "value" ? JSON.parse(result.value.toString()) : result.type),
    (error: unknown) => (error as SourceError).code,
  );
  await settled();
  answer();
  return fetching;
}

describe("the merge source", () => {
  it("puts values in their places and requests all parts at once", async () => {
    const merged = await outcome(sourceOf({ path: ["x", "y"] }, { path: ["x", "z"] }), () => {
      expect([a.fetches.length, b.fetches.length]).toEqual([1, 1]);
      b.last.answer('{"n": 1}');
      a.last.answer("plain text");
    });
    expect(merged).toEqual({ x: { y: "plain text", z: { n: 1 } } });
  });

  it("keeps the digits of numbers", async () => {
    const fetching = sourceOf({ path: ["x", "y"] }, {}).fetch(contextOf("k"));
    await settled();
    a.last.answer("653247040368672768");
    b.last.answer('\ufeff{"price": 10.50, "x": 1.0}');
    const result = await fetching;
    expect(result.type === "value" && result.value.toString()).toBe('{"x":1.0,"price":10.50}');
  });

  it("fails if the merged value has too many levels", async () => {
    const deep = `${"[".repeat(1_000)}${"]".repeat(1_000)}`;
    expect(await outcome(sourceOf({ path: ["x"] }), () => a.last.answer(deep))).toBe("SOURCE_FAILED");
    expect(await outcome(sourceOf({ path: ["x"] }), () => a.last.answer(deep.slice(1, -1)))).toHaveProperty("x");
  });

  it("puts no number at the top, and nothing below a number", async () => {
    const top = await outcome(sourceOf({}), () => a.last.answer("1.0"));
    expect(top).toBe("SOURCE_FAILED");
    const below = await outcome(sourceOf({ path: ["x"] }, { path: ["x", "y"] }), () => {
      a.last.answer("1.0");
      b.last.answer("2");
    });
    expect(below).toEqual({ x: { y: 2 } });
  });

  it("puts members of objects at the top; later parts override earlier parts", async () => {
    const merged = await outcome(sourceOf({}, {}), () => {
      a.last.answer('{"a": 1, "both": "a"}');
      b.last.answer('{"b": 2, "both": "b", "__proto__": {"x": 1}}');
    });
    expect(JSON.stringify(merged)).toBe('{"a":1,"both":"b","b":2,"__proto__":{"x":1}}');
  });

  it("accepts nothing else at the top", async () => {
    expect(await outcome(sourceOf({}), () => a.last.answer("[1]"))).toBe("SOURCE_FAILED");
  });

  it.each([
    ["fail", "SOURCE_FAILED", "notThere"],
    ["null", { a: null, b: 1 }, { a: null, b: 1 }],
    ["omit", { b: 1 }, { b: 1 }],
  ] as const)("does as it is told with a part that is not had: %s", async (onFailure, failed, missing) => {
    const parts = [{ path: ["a"], onFailure }, { path: ["b"] }];
    const answers = (end: () => void) => () => {
      end();
      b.last.answer("1");
    };
    expect(
      await outcome(
        sourceOf(...parts),
        answers(() => a.last.fail()),
      ),
    ).toEqual(failed);
    expect(
      await outcome(
        sourceOf(...parts),
        answers(() => a.last.notThere()),
      ),
    ).toEqual(missing);
  });

  it("misses if no part has a value", async () => {
    const parts = [
      { path: ["a"], onFailure: "null" as const },
      { path: ["b"], onFailure: "omit" as const },
    ];
    const merged = await outcome(sourceOf(...parts), () => {
      a.last.notThere();
      b.last.notThere();
    });
    expect(merged).toBe("notThere");
  });

  it("passes captures on, or other values in their place", async () => {
    const parts = [
      { path: ["a"] },
      {
        path: ["b"],
        replace: [
          ["1", "<{1}>"],
          ["n", "{key}"],
        ] as [string, string][],
      },
    ];
    await outcome(sourceOf(...parts), () => {
      a.last.answer("1");
      b.last.answer("1");
    });
    expect(Object.fromEntries(a.last.captures.groups)).toEqual({ 1: "one" });
    expect(Object.fromEntries(b.last.captures.groups)).toEqual({ 1: "<one>", n: "k" });
  });

  it("requests its parts with the priority of its own request", async () => {
    void sourceOf({ path: ["a"] }).fetch({ ...contextOf("k"), priority: "refresh" });
    await settled();
    expect(a.last.priority).toBe("refresh");
  });

  it("is fresh for the shortest time of its parts", async () => {
    const source = sourceOf({ path: ["a"] }, { path: ["b"] });
    const fetching = source.fetch(contextOf("k"));
    await settled();
    a.last.answer("1", { freshness: { ttlMs: 9_000, staleMs: null } });
    b.last.answer("1", { freshness: { ttlMs: 3_000, staleMs: 5 } });
    expect(await fetching).toMatchObject({ freshness: { ttlMs: 3_000, staleMs: 5 } });
  });
});

function read(toml: string) {
  return parseNative({ file: "p.toml", text: toml, env: {}, sourceTypes });
}

function problems(toml: string): string {
  try {
    read(toml);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

const PARTS = `[source.one]
type = "echo"
template = "1 {path}"
[source.two]
type = "echo"
template = "2 {path}"
ttl = "4s"
`;

describe("a merge in a configuration", () => {
  it("loads in both spellings of the first Platypus", () => {
    const { sources, rules } = read(`${PARTS}[get.both]
match = "both/(?<path>.+)"
source = "both"
ttl = "60s"
[source.both]
type = "merge"
format = "json"
template = [
  { key = ["a"], source = "one", args = { inherit = {} } },
  { key = ["b", "c"], source = "two", args = { replace = { path = "{path}!" } } },
]
[source.flat]
type = "map"
merge = [{ source = "one", to = "." }, { source = "two", to = "x.y" }]
`);
    const [, , both, flat] = sources;
    expect(both).toMatchObject({
      type: "merge",
      parts: [
        { path: ["a"], source: "one", replace: [] },
        { path: ["b", "c"], source: "two", replace: [["path", "{path}!"]] },
      ],
    });
    expect(flat).toMatchObject({ type: "merge", parts: [{ path: [] }, { path: ["x", "y"] }] });
    // The smallest ttl of the merge and its parts.
    expect(rules[0]!.ttlMs).toBe(4_000);
  });

  it("is reused after a reload only if its parts are unchanged", () => {
    const merge = '[source.both]\ntype = "merge"\ntemplate = [{ key = ["a"], source = "one" }]\n';
    const clock = new ManualClock();
    const before = buildSources(read(PARTS + merge).sources, new Map(), clock);
    const same = buildSources(read(PARTS + merge).sources, before, clock);
    expect(same.get("both")).toBe(before.get("both"));
    const changed = buildSources(read(PARTS.replace('"1 ', '"one ') + merge).sources, before, clock);
    expect(changed.get("two")).toBe(before.get("two"));
    expect(changed.get("both")).not.toBe(before.get("both"));
  });

  it.each([
    ['template = [{ key = ["a"], source = "on" }]', 'there is no [source.on]; did you mean "one"?'],
    ['template = [{ key = "a", source = "one" }]', 'expected key = ["a", "b"], or to = "a.b"'],
    ['template = [{ key = ["a"], source = "one", args = { x = 1 } }]', "args: expected { inherit = {} }"],
    ['template = [{ key = ["a"], source = "one", arg = {} }]', 'unknown setting arg; did you mean "args"?'],
    ['template = [{ key = ["a"], source = "one", on_failure = "maybe" }]', "on_failure: expected"],
    ["template = []", "expected a list of parts"],
    ['template = [{ key = ["a"], source = "both" }]', "needs itself: both → both"],
    ["", "missing; expected a list of parts"],
  ])("is refused with its line number: %s", (template, message) => {
    expect(problems(`${PARTS}[source.both]\ntype = "merge"\n${template}\n`)).toContain(message);
  });

  it("is refused if its parts need each other", () => {
    const merge = (name: string, part: string) =>
      `[source.${name}]\ntype = "merge"\ntemplate = [{ key = ["a"], source = "${part}" }]\n`;
    expect(problems(merge("x", "y") + merge("y", "z") + merge("z", "x"))).toContain("needs itself: x → y → z → x");
  });

  it("needs the captures of its parts, except those that it replaces", () => {
    const rule = '[get.both]\nmatch = "both/(.+)"\nsource = "both"\n';
    const both = (args: string) =>
      `[source.both]\ntype = "merge"\ntemplate = [{ key = ["a"], source = "one"${args} }]\n`;
    expect(problems(PARTS + rule + both(""))).toContain('has no capture named "path"');
    expect(problems(PARTS + rule + both(', args = { replace = { path = "{1}" } }'))).toBe("");
  });
});
