import { describe, expect, it } from "vitest";
import { ruleGuarantees } from "../../src/mcrouter/rule-guarantees.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";

const pools = '[pool.main]\nservers = "a:1"\n[pool.other]\nservers = "b:1"\n[source.e]\ntype = "echo"\n';

/** For each rule: the lines of its routes, with a mark if the route takes its leases away. */
function held(toml: string): string[] {
  return ruleGuarantees(nativeConfig(pools + toml)).map(
    ({ rule, route, isLimitedByRoute }) =>
      `${rule} ${/prefix = .*|match = .*|all.*/.exec(route)![0]}${isLimitedByRoute ? " -" : ""}`,
  );
}

const rule = (name: string, match: string) => `[get.${name}]\nmatch = "${match}"\nsource = "e"\n`;

describe("the guarantees of rules under routes", () => {
  it("are those of each route that a key of the rule may take", () => {
    const routes =
      '[[route]]\nprefix = "a:"\npool = "main"\n[[route]]\nprefix = "b:x:"\nreplicas = ["main", "other"]\n[[route]]\npool = "main"\nfailover = "other"\n';
    expect(held(routes + rule("inside", "a:(.*)") + rule("across", "b:(.*)") + rule("any", "(.*)"))).toEqual([
      'inside prefix = "a:"',
      'across prefix = "b:x:" -',
      "across all other keys -",
      'any prefix = "a:"',
      'any prefix = "b:x:" -',
      "any all other keys -",
    ]);
  });

  it("are those of the pool if its keys are copied from another pool", () => {
    const routes = '[[route]]\npool = "main"\nwarm_from = "other"\n';
    expect(held(routes + rule("any", "(.*)"))).toEqual(["any all other keys"]);
  });

  it("stop at the route that takes all keys of the rule", () => {
    const routes = '[[route]]\nmatch = "c/[0-9]+"\npool = "main"\n[[route]]\npool = "other"\n';
    expect(held(routes + rule("same", "c/[0-9]+") + rule("more", "c/(.*)"))).toEqual([
      'same match = "c/[0-9]+"',
      'more match = "c/[0-9]+"',
      "more all other keys",
    ]);
  });
});
