/**
 * The state of a key in a running Platypus: in the pool, in the processes, and that of its server and source. Reads the
 * pool; fetches nothing.
 */
import type { Config, RuleConfig } from "../../config/config.ts";
import { formatDuration } from "../../config/units.ts";
import type { PoolItem } from "../../proxy/reply.ts";
import { freshnessOf } from "../../refresh/policy.ts";
import type { PoolPort } from "../../refresh/pool/pool-port.ts";
import type { KeyNumbers, ServerNumbers, Snapshot, SourceNumbers } from "../snapshot.ts";
import { type Line, serversOf } from "./explain.ts";

/** The lines for `key` (one character per byte). `rule` is `null` if none covers it. Never rejects. */
export async function explainNow(
  key: string,
  rule: RuleConfig | null,
  config: Config,
  port: Pick<PoolPort, "read">,
  snapshot: Snapshot,
): Promise<Line[]> {
  const servers = serversOf(config, key);
  const { process: own, near } = snapshot;
  return [
    ["now in the pool", await inPool(key, rule, port)],
    ...(snapshot.key === null ? [] : inProcesses(snapshot.key, rule, own.workers, near.keys > 0)),
    ...snapshot.servers
      .filter(({ name }) => servers.includes(name))
      .map((server): Line => [`now ${server.name}`, serverText(server)]),
    ...snapshot.sources
      .filter(({ name }) => name === rule?.source)
      .map((source): Line => [`now source ${source.name}`, sourceText(source)]),
  ];
}

async function inPool(key: string, rule: RuleConfig | null, port: Pick<PoolPort, "read">): Promise<string> {
  let item: PoolItem | null;
  try {
    item = await port.read(key);
  } catch (error) {
    return `unknown: ${(error as Error).message}`;
  }
  if (item === null) return "no: a get is a miss";
  const { ttlSeconds } = item;
  if (ttlSeconds === null) return "yes; its server cannot report its TTL";
  if (ttlSeconds < 0) return "yes, without an expiry";
  const freshMs = rule === null ? null : freshnessOf(ttlSeconds, rule);
  const fresh = freshMs === null ? "" : freshMs > 0 ? `; fresh for ${ofMs(freshMs)}` : "; stale";
  return `yes, it expires in ${ofMs(ttlSeconds * 1000)}${fresh}`;
}

/** `hasHot`: keys can be hot in this configuration. */
function inProcesses(state: KeyNumbers, rule: RuleConfig | null, workers: number, hasHot: boolean): Line[] {
  const { tracking, dueMs, lastGetMs, gets, failures, fetching, pausedMs, hot, copies } = state;
  const where = workers > 1 ? ` in ${tracking} of ${workers} workers` : "";
  const due = dueMs === null ? "" : `: due ${dueMs <= 0 ? "now" : `in ${ofMs(dueMs)}`}`;
  const last = lastGetMs === null ? "" : `, last get ${ofMs(lastGetMs)} ago`;
  const count = `, ${gets >= 255 ? "255 gets or more" : `${gets} ${gets === 1 ? "get" : "gets"}`}`;
  const failed = failures > 0 ? `, the last ${failures} ${failures === 1 ? "refresh" : "refreshes"} failed` : "";
  const tracked = tracking === 0 ? "no: it is not refreshed" : `yes${where}${due}${last}${count}${failed}`;
  return [
    ...(rule === null ? [] : [["now tracked", tracked] as const]),
    ...(fetching > 0 ? [["now fetched", "a fetch for a miss is in flight"] as const] : []),
    ...(pausedMs === null
      ? []
      : [["now left alone", `its last fetch failed; not fetched for ${ofMs(pausedMs)}`] as const]),
    ...(hasHot ? [["now hot", hotText(hot, copies)] as const] : []),
  ];
}

function hotText(hot: number, copies: number): string {
  if (hot === 0) return "no";
  return copies > 0 ? "yes, with a copy in memory" : "yes, without a copy in memory";
}

function serverText({ state, outstanding, connections, history }: ServerNumbers): string {
  const last = history.at(-1);
  const since = last === undefined ? "" : ` since ${new Date(last.unixSeconds * 1000).toISOString()}`;
  const reason = last?.reason ? `: ${last.reason}` : "";
  return state === "up"
    ? `up${since}; connections: ${connections}, requests in flight: ${outstanding}`
    : `${state}${since}${reason}`;
}

function sourceText({ breaker, inFlight, places, waiting, lastError }: SourceNumbers): string {
  const error = lastError === null ? "" : `; last error: ${lastError}`;
  return `breaker ${breaker}; places in use: ${inFlight} of ${places}, waiting: ${waiting}${error}`;
}

/** In whole seconds, or milliseconds below one. */
function ofMs(ms: number): string {
  return formatDuration(ms >= 1000 ? Math.round(ms / 1000) * 1000 : Math.max(0, Math.round(ms)));
}
