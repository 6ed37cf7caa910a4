import { describe, expect, it } from "vitest";
import { expanded, mistake } from "../../support/rigs/expanded.ts";

describe("the transform macro", () => {
  it("rebuilds every item of a list, or names and items of an object", async () => {
    const servers = '{ "type": "transform", "dictionary": ["a", "b"], "itemTransform": "%item%:11211" }';
    expect(await expanded(servers)).toEqual(["a:11211", "b:11211"]);
    const swapped = `{ "type": "transform", "dictionary": { "a": "1", "b": "2" }, "keyTransform": "%v%", "itemTransform": ["%k%"],
      "keyName": "k", "itemName": "v" }`;
    expect(await expanded(swapped)).toEqual({ 1: ["a"], 2: ["b"] });
    const kept = '{ "type": "transform", "dictionary": { "a": 1 }, "keyTransform": "x%key%" }';
    expect(await expanded(kept)).toEqual({ xa: 1 });
  });

  it("puts an item under several names, or under none", async () => {
    const several =
      '{ "type": "transform", "dictionary": { "a": ["x", "y"], "b": [] }, "keyTransform": "%item%", "itemTransform": "%key%" }';
    expect(await expanded(several)).toEqual({ x: "a", y: "a" });
  });

  it("requires something to iterate over", async () => {
    expect(await mistake('{ "type": "transform", "dictionary": [1] }')).toMatch(/a list needs itemTransform/);
    expect(await mistake('{ "type": "transform", "dictionary": 1 }')).toMatch(
      /expected dictionary to be a list or an object, got 1/,
    );
    expect(await mistake('{ "type": "transform" }')).toMatch(/needs "dictionary"/);
    const numbers = '{ "type": "transform", "dictionary": { "a": 1 }, "keyTransform": "%item%" }';
    expect(await mistake(numbers)).toMatch(/expected keyTransform to give a string or a list of strings, got 1/);
  });
});

describe("the process macro", () => {
  it("folds all items into one value", async () => {
    const sum =
      '{ "type": "process", "initialValue": 0, "dictionary": [1, 2, 3], "transform": "@add(%value%, %item%)" }';
    expect(await expanded(sum)).toBe(6);
    const names = `{ "type": "process", "initialValue": "", "dictionary": { "a": "1", "b": "2" }, "transform": "%sum%%k%=%i%;",
      "keyName": "k", "itemName": "i", "valueName": "sum" }`;
    expect(await expanded(names)).toBe("a=1;b=2;");
  });
});

describe("the foreach macro", () => {
  it("combines the results of the selected items", async () => {
    const list = `{ "type": "foreach", "from": [1, 2, 3, 4], "where": "@equals(@mod(%item%, @int(2)), @int(0))",
      "use": ["%key%", "%item%"] }`;
    expect(await expanded(list)).toEqual([1, 2, 3, 4]);
    const object =
      '{ "type": "foreach", "from": ["a", "b"], "item": "server", "use": { "pool-%server%": { "servers": ["%server%:1"] } } }';
    expect(await expanded(object)).toEqual({ "pool-a": { servers: ["a:1"] }, "pool-b": { servers: ["b:1"] } });
    const kept = '{ "type": "foreach", "from": { "a": 1, "b": 2 }, "where": "@less(@int(1), %item%)" }';
    expect(await expanded(kept)).toEqual({ b: 2 });
    expect(await expanded('{ "type": "foreach", "from": ["a", "b"], "top": "@int(1)" }')).toEqual(["a"]);
  });

  it("returns its noMatchResult if nothing matches", async () => {
    const none = (from: string, rest = "") =>
      expanded(`{ "type": "foreach", "from": ${from}, "where": "@bool(false)", "use": [1]${rest} }`);
    expect(await none("[1]")).toEqual([]);
    expect(await none('{ "a": 1 }')).toEqual({});
    expect(await none("[1]", ', "noMatchResult": "%x%", "vars": { "x": { "y": 1 } }')).toEqual({ y: 1 });
  });

  it("requires results that fit together", async () => {
    const mixed =
      '{ "type": "foreach", "from": [1, 2], "use": "@if(@equals(%item%, @int(1)), @split(a,b), %o%)", "vars": { "o": {} } }';
    expect(await mistake(mixed)).toMatch(/expected use to be a list as the first is, got an object/);
    expect(await mistake('{ "type": "foreach", "from": [1], "use": 1 }')).toMatch(
      /expected use to be a list or an object, got 1/,
    );
    expect(await mistake('{ "type": "foreach", "from": [1], "where": 1 }')).toMatch(
      /expected where to be true or false, got 1/,
    );
    expect(await mistake('{ "type": "foreach", "from": [1], "top": -1 }')).toMatch(
      /expected top to be a whole number from 0 on, got -1/,
    );
    expect(await mistake('{ "type": "foreach", "from": [1], "item": 1 }')).toMatch(
      /expected item to be a string, got 1/,
    );
  });
});
