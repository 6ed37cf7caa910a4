/** Rules of tests. Settings that a test does not name have their default. */

import type { RuleConfig } from "../../../src/config/config.ts";
import { newRuleCounters, newRuleTimings, type Rule, Rules } from "../../../src/refresh/rules.ts";
import type { ManualSource } from "../fakes/manual-source.ts";

export const ruleDefaults: RuleConfig = {
  name: "rule",
  match: ".*",
  source: "manual",
  stripPrefix: "",
  keyEncoding: "plain",
  ttlMs: 60_000,
  isSourceTtl: false,
  minTtlMs: 1_000,
  maxTtlMs: 86_400_000,
  staleMs: 0,
  expiryMs: 600_000,
  refreshBeforeMs: null,
  refreshAfterGets: 1,
  negativeTtlMs: 1_000,
  failureTtlMs: 1_000,
  lease: "fleet",
  fillTimeoutMs: 400,
  nearMs: 0,
  mode: "on",
  notFound: "delete",
};

/** One rule over `source`. */
function testRule(source: ManualSource, config: Partial<RuleConfig> = {}): Rule {
  return { config: { ...ruleDefaults, ...config }, source, counters: newRuleCounters(), timings: newRuleTimings() };
}

/** Rules over one source, in this order. */
export function testRules(source: ManualSource, ...configs: Partial<RuleConfig>[]): Rules {
  return new Rules(configs.map((config) => testRule(source, config)));
}
