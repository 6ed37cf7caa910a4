import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expand, expanded, mistake } from "../../support/rigs/expanded.ts";

/** Calls and what they give. */
const results: readonly (readonly [string, unknown])[] = [
  ['"@int( -17 )"', -17],
  ['"@int(@bool(true))"', 1],
  ['{ "type": "int", "value": 3.0 }', 3],
  ['"@double(1.25)"', 1.25],
  ['"@double(@int(2))"', 2],
  ['"@str(@int(7))"', "7"],
  ['"@str(@double(7.5))"', "7.5"],
  ['"@str(@bool(true))"', "1"],
  ['["@bool(yes)", "@bool(TRUE)", "@bool(1)", "@bool(off)", "@bool(@int(0))"]', [true, true, true, false, false]],
  ['{ "type": "keys", "dictionary": { "z": 1, "a": 2 } }', ["z", "a"]],
  ['{ "type": "values", "dictionary": { "z": 1, "a": 2 } }', [1, 2]],
  ['{ "type": "merge", "params": [[1], [2, 3], []] }', [1, 2, 3]],
  ['{ "type": "merge", "params": [{ "a": 1, "b": 1 }, { "b": 2 }] }', { a: 1, b: 2 }],
  ['{ "type": "merge", "params": ["a", "b", "c"] }', "abc"],
  ['{ "type": "select", "dictionary": ["a", "b"], "key": -1 }', "b"],
  ['{ "type": "select", "dictionary": { "a": [1] }, "key": "a" }', [1]],
  ['{ "type": "select", "dictionary": {}, "key": "a", "default": 5 }', 5],
  ['{ "type": "select", "dictionary": { "a": 1 }, "key": "a", "default": "@fail(not asked for)" }', 1],
  ['{ "type": "slice", "dictionary": [1, 2, 3, 4], "from": 1, "to": 2 }', [2, 3]],
  ['{ "type": "slice", "dictionary": { "a": 1, "b": 2, "c": 3 }, "from": "b", "to": "z" }', { b: 2, c: 3 }],
  ['"@slice(abcdef, @int(-3), @int(1))"', "ab"],
  ['"@slice(abcdef, @int(4), @int(99))"', "ef"],
  ['"@split(a.b..c, .)"', ["a", "b", "", "c"]],
  ['"@split(abc,)"', ["abc"]],
  ['{ "type": "set", "dictionary": { "a": 1 }, "key": "b", "value": [2] }', { a: 1, b: [2] }],
  ['{ "type": "set", "dictionary": [1, 2], "key": 0, "value": "x" }', ["x", 2]],
  ['"@range(@int(-1), @int(2))"', [-1, 0, 1, 2]],
  ['"@range(@int(2), @int(1))"', []],
  ['{ "type": "contains", "dictionary": [1, [2]], "key": [2.0] }', true],
  ['"@contains(haystack, needle)"', false],
  ['"@contains(haystack, stack)"', true],
  ['{ "type": "contains", "dictionary": { "a": 1 }, "key": "a" }', true],
  ['"@empty()"', true],
  ['{ "type": "empty", "dictionary": [0] }', false],
  ['"@size(é)"', 2],
  ['{ "type": "size", "dictionary": { "a": 1 } }', 1],
  ['{ "type": "equals", "A": { "a": [1, null] }, "B": { "a": [1.0, null] } }', true],
  ['"@equals(1, @int(1))"', false],
  ['"@less(@int(2), @double(2.5))"', true],
  ['"@less(b, a)"', false],
  ['"@less(@int(99), 1)"', true],
  ['{ "type": "less", "A": [1, 2], "B": [1, 2, 0] }', true],
  ['{ "type": "sort", "dictionary": ["b", 3, "a", 1] }', [1, 3, "a", "b"]],
  ['["@bitwiseAnd(@int(6), @int(3))", "@bitwiseOr(@int(6), @int(3))", "@bitwiseXor(@int(6), @int(3))"]', [2, 7, 5]],
  ['["@bitwiseNot(@int(0))", "@bitwiseLeftShift(@int(1), @int(4))"]', [-1, 16]],
  ['{ "type": "bitwiseRightShift", "A": -9223372036854775808, "B": 63 }', 1],
  ['{ "type": "add", "A": 9223372036854775807, "B": 1 }', -(2 ** 63)],
  ['["@add(@int(2), @int(3))", "@sub(@int(2), @int(3))", "@mul(@int(2), @int(3))"]', [5, -1, 6]],
  ['["@div(@int(-7), @int(2))", "@mod(@int(-7), @int(2))"]', [-3, -1]],
  ['["@and(@bool(false), @fail(no))", "@or(@bool(true), @fail(no))", "@not(@bool(true))"]', [false, true, false]],
  ['"@if(@bool(true), yes, @fail(no))"', "yes"],
  ['{ "type": "if", "condition": false, "is_true": "@fail(no)", "is_false": { "a": 1 } }', { a: 1 }],
  ['["@isArray(a)", "@isString(a)", "@isInt(@int(1))", "@isDouble(@int(1))"]', [false, true, true, false]],
  ['{ "type": "isObject", "value": {} }', true],
  ['{ "type": "isBool", "value": true }', true],
  ['["@isLocalIp(127.0.0.1)", "@isLocalIp(192.0.2.1)", "@isLocalIp(no address)"]', [true, false, false]],
  ['{ "type": "define", "vars": { "a": "b" }, "result": "%a%%a%" }', "bb"],
];

describe("a built-in macro", () => {
  for (const [call, result] of results) {
    it(call, async () => expect(await expanded(call)).toEqual(result));
  }

  it("computes SpookyHash of strings and Thomas Wang's hash of numbers if it is hash", async () => {
    const file = new URL("../../vectors/mcrouter-hash.json", import.meta.url);
    const { twang_mix64: mixed, keys } = JSON.parse(readFileSync(file, "utf8"));
    const integer = async (call: string) => {
      const value = (await expand(`{ "value": ${call} }`)).document?.members.get("value");
      return value?.type === "integer" ? BigInt.asUintN(64, value.value) : value;
    };
    for (const [number, hash] of mixed) {
      const signed = BigInt.asIntN(64, BigInt(number));
      expect(await integer(`{ "type": "hash", "value": ${signed} }`)).toBe(BigInt(hash));
    }
    const plain = keys.filter(({ key }: { key: string }) => /^[a-z:0-9]+$/.test(key));
    expect(plain.length).toBeGreaterThan(20);
    for (const { key, spooky64_0: hash } of plain.slice(0, 20)) {
      expect(await integer(`"@hash(${key})"`)).toBe(BigInt(`0x${hash}`));
    }
  });

  it("keeps the same items in another order if it is shuffle", async () => {
    const order = (await expanded('{ "type": "shuffle", "dictionary": [1, 2, 3] }')) as number[];
    expect(order.toSorted()).toEqual([1, 2, 3]);
  });

  const refused: readonly (readonly [string, RegExp])[] = [
    ['"@int(1.5)"', /expected value to be something that is a whole number, got "1\.5"/],
    ['"@int(9223372036854775808)"', /expected value to be something that is a whole number/],
    ['"@double(1.a)"', /expected value to be something that is a number, got "1\.a"/],
    ['{ "type": "str", "value": [] }', /expected value to be a string, a number or a boolean, got a list/],
    ['"@bool(perhaps)"', /expected value to be something that is true or false, got "perhaps"/],
    ['{ "type": "keys", "dictionary": [1] }', /expected dictionary to be an object, got a list/],
    ['{ "type": "merge", "params": [[1], {}] }', /expected params\[1\] to be a list as params\[0\] is, got an object/],
    ['{ "type": "merge", "params": [] }', /params is empty/],
    ['{ "type": "merge", "params": [1] }', /expected params\[0\] to be a list, an object or a string, got 1/],
    ['{ "type": "select", "dictionary": {}, "key": "a" }', /there is no "a" in the dictionary, and no default/],
    ['{ "type": "select", "dictionary": [1], "key": 1 }', /there is no 1 in the dictionary/],
    ['{ "type": "select", "dictionary": [1], "key": "0" }', /expected key to be a whole number, got "0"/],
    ['{ "type": "set", "dictionary": [1], "key": 1, "value": 2 }', /expected key to be from 0 to 0, got 1/],
    ['"@range(@int(0), @int(9000000000))"', /more than 1000000 numbers/],
    ['"@div(@int(1), @int(0))"', /B is 0/],
    ['{ "type": "less", "A": {}, "B": {} }', /objects have no order/],
    ['"@and(yes, no)"', /expected A to be true or false, got "yes"/],
    ['"@fail(My own words)"', /^value: My own words \(in macro "fail", line 1\)$/],
    ['{ "type": "fail", "msg": { "a": 1 } }', /\{"a":1\}/],
    ['{ "type": "weightedHash", "dictionary": { "a": 1 }, "key": 1 }', /weightedHash is not available in this version/],
    ['{ "type": "shuffle", "dictionary": [1], "seed": 1 }', /a seed is not available in this version/],
  ];

  for (const [call, message] of refused) {
    it(`reports an error for ${call}`, async () => expect(await mistake(call)).toMatch(message));
  }
});
