/** Warnings about rules that can never apply, and about sources without a rule: valid, but probably a mistake. */
import type { Config, RuleConfig } from "../config/config.ts";
import { literalPrefix } from "../refresh/pattern.ts";
import { typeOf } from "../sources/types.ts";

/** One line per warning. */
export function ruleWarnings(config: Config): string[] {
  return [...hiddenRules(config), ...unusedSources(config)];
}

function hiddenRules({ rules }: Config): string[] {
  return rules.flatMap((rule, index) => {
    const first = rules.slice(0, index).find((earlier) => covers(earlier, rule));
    if (first === undefined) return [];
    return [
      `rule ${rule.name} is never used: rule ${first.name} stands before it and matches all of its keys; put it first`,
    ];
  });
}

/**
 * True if `earlier` certainly matches each key that `later` matches: their patterns are equal, or `earlier` matches
 * each key with a literal prefix that the keys of `later` have. False if this is unknown.
 */
function covers(earlier: RuleConfig, later: RuleConfig): boolean {
  if (earlier.stripPrefix === later.stripPrefix && earlier.match === later.match) return true;
  const literal = literalPrefix(earlier.match);
  const [, rest] = /^\(?(?:\?P?<\w+>)?(\.\*|\.\+)\)?$/.exec(earlier.match.slice(literal.length)) ?? [];
  if (rest === undefined || !earlier.match.startsWith(literal)) return false;
  const [from, to] = [earlier.stripPrefix + literal, later.stripPrefix + literalPrefix(later.match)];
  return to.startsWith(from) && (rest === ".*" || to.length > from.length);
}

function unusedSources({ rules, sources }: Config): string[] {
  const used = new Set(rules.map(({ source }) => source));
  // A source that is used uses its parts.
  for (let size = -1; size !== used.size; ) {
    size = used.size;
    for (const source of sources) {
      if (used.has(source.name)) for (const part of typeOf(source).partsOf?.(source) ?? []) used.add(part.source);
    }
  }
  return sources.filter(({ name }) => !used.has(name)).map(({ name }) => `source ${name} is used by no rule`);
}
