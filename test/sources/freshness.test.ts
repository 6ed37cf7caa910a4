/**
 * The facts of the public suite http-tests/cache-tests that concern how long a shared cache may reuse a response, and
 * what Platypus decides where HTTP leaves a choice. `null` means that the response says nothing and the default counts.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { freshnessFieldsOf, freshnessOf, updatedFields } from "../../src/sources/freshness.ts";
import { ResponseFields } from "../../src/sources/response-fields.ts";

type Headers = Readonly<Record<string, string | string[]>>;

const nowMs = Date.parse("2026-11-30T12:00:00Z");

/** An HTTP date `seconds` from now. */
function at(seconds: number): string {
  return new Date(nowMs + seconds * 1000).toUTCString();
}

function freshnessOfHeaders(headers: Headers) {
  const fields = new ResponseFields(headers);
  return freshnessOf(freshnessFieldsOf(fields), fields, nowMs);
}

/** Seconds for which the response is fresh. */
function secondsOf(headers: Headers): number | null {
  const ttlMs = freshnessOfHeaders(headers)?.ttlMs ?? null;
  return ttlMs === null ? null : ttlMs / 1000;
}

function control(...lines: string[]): Headers {
  return { "cache-control": lines };
}

describe("the lifetime of a response", () => {
  it.each([
    ["public", null],
    ["must-revalidate", null],
    ["proxy-revalidate", null],
    ["stale-while-revalidate=60", null],
    ["immutable", null],
    ["", null],
    [",", null],
    ["no-transform, foobar", null],
    ["max-age=3600", 3600],
    ["MaX-aGe=3600", 3600],
    ["public, max-age=3600, immutable", 3600],
    ["max-age=3600, must-revalidate, proxy-revalidate", 3600],
    ["foobar, max-age=3600", 3600],
    ["max-age=0", 0],
    ["max-age=003600", 3600],
    ['max-age="3600"', 3600],
    ["max-age = 3600", 3600],
    ["max-age=2147483647", 2_147_483_647],
    ["max-age=2147483648", 2_147_483_648],
    ["max-age=99999999999", 2_147_483_648],
    ["s-maxage=3600", 3600],
    ["max-age=3600, s-maxage=1", 1],
    ["s-maxage=1, max-age=3600", 1],
    ["max-age=1, s-maxage=3600", 3600],
    ['extension="max-age=3600", max-age=1', 1],
    ['max-age=1, extension="max-age=3600"', 1],
    ["max-age=1800, max-age=1", 1800],
    ["max-age=1, max-age=1800", 1],
    ["private, max-age=3600", 0],
    ["Private", 0],
    ["No-StOrE", 0],
    ["max-age=10000, no-store", 0],
    ["max-age=10000, No-CaChE", 0],
    ['max-age=3600, no-cache="set-cookie"', 3600],
    ['max-age=3600, private="set-cookie, x"', 3600],
    ['max-age=3600, no-cache=""', 0],
    ["max-age=3600, no-store, must-understand", 3600],
  ])("is, for Cache-Control %j, %j", (value, expected) => {
    expect(secondsOf(control(value))).toBe(expected);
  });

  it.each([
    "max-age",
    "max-age=",
    "max-age=-3600",
    "max-age='3600'",
    "max-age=3600.5",
    "max-age=a3600",
    "max-age=3600a",
  ])("is zero if it cannot be read: %s", (value) => {
    expect(secondsOf(control(value))).toBe(0);
    expect(secondsOf(control(value, "s-maxage=60"))).toBe(60);
  });

  it("is read from all lines of Cache-Control", () => {
    expect(secondsOf(control("max-age=3600", "public"))).toBe(3600);
    expect(secondsOf(control("public", "max-age=3600"))).toBe(3600);
    expect(secondsOf(control("max-age=3600", "s-maxage=1"))).toBe(1);
    expect(secondsOf(control("max-age=3600", "", "no-store"))).toBe(0);
  });

  it.each([
    ["in the future", { expires: at(120), date: at(0) }, 120],
    ["in the past", { expires: at(-120), date: at(0) }, 0],
    ["at the date of the response", { expires: at(0), date: at(0) }, 0],
    ["before a date that is in the future", { expires: at(300), date: at(400) }, 0],
    ["that is no date", { expires: "0", date: at(0) }, 0],
    ["with an invalid date of the response", { expires: at(10), date: "foo" }, 10],
    ["without a date of the response", { expires: at(10) }, 10],
    ["in two lines that are equal", { expires: [at(120), at(120)], date: at(0) }, 120],
    ["in two lines that differ", { expires: [at(120), at(121)], date: at(0) }, 0],
    ["that is empty", { expires: "", date: at(0) }, null],
    ["over which max-age goes", { expires: at(-7200), date: at(0), "cache-control": "max-age=3600" }, 3600],
    ["over which max-age=0 goes", { expires: at(3600), date: at(0), "cache-control": "max-age=0" }, 0],
    ["over which s-maxage goes", { expires: at(-10), "cache-control": "max-age=0, s-maxage=3600" }, 3600],
    ["beside a Cache-Control without a lifetime", { expires: at(60), date: at(0), "cache-control": "public" }, 60],
    ["and the age of a slow clock", { date: at(-10), expires: at(10), age: "25" }, 0],
    ["and the age of a fast clock", { date: at(10), expires: at(20), age: "15" }, 0],
  ])("follows an Expires %s", (_what, headers: Headers, expected) => {
    expect(secondsOf(headers)).toBe(expected);
  });

  it.each([
    ["20", 40],
    ["100", 0],
    ["2147483649", 0],
    ["20, 0", 40],
    ["0, 100", 60],
    [["20", "0"], 40],
    [["0", "100"], 60],
    ["abc", 60],
    ["-20", 60],
    ["20.0", 60],
    ["", 60],
  ])("is reduced by the Age %j", (age, expected) => {
    expect(secondsOf({ "cache-control": "max-age=60", age })).toBe(expected);
  });

  it.each([
    ["nothing", {}, null],
    ["marks", { etag: '"a"', "last-modified": at(-86_400), date: at(0) }, null],
    ["public and an old Last-Modified", { "cache-control": "public", "last-modified": at(-8_640_000) }, null],
    ["Pragma", { pragma: "no-cache" }, null],
    ["Pragma beside a lifetime", { pragma: "no-cache", "cache-control": "max-age=60" }, 60],
    ["Set-Cookie beside a lifetime", { "set-cookie": ["a=b"], "cache-control": "max-age=60" }, 60],
    ["Vary", { vary: "accept-encoding", "cache-control": "max-age=60" }, 60],
    ["Vary: *", { vary: ["accept", "*"], "cache-control": "max-age=60" }, 0],
    ["only Vary: *", { vary: "*" }, 0],
  ])("follows a response with %s", (_what, headers: Headers, expected) => {
    expect(secondsOf(headers)).toBe(expected);
  });
});

describe("the time for which a response may be stale", () => {
  it.each([
    ["max-age=1, stale-while-revalidate=30, stale-if-error=300", 1_000, 300_000],
    ["stale-while-revalidate=60", null, 60_000],
    ["Stale-If-Error=60, max-age=5", 5_000, 60_000],
    ["max-age=5, stale-if-error=x", 5_000, null],
    ["max-age=5, stale-if-error=99999999999", 5_000, 2 ** 31 * 1000],
    ['max-age=5, stale-if-error="0"', 5_000, 0],
  ])("follows %s", (value, ttlMs, staleMs) => {
    expect(freshnessOfHeaders(control(value))).toEqual({ ttlMs, staleMs });
  });
});

describe("freshness after a 304", () => {
  it.each([
    ["is of the 304", control("max-age=5"), control("max-age=3600"), 3600],
    ["is of the 200 where the 304 says nothing", control("max-age=5"), {}, 5],
    ["is of the 200 where the 304 has an empty field", control("max-age=5"), control(""), 5],
    ["is the default where the 304 takes the lifetime away", control("max-age=5"), control("public"), null],
    ["is not shortened by the age of the 200", { "cache-control": "max-age=60", age: "50" }, {}, 60],
    ["is shortened by the age of the 304", control("max-age=60"), { age: "50" }, 10],
    ["takes Expires of the 304", { expires: at(-5), date: at(-60) }, { expires: at(60), date: at(0) }, 60],
    ["counts Expires of the 200 to its end", { expires: at(40), date: at(-60) }, { date: at(0) }, 40],
  ])("%s", (_what, stored: Headers, update: Headers, expected) => {
    const response = new ResponseFields(update);
    const kept = updatedFields(freshnessFieldsOf(new ResponseFields(stored)), freshnessFieldsOf(response));
    const ttlMs = freshnessOf(kept, response, nowMs)?.ttlMs ?? null;
    expect(ttlMs === null ? null : ttlMs / 1000).toBe(expected);
  });
});

describe("invalid freshness fields", () => {
  it("never cause an error and never give a lifetime that is not a number", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 30 }),
      fc.constantFrom("max-age=", "=", '"', "no-cache=", "s-maxage=1e9", at(0), "*", '\\"', "max-age=9".repeat(9)),
    );
    const lines = fc.array(text, { maxLength: 4 });
    const headers = fc.record({
      "cache-control": lines,
      expires: lines,
      age: lines,
      date: lines,
      vary: lines,
      pragma: lines,
    });
    fc.assert(
      fc.property(headers, (given) => {
        const freshness = freshnessOfHeaders(given);
        const ttlMs = freshness?.ttlMs ?? 0;
        expect(ttlMs).toBeGreaterThanOrEqual(0);
        expect(ttlMs).toBeLessThan(Number.POSITIVE_INFINITY);
        expect(freshness?.staleMs ?? 0).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
