/**
 * `platypus explain KEY … --config FILE`: explains keys; with `--fetch`, it asks their sources. Keys of one source are
 * fetched together, as those of one get. With `--admin`, a running Platypus explains them, with their state now.
 */

import { json } from "node:stream/consumers";
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { formatDuration } from "../config/units.ts";
import { SourceError, UsageError } from "../errors.ts";
import { coveredBy, explain as explainKey, type Line } from "../observe/admin/explain.ts";
import { loadConfig } from "../server/load-config.ts";
import { type BuiltSource, buildSources } from "../sources/build.ts";
import { type AdminClient, adminClients } from "./admin-client.ts";
import { parseOptions } from "./options.ts";

export const EXPLAIN_HELP = `platypus explain KEY … --config FILE [--fetch] [--json]: show the server, rule and source call of a key
platypus explain KEY … --admin URL [--json]: ask a running Platypus, which also shows the state of the key

  platypus explain user/42 --config platypus.toml
  platypus explain user/42 --config platypus.toml --fetch       call its source, and print the result
  platypus explain user/42 user/43 --config platypus.toml --fetch   keys of one get: show the calls for them
  platypus explain user:42 --config /etc/mcrouter/config.json   show its routes

  platypus explain user/42 --admin http://127.0.0.1:11280       also: in the pool, tracked, due, hot; its server and source

  --config FILE        TOML, mcrouter's JSON or twemproxy's YAML
  --admin URL          http://HOST:PORT, HOST:PORT or unix:PATH of a running Platypus; repeat it for a fleet
  --fetch              call the source of the rule; the value is not printed
  --json               one JSON object: { key, lines: [{ name, text }] }; of several keys, a list of such objects

Exit codes: 0 done, 1 the source failed (--fetch), 2 wrong usage or configuration.
`;

/** Prints the explanation. Throws a UsageError or ConfigError that says what is wrong. */
export async function explain(args: readonly string[]): Promise<void> {
  const options = await readOptions(args);
  if ("clients" in options) return explainRemotely(options);
  const { path, keys, given, isFetching, isJson } = options;
  const config = await loadConfig({ path, env: process.env });
  const sources = buildSources(config.sources, new Map(), systemClock);
  try {
    const blocks = keys.map((key) => explainKey(config, sources, key));
    const fetched = isFetching ? await fetchAll(config, sources, keys) : [];
    for (const [i, lines] of fetched.entries()) blocks[i]!.push(...lines);
    if (!isJson && keys.length > 1) blocks.push(await callsFor(config, sources, keys));
    print(blocks, given, isJson);
  } finally {
    await Promise.all([...sources.values()].map(({ source }) => source.close()));
  }
}

/** Asks each process for each key. Throws a PlatypusError if one is not reached. */
async function explainRemotely({ clients, given, isJson }: RemoteOptions): Promise<void> {
  const asked = clients.flatMap((client) => given.map((key) => ({ client, key })));
  const blocks = await Promise.all(
    asked.map(async ({ client, key }): Promise<Line[]> => {
      // The admin server's answer is a list of lines.
      const lines = (await json(await client.send("GET", `/explain?${new URLSearchParams({ key })}`))) as Line[];
      return clients.length > 1 ? [["process", client.name], ...lines] : lines;
    }),
  );
  print(
    blocks,
    asked.map(({ key }) => key),
    isJson,
  );
}

/** Prints the lines of each key. With one more block than keys, the last one is of all keys. */
function print(blocks: readonly Line[][], given: readonly string[], isJson: boolean): void {
  if (isJson) {
    const shown = blocks.map((lines, i) => ({ key: given[i], lines: lines.map(([name, text]) => ({ name, text })) }));
    process.stdout.write(`${JSON.stringify(shown.length === 1 ? shown[0] : shown, null, 2)}\n`);
    return;
  }
  process.stdout.write(
    blocks
      .filter((lines) => lines.length > 0)
      .map(renderLines)
      .join("\n"),
  );
}

function renderLines(lines: readonly Line[]): string {
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  return lines.map(([name, text]) => `${name.padEnd(width)}${text}\n`).join("");
}

/** The calls for keys that one get asks for. */
async function callsFor(
  config: Config,
  sources: ReadonlyMap<string, BuiltSource>,
  keys: readonly string[],
): Promise<Line[]> {
  const covered = keys.flatMap((key) => coveredBy(config, sources, key) ?? []);
  const bySource = Map.groupBy(covered, ({ source }) => source);
  const { signal } = new AbortController();
  const lines: Line[] = [];
  for (const [{ config: own, limiter }, group] of bySource) {
    const contexts = group.map(({ captures }) => ({ ...captures, tag: null, priority: "fill" as const, signal }));
    try {
      for (const call of await limiter.describeMany(contexts)) lines.push([`together, ${own.name}`, call]);
    } catch (error) {
      lines.push([`together, ${own.name}`, `refused: ${(error as Error).message}`]);
    }
  }
  return lines;
}

/** Asks the sources for all keys at once. Returns the lines of each key. */
function fetchAll(
  config: Config,
  sources: ReadonlyMap<string, BuiltSource>,
  keys: readonly string[],
): Promise<Line[][]> {
  return Promise.all(keys.map((key) => fetchOnce(config, sources, key)));
}

/** Asks the source once. The value is not printed: it may be secret. */
async function fetchOnce(config: Config, sources: ReadonlyMap<string, BuiltSource>, key: string): Promise<Line[]> {
  const covered = coveredBy(config, sources, key);
  if (covered === null) return [];
  const startMs = systemClock.nowMs();
  const took = () => `in ${Math.round(systemClock.nowMs() - startMs)} ms`;
  // Platypus' timers do not keep the process alive.
  const alive = setInterval(() => {}, 1_000);
  try {
    const result = await covered.source.limiter.fetch(covered.captures, "fill", null);
    if (result.type !== "value") return [["fetched", `not there, ${took()}`]];
    const { value, tag, freshness } = result;
    const ttlMs = freshness?.ttlMs ?? null;
    const said =
      ttlMs === null ? "the source gives no lifetime" : `good for ${formatDuration(Math.round(ttlMs / 1000) * 1000)}`;
    const marked = tag === null ? "" : `; marked ${tag.replaceAll("\n", ", ")}`;
    return [["fetched", `${value.length} bytes ${took()}; ${said}${marked}`]];
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    process.exitCode = 1;
    return [["failed", `${error.code}: ${error.message}, ${took()}`]];
  } finally {
    clearInterval(alive);
  }
}

interface RemoteOptions {
  readonly clients: readonly AdminClient[];
  readonly given: readonly string[];
  readonly isJson: boolean;
}

interface LocalOptions {
  readonly path: string;
  readonly keys: readonly string[];
  readonly given: readonly string[];
  readonly isFetching: boolean;
  readonly isJson: boolean;
}

async function readOptions(args: readonly string[]): Promise<RemoteOptions | LocalOptions> {
  const { values, positionals } = parseOptions(args, {
    config: { type: "string" },
    admin: { type: "string", multiple: true },
    fetch: { type: "boolean" },
    json: { type: "boolean" },
  });
  const isRemote = values.admin !== undefined;
  if (positionals.length === 0 || (values.config === undefined && !isRemote)) {
    throw new UsageError("explain takes keys and a file: platypus explain KEY --config FILE [--fetch]");
  }
  if (isRemote) {
    if (values.fetch === true || values.config !== undefined) {
      throw new UsageError("--admin asks a running Platypus, which fetches nothing: leave --config and --fetch out");
    }
    return { clients: await adminClients({ admin: values.admin! }), given: positionals, isJson: values.json ?? false };
  }
  // The bytes that a client would send.
  const keys = positionals.map((key) => Buffer.from(key, "utf8").toString("latin1"));
  const { fetch: isFetching = false, json: isJson = false } = values;
  return { path: values.config!, keys, given: positionals, isFetching, isJson };
}
