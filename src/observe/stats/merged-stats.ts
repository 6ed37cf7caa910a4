/**
 * Lines of several servers → lines of the pool. Numbers are added, except where a sum has no meaning.
 */
import type { StatLine } from "../../proxy/client/local-commands.ts";
import type { ServerStats } from "../../proxy/route/server-stats.ts";

type Rule = "sum" | "max" | "min" | "first";

/** Names (after their slab class) of lines that are not added. All other lines are added. */
const rules = new Map<string, Rule>([
  ["age", "max"],
  ["age_hot", "max"],
  ["age_warm", "max"],
  ["evicted_time", "max"],
  ["chunk_size", "max"],
  ["chunks_per_page", "max"],
  ["active_slabs", "max"],
  ["hash_power_level", "max"],
  ["hash_is_expanding", "max"],
  ["slab_reassign_running", "max"],
  ["lru_crawler_running", "max"],
]);
/** Few settings are amounts. For the others, the value of the first server counts. */
const settingRules = new Map<string, Rule>([
  ["maxbytes", "sum"],
  ["num_threads", "sum"],
  ["item_size_max", "min"],
]);

/** One line for each name, in the order of the first server that has it. */
export function mergeStats(servers: readonly ServerStats[]): StatLine[] {
  return merge(servers, (name) => rules.get(name.slice(name.lastIndexOf(":") + 1)) ?? "sum");
}

/** As `mergeStats`, for `stats settings`. */
export function mergeSettings(servers: readonly ServerStats[]): StatLine[] {
  return merge(servers, (name) => settingRules.get(name) ?? "first");
}

function merge(servers: readonly ServerStats[], ruleOf: (name: string) => Rule): StatLine[] {
  const merged = new Map<string, string>();
  for (const server of servers) {
    for (const [name, value] of server) {
      const before = merged.get(name);
      merged.set(name, before === undefined ? value : join(ruleOf(name), before, value));
    }
  }
  return [...merged];
}

/** Integers and sums have 64 bits. Values that are not integers stay as in the first server. */
function join(rule: Rule, first: string, second: string): string {
  if (rule === "first" || !/^\d+$/.test(first) || !/^\d+$/.test(second)) return first;
  const [a, b] = [BigInt(first), BigInt(second)];
  switch (rule) {
    case "sum":
      return String(a + b);
    case "max":
      return String(a > b ? a : b);
    case "min":
      return String(a < b ? a : b);
  }
}
