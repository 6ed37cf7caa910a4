import { describe, expect, it } from "vitest";
import { routeText } from "../../src/config/native-route.ts";
import type { ConfigError } from "../../src/errors.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";

const pools = ["main", "gutter", "eu"]
  .map((name, i) => `[pool.${name}]\nservers = "127.0.0.1:${20_001 + i}"\n`)
  .join("");

/** The problems of these routes over the pools main, gutter and eu; the routes begin in line 1. */
function problemsOf(routes: string, more = pools): readonly string[] {
  try {
    nativeConfig(`${routes}\n${more}`);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ line, message }) => `${line}: ${message}`);
  }
}

describe("[[route]]", () => {
  it("is read in file order, with its line and its defaults", () => {
    const { routes } = nativeConfig(
      `${pools}[[route]]\nprefix = "session:"\npool = "main"\nfailover = ["gutter"]\n\n[[route]]\nreplicas = ["main", "eu"]\n`,
    );
    expect(routes).toEqual([
      {
        line: 7,
        prefixes: ["session:"],
        match: null,
        pool: "main",
        replicas: [],
        read: "first",
        failover: ["gutter"],
        failoverTtlMs: 60_000,
        warmFrom: null,
        stripPrefix: "",
      },
      expect.objectContaining({ line: 12, prefixes: [], pool: null, replicas: ["main", "eu"] }),
    ]);
    expect(routes.map(routeText)).toEqual([
      '[[route]] of line 7, prefix = "session:"',
      "[[route]] of line 12, all other keys",
    ]);
  });

  it.each([
    [
      "a pool that does not exist",
      '[[route]]\npool = "mian"',
      ['2: route[0].pool: there is no pool "mian"; did you mean "main"?'],
    ],
    [
      "a failover pool that does not exist",
      '[[route]]\npool = "main"\nfailover = [\n  "gutter",\n  "zzz",\n]',
      ['5: route[0].failover[1]: there is no pool "zzz"; there are main, gutter, eu'],
    ],
    [
      "no pool",
      '[[route]]\nfailover = ["gutter"]',
      ['1: route[0]: no pool; expected pool = "NAME" or replicas = ["NAME", "NAME"]'],
    ],
    [
      "one replica",
      '[[route]]\nreplicas = ["main"]',
      ['2: route[0].replicas: expected at least two pools; for one pool use pool = "main"'],
    ],
    [
      "pool and replicas",
      '[[route]]\npool = "main"\nreplicas = ["main", "eu"]',
      ["3: route[0].replicas: says the same as pool; keep one of them"],
    ],
    [
      "a pool that fails over to itself",
      '[[route]]\npool = "main"\nfailover = "main"',
      ['3: route[0].failover: the pool "main" stores the keys of this route'],
    ],
    [
      "a prefix and a pattern",
      '[[route]]\nprefix = "a"\nmatch = "b"\npool = "main"\n[[route]]\npool = "main"',
      ["3: route[0].match: does not go together with prefix; keep one of them"],
    ],
    [
      "an invalid pattern",
      '[[route]]\nmatch = "("\npool = "main"\n[[route]]\npool = "main"',
      [expect.stringMatching(/^2: route\[0\]\.match: error parsing regexp/)],
    ],
    [
      "an unknown setting",
      '[[route]]\npol = "main"\npool = "main"',
      ['2: route[0].pol: unknown setting; did you mean "pool"?'],
    ],
    [
      "keys without a route",
      '[[route]]\nprefix = "a"\npool = "main"',
      ["1: route[0]: some keys have no route; expected a last [[route]] without prefix and match, for all other keys"],
    ],
    [
      "settings without use",
      '[[route]]\npool = "main"\nread = "fastest"\nfailover_ttl = "5s"',
      ["3: route[0].read: has no use without replicas", "4: route[0].failover_ttl: has no use without failover"],
    ],
    [
      "a single table",
      '[route]\npool = "main"',
      ["1: route: expected sections [[route]], got a table", expect.anything()],
    ],
    [
      "a prefix with a blank",
      '[[route]]\nstrip_prefix = "a b"\npool = "main"',
      [expect.stringMatching(/^2: route\[0\]\.strip_prefix: expected at most 250/)],
    ],
  ])("reports with its line: %s", (_name, routes, expected) => {
    expect(problemsOf(routes)).toEqual(expected);
  });

  it("refuses [server] prefix beside it", () => {
    expect(problemsOf('[server]\nprefix = "a:"\n[[route]]\npool = "main"')).toEqual([
      "2: server.prefix: does not go together with [[route]]",
    ]);
  });

  it("takes each setting from the environment", async () => {
    const { parseNative } = await import("../../src/config/native.ts");
    const { sourceTypes } = await import("../../src/sources/types.ts");
    const { routes } = parseNative({
      file: null,
      text: `${pools}[[route]]\nprefix = "a"\npool = "main"\n[[route]]\npool = "main"\n`,
      env: { PLATYPUS_ROUTE_1_POOL: "eu", PLATYPUS_ROUTE_1_FAILOVER: "main,gutter" },
      sourceTypes,
    });
    expect(routes).toMatchObject([{ pool: "main" }, { pool: "eu", failover: ["main", "gutter"] }]);
  });

  it("warns of a route that no key reaches, and of a pool that no route uses", () => {
    const { warnings } = nativeConfig(
      `${pools}[[route]]\nprefix = "a"\npool = "main"\n[[route]]\nprefix = "ab"\npool = "gutter"\n[[route]]\npool = "main"\n`,
    );
    expect(warnings).toEqual([
      "pool.eu is used by no route",
      "route[1] (line 10) is never used: the route of line 7 takes all of its keys; put it first",
    ]);
  });
});
