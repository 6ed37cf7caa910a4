/**
 * Lines of `stats` of several workers → those of all of them: amounts are added up, what is one process's own is the first
 * one's, and lines made of `name:number` words are added up word by word.
 */
import type { StatLine } from "../../proxy/client/local-commands.ts";

/** What is not added up. */
const firstOnly = new Set([
  "pid",
  "parent_pid",
  "time",
  "start_time",
  "version",
  "mcrouter-version",
  "commandargs",
  "pointer_size",
  "config_age",
  "config_last_attempt",
  "config_last_success",
  "configs_from_disk",
  "num_servers",
  "num_ssl_servers",
  "accepting_conns",
]);
const greatest = new Set([
  "uptime",
  "duration_us",
  "duration_get_us",
  "duration_update_us",
  "num_suspect_servers",
  "max_num_tko",
]);

/** The lines of all, in the order of the first that has each. `group` is the group of `stats`. */
export function mergeWorkers(group: string, workers: readonly (readonly StatLine[])[]): StatLine[] {
  // Of settings all are the first one's, and connections are each one's own.
  if (group === "settings") return [...(workers[0] ?? [])];
  if (group === "conns")
    return workers.flatMap((lines, index) => lines.map(([name, value]) => [`${index}:${name}`, value] as const));
  const merged = new Map<string, string | number>();
  for (const lines of workers) {
    for (const [name, value] of lines) {
      const before = merged.get(name);
      merged.set(name, before === undefined ? value : join(name, before, value));
    }
  }
  return [...merged];
}

function join(name: string, before: string | number, value: string | number): string | number {
  if (firstOnly.has(name)) return before;
  const [one, other] = [Number(before), Number(value)];
  if (Number.isNaN(one) || Number.isNaN(other)) return joinWords(String(before), String(value));
  if (greatest.has(name)) return Math.max(one, other);
  const sum = one + other;
  return Number.isInteger(sum) ? sum : Number(sum.toFixed(6));
}

/** Words such as `inflight_reqs:3`; others are the first one's. */
function joinWords(before: string, value: string): string {
  const others = new Map(value.split(" ").map((word) => split(word)));
  const own = before.split(" ").map((word) => {
    const [name, number] = split(word);
    const other = others.get(name);
    others.delete(name);
    if (number === null || other === undefined || other === null) return word;
    if (name.startsWith("avg_")) return `${name}:${Math.max(number, other).toFixed(3)}`;
    return `${name}:${number + other}${word.endsWith(";") ? ";" : ""}`;
  });
  const added = [...others].flatMap(([name, number]) => (number === null ? [] : [`${name}:${number}`]));
  return [...own, ...added].join(" ");
}

function split(word: string): [name: string, number: number | null] {
  const [, name = word, number] = /^([\w.]+):(\d+(?:\.\d+)?);?$/.exec(word) ?? [];
  return [name, number === undefined ? null : Number(number)];
}
