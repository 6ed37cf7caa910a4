import { describe, expect, it } from "vitest";
import { ruleWarnings } from "../../src/commands/rule-warnings.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";

const ECHO = '[source.s]\ntype = "echo"\n';

function warningsOf(...matches: string[]): string[] {
  const rules = matches.map((match, i) => `[get.r${i}]\nmatch = '${match}'\nsource = "s"\nttl = "1m"\n`);
  return ruleWarnings(nativeConfig(`${ECHO}${rules.join("")}`));
}

describe("warnings about rules", () => {
  it.each([
    ["page/.*", "page/a/.*"],
    ["page/.*", "page/.*"],
    ["page/(?P<path>.*)", "page/x"],
    [".*", "page/[0-9]+"],
    ["(.+)", "page/(.*)"],
    ["page/.+", "page/a.*"],
  ])("report a rule that %s, which stands before it, hides: %s", (first, second) => {
    expect(warningsOf(first, second)).toEqual([
      "rule r1 is never used: rule r0 stands before it and matches all of its keys; put it first",
    ]);
  });

  it.each([
    ["page/a/.*", "page/.*"],
    ["page/.+", "page/.*"],
    ["page/[0-9]+", "page/1.*"],
    ["(?i)page/.*", "page/a.*"],
    ["a/.*|b/.*", "c/.*"],
    ["page/.*x", "page/a"],
  ])("are absent if a key may remain: %s, then %s", (first, second) => {
    expect(warningsOf(first, second)).toEqual([]);
  });

  it("report a source that no rule uses, not even as a part of another source", () => {
    const config = nativeConfig(`${ECHO}[source.part]
type = "echo"
[source.idle]
type = "echo"
[source.all]
type = "merge"
template = [{ key = ["a"], source = "part" }]
[get.r]
match = "r/.*"
source = "all"
ttl = "1m"
`);
    expect(ruleWarnings(config)).toEqual(["source s is used by no rule", "source idle is used by no rule"]);
  });
});
