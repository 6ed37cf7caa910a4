/** What a user probably meant, where a value is in another form than Platypus reads. */
import { describe, expect, it } from "vitest";
import { durationMeant, parseDuration, parseSize, sizeMeant } from "../../src/config/units.ts";
import { ConfigError } from "../../src/errors.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";

function problemsOf(text: string): string[] {
  try {
    nativeConfig(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ message }) => message);
    throw error;
  }
  return [];
}

describe("a duration in another form", () => {
  it.each([
    ["60 seconds", "1m"],
    ["5m 30s", "5m30s"],
    ["0.4s", "400ms"],
    ["1.5h", "1h30m"],
    ["1w", "7d"],
    ["2 Days", "2d"],
    ["1 hour and 5 minutes", "1h5m"],
    ["10sec", "10s"],
    ["100 msec", "100ms"],
  ])("is recognised: %s", (text, meant) => {
    expect(parseDuration(text)).toBeNull();
    expect(durationMeant(text)).toBe(meant);
    expect(problemsOf(`[get.a]\nttl = "${text}"`).join()).toContain(`got "${text}"; use "${meant}"`);
  });

  it.each(["", "soon", "5", "5 parsecs", "-1s", "1s of 2s", "0.0001ms"])("is not guessed: %j", (text) => {
    expect(durationMeant(text)).toBeNull();
  });
});

describe("a size in another form", () => {
  it.each([
    ["1MB", "1MiB"],
    ["64k", "64KiB"],
    ["1.5 GB", "1536MiB"],
    ["10 mib", "10MiB"],
    ["100 bytes", "100"],
  ])("is recognised: %s", (text, meant) => {
    expect(parseSize(text)).toBeNull();
    expect(sizeMeant(text)).toBe(meant);
    expect(problemsOf(`[server]\nmax_value = "${text}"`).join()).toContain(`; use "${meant}"`);
  });

  it("is not guessed if the text is unclear", () => {
    for (const text of ["", "big", "1 lot", "-1MB"]) expect(sizeMeant(text)).toBeNull();
  });
});

describe("an error about a misplaced setting", () => {
  it.each([
    ["[get.a]\ntimeout = 1", "get.a.timeout: unknown setting; timeout belongs to [source.NAME]"],
    ["[server]\nservers = 1", "server.servers: unknown setting; servers belongs to [target]"],
    ["[server]\nttl = 1", "server.ttl: unknown setting; ttl belongs to [get.NAME] or [source.NAME]"],
    ["[target]\nlisten = 1", "target.listen: unknown setting; listen belongs to [server]"],
    ["[server]\nlissen = 1", 'server.lissen: unknown setting; did you mean "listen"?'],
  ])("names the right section: %s", (text, expected) => {
    expect(problemsOf(text)).toContain(expected);
  });
});

describe("an address without a host", () => {
  it.each(["24101", ":24101"])("suggests both forms: %s", (text) => {
    expect(problemsOf(`[server]\nadmin_hosts = []\n[listen.a]\naddress = "${text}"`)).toEqual([
      `listen.a.address: "${text}" has no host; use "127.0.0.1:24101" for this machine, "0.0.0.0:24101" for all addresses`,
    ]);
  });
});

it("statuses may be numbers, texts or both", () => {
  const source = (statuses: string) =>
    nativeConfig(`[source.s]\ntype = "http"\nurl = "http://h/{key}"\nvalue_statuses = ${statuses}\n`).sources[0];
  expect(source('[200, "202-204"]')).toEqual(source('["200", "202-204"]'));
  expect(source("[200]")).toEqual(source('"200"'));
});

it("bearer_token cannot be combined with username or password alone", () => {
  const source = '[source.s]\ntype = "http"\nurl = "http://h/"\nbearer_token = "t"\n';
  for (const other of ['username = "u"', 'password = "p"']) {
    expect(problemsOf(`${source}${other}\n`)).toEqual([
      "source.s.bearer_token: username and password say another login",
    ]);
  }
});
