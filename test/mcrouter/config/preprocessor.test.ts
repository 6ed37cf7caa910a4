import { describe, expect, it } from "vitest";
import { expand, expanded, mistake } from "../../support/rigs/expanded.ts";

/** Problems as `line: message`. */
async function problems(text: string): Promise<string[]> {
  return (await expand(text)).problems.map(({ line, message }) => `${line}: ${message}`);
}

describe("a macro", () => {
  const macros = `{
    "greeting": { "type": "macroDef", "params": ["name", { "name": "mark", "default": "!" }], "result": "hello %name%%mark%" },
    "pool": { "type": "macroDef", "params": ["servers"], "result": { "servers": "%servers%", "protocol": "ascii" } },
    "maybe": { "type": "macroDef", "params": [{ "name": "a", "optional": true }], "result": "@defined(a)" },
    "port": { "type": "constDef", "result": "11211" },
    "list": { "type": "constDef", "result": ["a:%port%"] }
  }`;

  it("is called in a string, and its arguments are strings unless they are other calls", async () => {
    expect(await expanded('"@greeting(world)"', macros)).toBe("hello world!");
    expect(await expanded('"@greeting(@greeting(you, ?), .)"', macros)).toBe("hello hello you?.");
    expect(await expanded('"@greeting(a\\\\, b)"', macros)).toBe("hello a, b!");
    expect(await expanded('"@pool(%list%)"', macros)).toEqual({ servers: ["a:11211"], protocol: "ascii" });
  });

  it("is called by an object's type", async () => {
    expect(await expanded('{ "type": "pool", "servers": ["%port%", 1], "other": "ignored" }', macros)).toEqual({
      servers: ["11211", 1],
      protocol: "ascii",
    });
    expect(await expanded('{ "type": "PoolRoute", "pool": "@greeting(you)" }', macros)).toEqual({
      type: "PoolRoute",
      pool: "hello you!",
    });
    expect(await expanded('{ "type": "%which%", "vars": { "which": "pool" }, "servers": [] }', macros)).toEqual({
      servers: [],
      protocol: "ascii",
    });
  });

  it("can have optional parameters", async () => {
    expect(await expanded('["@maybe", "@maybe()"]', macros)).toEqual([false, true]);
    expect(await mistake('"@greeting"', macros)).toBe('value: macro "greeting" takes 1 to 2 arguments, got 0');
    expect(await mistake('"@greeting(a,b,c)"', macros)).toBe('value: macro "greeting" takes 1 to 2 arguments, got 3');
    expect(await mistake('{ "type": "greeting" }', macros)).toBe('value: macro "greeting" needs "name"');
  });

  it("expands in names and values, and escapes literal text", async () => {
    expect(await expanded('{ "@greeting(you)": 1, "x%port%": 2, "\\\\@a": "50\\\\%" }', macros)).toEqual({
      "hello you!": 1,
      x11211: 2,
      "@a": "50%",
    });
  });

  it("does not see the variables around its call", async () => {
    const leaky = '{ "m": { "type": "macroDef", "result": "%v%" } }';
    expect(await mistake('{ "vars": { "v": 1 }, "a": "@m" }', leaky)).toMatch(/^value\.a: %v% is not defined here/);
  });

  it("has a limited recursion depth", async () => {
    const factorial = `{ "f": { "type": "macroDef", "params": ["n"],
      "result": "@if(@less(%n%, @int(2)), @int(1), @mul(%n%, @f(@sub(%n%, @int(1)))))" } }`;
    expect(await expanded('"@f(@int(6))"', factorial)).toBe(720);
    const endless = '{ "f": { "type": "macroDef", "result": "@f" } }';
    expect(await mistake('"@f"', endless)).toMatch(/^value: too many macros in each other; does one need itself\?/);
    expect(
      await mistake(
        '"%c%"',
        '{ "c": { "type": "constDef", "result": "%d%" }, "d": { "type": "constDef", "result": "%c%" } }',
      ),
    ).toMatch(/too many macros/);
    expect(await mistake(`${"[".repeat(300)}${"]".repeat(300)}`)).toMatch(/too many macros/);
  });

  it("can be defined by another macro, in lists, and over a built-in macro", async () => {
    const made =
      '[{ "a": { "type": "constDef", "result": "1" } }, [{ "type": "merge", "params": [{ "b": { "type": "constDef", "result": "%a%2" } }, {}] }]]';
    expect(await expanded('"%b%"', made)).toBe("12");
    expect(
      await expanded('"@size(abc)"', '{ "size": { "type": "macroDef", "params": ["x"], "result": "own %x%" } }'),
    ).toBe("own abc");
    const named = '{ "@str(made)": { "type": "macroDef", "result": "1" } }';
    expect(await expanded('"@made"', named)).toBe("1");
  });
});

describe("variables", () => {
  it("are visible in the object that defines them and below it, and can use each other", async () => {
    const value = `{ "vars": { "a": "%b%!", "b": "x" }, "one": "%a%", "two": { "vars": { "b": "y" }, "three": ["%a%", "%b%"] } }`;
    expect(await expanded(value)).toEqual({ one: "x!", two: { three: ["x!", "y"] } });
  });

  it("can have any value if the string contains nothing else", async () => {
    expect(await expanded('{ "vars": { "v": { "a": [1] } }, "whole": "%v%" }')).toEqual({ whole: { a: [1] } });
    expect(await mistake('{ "vars": { "v": 1 }, "part": "v%v%" }')).toBe(
      "value.part: expected %v% to be a string inside of one, got 1",
    );
  });

  it("are reported if they refer to each other in a cycle, or are not an object", async () => {
    expect(await mistake('{ "vars": { "a": "%b%", "b": "%a%" } }')).toMatch(/too many macros/);
    expect(await mistake('{ "vars": [] }')).toBe("value: expected vars to be an object, got a list");
  });
});

describe("global parameters", () => {
  it("are visible everywhere, and yield to constants of the configuration", async () => {
    const params = { "default-region": "eu", hostid: 17 };
    const macros = '{ "m": { "type": "macroDef", "result": ["%default-region%", "%hostid%"] } }';
    expect(await expanded('"@m"', macros, {}, params)).toEqual(["eu", 17]);
    expect(await expanded('["@defined(hostid)", "@defined(nothing)"]', "{}", {}, params)).toEqual([true, false]);
    expect(await expanded('"%hostid%"', '{ "hostid": { "type": "constDef", "result": 1 } }', {}, params)).toBe(1);
  });
});

describe("problems of a configuration", () => {
  it("are all reported, with their lines and the places that use them", async () => {
    const text = `{
      "macros": {
        "bad": { "type": "macro" },
        "broken": { "type": "macroDef", "params": ["p"],
          "result": { "a": "%q%" } },
        "worse": 5
      },
      "pools": {
        "A": { "servers": ["@select(%hosts%, 0)", "@brocken(1)", "fine:1"] },
        "B": "@broken(1)"
      },
      "route": "50%"
    }`;
    expect(await problems(text)).toEqual([
      '3: macros.bad: expected type to be "macroDef" or "constDef"',
      '5: pools.B: %q% is not defined here (in macro "broken", line 10)',
      "6: macros.worse: expected a macroDef or a constDef, got 5",
      '9: pools.A.servers[0]: %hosts% is not defined here (in macro "select", line 9)',
      '9: pools.A.servers[1]: there is no macro "brocken"; did you mean "broken"?',
      '12: route: a "%" has no other one in "50%"; "\\\\%" is a plain one',
    ]);
  });

  it("are reported once if many values share them", async () => {
    const text = `{ "macros": { "c": { "type": "constDef", "result": "@fail(No)" } }, "a": "%c%", "b": ["%c%"] }`;
    expect(await problems(text)).toEqual(['1: a: No (in macro "fail", line 1; in "c", line 1)']);
  });

  it("are reported at the definition if they concern parameters", async () => {
    const define = (params: string) =>
      mistake("1", `{ "m": { "type": "macroDef", "params": ${params}, "result": 1 } }`);
    expect(await define('[{ "name": "a", "default": 1 }, "b"]')).toBe(
      'macros.m: parameter "b" must be optional: the one before it is',
    );
    expect(await define('["a", "a"]')).toBe('macros.m: parameter "a" is listed twice');
    expect(await define('[{ "name": "a", "default": 1, "optional": false }]')).toBe(
      'macros.m: parameter "a" has a default, so it is optional',
    );
    expect(await define("[1]")).toBe("macros.m: expected a parameter's name, or an object with its name, got 1");
    expect(await define('[{ "name": "a", "optional": 1 }]')).toBe(
      "macros.m: expected optional to be true or false, got 1",
    );
    expect(await define("1")).toBe("macros.m: expected params to be a list, got 1");
    expect(await mistake("1", '{ "m": { "type": "macroDef" } }')).toBe("macros.m: macroDef has no result");
    expect(await mistake("1", '"x"')).toBe('macros: expected an object of macros or a list of such, got "x"');
  });

  it("prevent any resulting document", async () => {
    expect((await expand('{ "a": "@nothing" }')).document).toBeNull();
    expect(await problems("[1]")).toEqual(["1: expected an object, got a list"]);
    expect(await problems('{ "a": 1,\n "b" }')).toEqual(['2: expected ":" behind "b", found "}"']);
    expect(await problems('{ "type": "merge", "params": [[1]] }')).toEqual(["1: expected an object, got a list"]);
  });
});

it("macro results stand in the place of their calls", async () => {
  const text = `{
    "macros": { "pool": { "type": "macroDef", "params": ["p"],
      "result": { "servers": ["a:%p%"] } } },
    "pools": {
      "A": "@pool(1)",
      "B": { "type": "pool",
        "p": "2" }
    }
  }`;
  const { document } = await expand(text);
  const pools = document?.members.get("pools");
  const lines = pools?.type === "object" ? [...pools.members].map(([name, { place }]) => [name, place.line]) : [];
  expect(lines).toEqual([
    ["A", 5],
    ["B", 6],
  ]);
});
