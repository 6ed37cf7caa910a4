import { describe, expect, it } from "vitest";
import { parseHttpDate } from "../../src/sources/http-date.ts";

const nowMs = Date.UTC(2026, 10, 30);

describe("parseHttpDate", () => {
  it.each([
    ["Thu, 18 Aug 2050 02:01:18 GMT", "2050-08-18T02:01:18Z"],
    ["THU, 18 AUG 2050 02:01:18 gmt", "2050-08-18T02:01:18Z"],
    ["Thursday, 18-Aug-50 02:01:18 GMT", "2050-08-18T02:01:18Z"],
    ["Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"],
    ["Thu Aug  8 02:01:18 2050", "2050-08-08T02:01:18Z"],
    ["Thu Aug 18 02:01:18 2050", "2050-08-18T02:01:18Z"],
    ["Sun, 21 Nov 2286 04:46:39 GMT", "2286-11-21T04:46:39Z"],
    ["Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z"],
    ["Sat, 31 Dec 2016 23:59:60 GMT", "2017-01-01T00:00:00Z"],
  ])("reads %s", (text, expected) => {
    expect(parseHttpDate(text, nowMs)).toBe(Date.parse(expected));
  });

  it.each([
    "",
    "0",
    "-1",
    "2050-08-18T02:01:18Z",
    "Thu, 18 Aug 2050 02:01:18 UTC",
    "Thu, 18 Aug 2050 02:01:18 AEST",
    "Thu, 18 Aug 2050 02:01:18",
    "Thu, 18 Aug 50 02:01:18 GMT",
    "Thu 18 Aug 2050 02:01:18 GMT",
    "Thu, 18  Aug  2050 02:01:18 GMT",
    "Thu, 18-Aug-2050 02:01:18 GMT",
    "Thu, 18 Aug 2050 02.01.18 GMT",
    "Thu, 18 Aug 2050 2:01:18 GMT",
    "Thu, 31 Feb 2050 02:01:18 GMT",
    "Thu, 00 Feb 2050 02:01:18 GMT",
    "Thu, 18 Abc 2050 02:01:18 GMT",
    "Thu, 18 Aug 2050 24:01:18 GMT",
    "Thu, 18 Aug 2050 02:60:18 GMT",
    "Thu, 18 Aug 2050 02:01:61 GMT",
  ])("refuses %j", (text) => {
    expect(parseHttpDate(text, nowMs)).toBeNull();
  });
});
