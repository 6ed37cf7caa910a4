/** What is wrong in a native configuration, with its line and what to do. */
import { describe, expect, it } from "vitest";
import { fileTypes } from "../../src/sources/types.ts";
import { problems } from "../support/rigs/read-native.ts";

const stuff = '[source.stuff]\ntype = "http"\nurl = "http://localhost:123/stuff/{1}"\n';
const vault = '[source.s]\ntype = "awssm"\nkey = "app/{1}"\n';
const typeNames = fileTypes.flatMap(({ names }) => names.map((name) => `"${name}"`)).join(", ");
const quickstart = '[get.quickstart]\nmatch = "quickstart/(.*)"\nsource = "stuff"\n';

describe("the problems of a native configuration", () => {
  it("are reported together, each with its line", () => {
    expect(
      problems(
        [
          "[server]", // 1
          "lisen = 1", // 2
          "max_connections = 0", // 3
          "[sorce.x]", // 4
          "[get.a]", // 5
          'match = "a("', // 6
          'source = "stuf"', // 7
          'ttl = "500ms"', // 8
          'expiry = "soon"', // 9
          stuff, // 10 to 12
        ].join("\n"),
      ),
    ).toEqual([
      '2: server.lisen: unknown setting; did you mean "listen"?',
      "3: server.max_connections: expected a whole number from 1 to 1000000, got 0",
      '4: sorce: unknown section; did you mean "source"?',
      "6: get.a.match: error parsing regexp: missing closing ): `a(`",
      '7: get.a.source: there is no [source.stuf]; did you mean "stuff"?',
      '8: get.a.ttl: expected a duration from 1s to 365d, or "source", got "500ms"',
      '9: get.a.expiry: expected a duration from 1s to 365d, such as "250ms" or "1m30s", got "soon"',
    ]);
  });

  const cases: [name: string, text: string, expected: string[]][] = [
    ["a setting outside any section", "ttl = 1", ["1: ttl: is in no section; expected [server], [get.NAME] …"]],
    ["a value where a section belongs", "server = 3", ["1: server: expected a section [server], got 3"]],
    ["a rule without a name", '[get]\nmatch = "a"', ['2: get.match: expected a section [get.NAME] around it, got "a"']],
    ["a name with blanks", '[get."a b"]', ["1: get.a b: expected a name of at most 64 letters, digits, - and _"]],
    [
      "a rule without its essentials",
      "[get.a]",
      ["1: get.a.match: missing; expected a string", "1: get.a.source: missing; expected a string"],
    ],
    [
      "a number for a duration",
      `${quickstart}ttl = 60\n${stuff}`,
      [
        '4: get.quickstart.ttl: expected a duration from 1s to 365d, or "source", got 60; a duration has a unit: "60s" or "60ms"',
      ],
    ],
    [
      "a wrong choice",
      `${quickstart}mode = "onn"\n${stuff}`,
      ['4: get.quickstart.mode: expected "on" or "observe" or "off", got "onn"; did you mean "on"?'],
    ],
    [
      "a refresh before the value is fetched",
      `${quickstart}refresh_before = "60s"\n${stuff}`,
      ["4: get.quickstart.refresh_before: expected refresh_before to be shorter than ttl"],
    ],
    [
      "a bad default in a source once, whatever rules use it",
      `${quickstart}${quickstart.replace("quickstart]", "b]")}${stuff}ttl = 1\n`,
      [
        '10: source.stuff.ttl: expected a duration from 1s to 365d, or "source", got 1; a duration has a unit: "1s" or "1ms"',
      ],
    ],
    [
      "a setting and its synonym",
      `${stuff}method = "GET"\naction = "GET"`,
      ["5: source.stuff.action: says the same as method; keep one of them"],
    ],
    [
      "more captures used than the pattern has",
      quickstart + stuff.replace("{1}", "{2}"),
      ["6: source.stuff.url: uses {2}, but get.quickstart.match has only 1 capture"],
    ],
    [
      "a captured name that the pattern does not have",
      `${quickstart.replace("(.*)", "(?P<ident>.*)")}${stuff}headers = { A = "{key} {ident} {idant}" }`,
      [
        '7: source.stuff.headers.A: uses {idant}, but get.quickstart.match has no capture named "idant"; did you mean "ident"?',
      ],
    ],
    [
      "an invalid template",
      stuff.replace("{1}", "{1"),
      ['3: source.stuff.url: "{" at position 28 belongs to no {name}; write {{ for the brace itself'],
    ],
    [
      "an unknown source type",
      '[source.s]\ntype = "htpp"',
      [`2: source.s.type: expected ${typeNames}, got "htpp"; did you mean "http"?`],
    ],
    ["a source without a type", "[source.s]", [`1: source.s.type: missing; expected ${typeNames}`]],
    [
      "a setting of another source type",
      '[source.s]\ntype = "echo"\nurl = "http://a/"',
      ["3: source.s.url: unknown setting"],
    ],
    [
      "a file path that leaves its root",
      '[source.s]\ntype = "file"\nroot = "/r"\npath = "../{1}"',
      ['4: source.s.path: expected a path below root without "..", got "../{1}"'],
    ],
    [
      "headers that belong to the connection",
      `${stuff}[source.stuff.headers]\nConnection = "close"\n"a b" = ""\nX = 1`,
      [
        "5: source.stuff.headers.Connection: belongs to the connection and cannot be set",
        "6: source.stuff.headers.a b: expected the name of a header field",
        "7: source.stuff.headers.X: expected a template, got 1",
      ],
    ],
    [
      "a prefix that cannot stand in a key",
      '[server]\nprefix = "a b"',
      ["2: server.prefix: expected at most 200 ASCII characters without blanks"],
    ],
    [
      "addresses that are none, or twice there",
      '[server]\nlisten = ["a:1",\n"a:1",\n"b:x"]',
      [
        "3: server.listen[1]: a:1 is listed twice",
        '4: server.listen[2]: expected host:port, [ipv6]:port, tls:host:port, unix:PATH or fd:NUMBER, got "b:x"',
      ],
    ],
    [
      "servers that cannot be used",
      '[target]\nservers = ["a:1", "a:1 2",\n"b:1 0",\n"c:0", "d:1 x"]',
      [
        "2: target.servers[1]: a:1 is listed twice; give it a weight instead",
        '3: target.servers[2]: expected a weight from 1 to 1000000, got "0"',
        '4: target.servers[3]: expected "host:port", "host:port weight", "host:port weight name" or "unix:PATH weight", got "c:0"',
        '4: target.servers[4]: expected a weight from 1 to 1000000, got "x"',
      ],
    ],
    [
      "a server that is ourselves",
      '[target]\nhost = "localhost"',
      ["2: target.host: localhost:11211 is one of Platypus' own [server] listen addresses"],
    ],
    [
      "a target without servers",
      "[target]",
      ['1: target: no servers; expected servers = ["host:11211"] or host and port'],
    ],
    [
      "servers beside host",
      '[target]\nhost = "a"\nservers = ["a:1"]',
      ["2: target.host: says the same as servers; keep one of them"],
    ],
    [
      "two pools",
      '[pool.a]\nservers = "a:1"\n[pool.b]\nservers = "b:1"',
      [
        '3: pool.b: several pools need routes: add [[route]] with pool = "b" and the prefix of its keys, and [[route]] with the pool of all other keys',
      ],
    ],
    [
      "a pool beside the target",
      '[pool.a]\nservers = "a:1"\n[target]\nhost = "b"',
      ["1: pool.a: [target] is the only pool already; use [pool.NAME] for each pool, or one [target]"],
    ],
    [
      "a pool of something else",
      '[pool.a]\ntype = "redis"\nservers = "a:1"',
      ['2: pool.a.type: expected "memcached" or "awssm" or "aws_secrets_manager", got "redis"'],
    ],
    [
      "servers of a pool that has none",
      '[pool.a]\ntype = "aws_secrets_manager"\nservers = "a:1"',
      ["3: pool.a.servers: unknown setting"],
    ],
    [
      "a connection of AWS that cannot be one",
      '[pool.a]\ntype = "awssm"\nregion = "Ireland"\nprofile = ""\nendpoint = "localhost:1"\nassume_role = "cache"',
      [
        '3: pool.a.region: expected a region such as "eu-central-1"',
        "4: pool.a.profile: expected the name of a profile",
        "5: pool.a.endpoint: expected http://HOST or https://HOST, with a port if need be",
        '6: pool.a.assume_role: expected the ARN of a role, such as "arn:aws:iam::123456789012:role/cache"',
      ],
    ],
    [
      "a login in the URL of an AWS endpoint",
      `${vault}endpoint = "http://me:hunter2@host/"`,
      ["4: source.s.endpoint: expected http://HOST or https://HOST, with a port if need be"],
    ],
    [
      "a pool that is no way to AWS",
      `[pool.cache]\nservers = "a:1"\n[pool.accounts]\ntype = "awssm"\n${vault}pool = "acounts"`,
      ['8: source.s.pool: there is no [pool.acounts] with type = "aws_secrets_manager"; did you mean "accounts"?'],
    ],
    [
      "a connection beside a pool's",
      `[pool.a]\ntype = "awssm"\n${vault}pool = "a"\nregion = "eu-west-1"`,
      ["7: source.s.region: belongs into [pool.a], whose connection is used"],
    ],
    [
      "a secret's name that cannot be one",
      vault.replace("app/{1}", "app {1}"),
      ['3: source.s.key: expected the name of a secret: letters, digits and /_+=.@-, got "app {1}"'],
    ],
    [
      "both names of one setting",
      `${vault}secret_id = "b"`,
      ["4: source.s.secret_id: says the same as key; keep one of them"],
    ],
    [
      "what a version stage and a field cannot be",
      `${vault}version_stage = ""\nfield = ""`,
      [
        "4: source.s.version_stage: expected the staging label of a version",
        "5: source.s.field: expected the name of a field",
      ],
    ],
  ];
  it.each(cases)("name %s", (_, text, expected) => {
    expect(problems(text)).toEqual(expected);
  });

  it("name every URL in which a key could choose the server", () => {
    const placeholder = "scheme, host and port cannot hold a placeholder";
    const begin = "expected a URL that begins with";
    const urls: [string, string | null][] = [
      ["http://host{1}/", placeholder],
      ["http://host:80{1}", placeholder],
      ["http://{1}@host/", placeholder],
      ["https://host\\\\{1}", placeholder],
      ["http:///{1}", begin],
      ["http:/{1}", begin],
      ["{1}://host/", begin],
      ["ftp://host/{1}", begin],
      ["//host/{1}", begin],
      ["http://me:secret@host/", "a user name or password"],
      ["http://host:99999/", "expected HOST or HOST:PORT after http://"],
      ["http://host/a\\n{1}", "a URL cannot hold the character U+000A, at position 14"],
      ["http://host/{1}?a=\\r", "a URL cannot hold the character U+000D"],
      ["http://host/{1}?a=\\u2028", "a URL cannot hold the character U+2028"],
      ["http://host/{1}?a=\\u0000", "a URL cannot hold the character U+0000"],
      ["http://host/{1} b?ä=日", null],
      ["HTTP://[::1]:80/{1}?a={key}", null],
      ["https://host?{1}", null],
    ];
    for (const [url, expected] of urls) {
      const found = problems(`${quickstart}${stuff.replace("http://localhost:123/stuff/{1}", url)}`);
      expect(found.join(), url).toContain(expected ?? "");
      expect(found.length, url).toBe(expected === null ? 0 : 1);
    }
  });

  it("name the line of a syntax error, and mention missing quotes", () => {
    expect(problems("[server]\n\n[get.a\n")).toEqual([
      '3: syntax error at column 7: unexpected "\\n"; the header has no closing bracket',
    ]);
    expect(problems("[get.a]\nmatch = a(.*)\n")).toEqual([
      '2: syntax error at column 9: unexpected "a"; text needs quotes: match = "…"',
    ]);
    expect(problems("[get.a]\nttl = 60s\n")).toEqual([
      '2: syntax error at column 9: unexpected "s"; text needs quotes: ttl = "…"',
    ]);
    expect(problems("a = 1\na = 2")).toEqual(["2: a is defined twice; the first is in line 1"]);
  });

  it("hold no header values, which may be secret", () => {
    const env = { PLATYPUS_SOURCE_STUFF_HEADERS: "Authorization: hunter2" };
    expect(problems(stuff, { env }).join()).not.toContain("hunter2");
  });
});
