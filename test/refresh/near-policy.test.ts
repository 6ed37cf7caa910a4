import { describe, expect, it } from "vitest";
import { warningsOf } from "../../src/config/config.ts";
import { explain } from "../../src/observe/admin/explain.ts";
import { nearPolicyOf } from "../../src/refresh/near-policy.ts";
import { buildSources } from "../../src/sources/build.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { testRules } from "../support/rigs/test-rules.ts";

const POOLS = `
[pool.main]
servers = ["127.0.0.1:1"]
near = "2s"
[pool.other]
servers = ["127.0.0.1:2"]
[pool.eu]
servers = ["127.0.0.1:3"]
`;
const RULE = `
[get.pages]
match = "page/(.*)"
source = "web"
near = "500ms"
[source.web]
type = "echo"
template = "{1}"
`;

function policyOf(toml: string) {
  const config = nativeConfig(toml);
  return nearPolicyOf(config, testRules(new ManualSource(), ...config.rules));
}

describe("the time that a key may be answered from memory", () => {
  it("is that of its rule, else that of its pool", () => {
    const policy = policyOf(`[target]\nservers = ["127.0.0.1:1"]\nnear = "2s"\n${RULE}`)!;
    expect(["page/1", "other"].map((key) => policy.nearMsOf(key))).toEqual([500, 2_000]);
  });

  it("is that of the pool even where a rule is off", () => {
    const policy = policyOf(
      `[target]\nservers = ["127.0.0.1:1"]\nnear = "2s"\n${RULE.replace("near", 'mode = "off"\nnear')}`,
    )!;
    expect(policy.nearMsOf("page/1")).toBe(2_000);
  });

  it("is that of the first pool of the key's route", () => {
    const policy = policyOf(`${POOLS}
      [[route]]
      prefix = ["a:", "é:"]
      pool = "other"
      [[route]]
      match = "[0-9]+"
      replicas = ["main", "eu"]
      [[route]]
      pool = "main"
    `)!;
    const keys = ["a:1", "b:1", "17", Buffer.from("é:1").toString("latin1")];
    expect(keys.map((key) => policy.nearMsOf(key))).toEqual([0, 2_000, 2_000, 0]);
  });

  it("is unset by default: there is no route for it", () => {
    expect(policyOf(`[target]\nservers = ["127.0.0.1:1"]\n${RULE.replace(/near = .*/, "")}`)).toBeNull();
    expect(policyOf(`[target]\nservers = ["127.0.0.1:1"]\n${RULE.replace("near", 'mode = "off"\nnear')}`)).toBeNull();
  });

  it.each([
    [`[server]\nmode = "sidecar"\n[target]\nservers = ["127.0.0.1:1"]\n${RULE}`, "clients of a sidecar"],
    [RULE, "the store of this process"],
    [
      `${POOLS}[[route]]\nprefix = "a:"\nstrip_prefix = "a:"\npool = "other"\n[[route]]\npool = "main"\n`,
      "strip_prefix",
    ],
  ])("has no effect where a copy could be older than a write of this process, with a warning", (toml, words) => {
    expect(policyOf(toml)).toBeNull();
    expect(warningsOf(nativeConfig(toml)).join("\n")).toMatch(new RegExp(`near has no effect: .*${words}`));
  });

  it("is shown by explain", () => {
    const config = nativeConfig(`[target]\nservers = ["127.0.0.1:1"]\n${RULE}`);
    const sources = buildSources(config.sources, new Map(), new ManualClock());
    const textOf = (key: string) => explain(config, sources, key).find(([name]) => name === "is kept near")?.[1];
    expect(textOf("page/1")).toMatch(/while it is hot, for at most 500ms/);
    expect(textOf("other")).toMatch(/^no/);
  });
});
