/**
 * Commands that change running processes over their admin addresses: `refresh`, `forget`, `drain`, `undrain`, `breaker close`
 * and `log-level`.
 */
import { createInterface } from "node:readline";
import { UsageError } from "../errors.ts";
import { ADMIN_OPTIONS_HELP, type AdminClient, adminClients, adminOptions } from "./admin-client.ts";
import { parseOptions } from "./options.ts";

type Counts = Readonly<Record<string, number>>;

const EXIT_CODES = "Exit codes: 0 done, 1 a process was not reached, or a key failed, 2 wrong usage.\n";

function helpOf(synopsis: string, examples: readonly string[], notes: string, options = ""): string {
  return `${synopsis}

${examples.map((line) => `  ${line}\n`).join("")}
${options}${ADMIN_OPTIONS_HELP}
${notes}${notes === "" ? "" : "\n\n"}${EXIT_CODES}`;
}

const KEYS_OPTIONS = "  --rule NAME          all tracked keys of a rule, instead of PATTERN\n";

export const REFRESH_HELP = helpOf(
  "platypus refresh PATTERN: fetch tracked keys again now, whether or not they are due",
  [
    "platypus refresh 'product/*' --config platypus.toml",
    "platypus refresh product/17 --admin http://10.0.0.5:11280 --token-file token",
    "platypus refresh --rule products",
  ],
  `PATTERN is a key, or PREFIX*. Only keys that the process tracks are refreshed, at refresh priority: fills go first.
[server] admin_token must be set.`,
  KEYS_OPTIONS,
);

export const FORGET_HELP = helpOf(
  "platypus forget PATTERN: delete tracked keys from the pool, as a client's delete does",
  ["platypus forget 'product/*' --config platypus.toml", "platypus forget --rule products"],
  "PATTERN is a key, or PREFIX*. The next get of such a key fetches it. [server] admin_token must be set.",
  KEYS_OPTIONS,
);

export const DRAIN_HELP = helpOf(
  "platypus drain SERVER: take a memcached server out of use, for example before it is restarted",
  [
    "platypus drain 10.0.0.2:11211 --config platypus.toml",
    "platypus drain 10.0.0.2:11211 --admin http://10.0.0.5:11280",
  ],
  `Its keys are treated as if it were down: they go to failover pools, or are misses. It is not probed until platypus undrain
or a restart. SERVER is the address as platypus top and the page show it. [server] admin_token must be set.`,
);

export const UNDRAIN_HELP = helpOf(
  "platypus undrain SERVER: use a memcached server again after platypus drain",
  ["platypus undrain 10.0.0.2:11211 --config platypus.toml", "platypus undrain 10.0.0.2:11211 --token-file token"],
  "[server] admin_token must be set.",
);

export const BREAKER_HELP = helpOf(
  "platypus breaker close SOURCE: close the circuit breaker of a source now",
  ["platypus breaker close shop --config platypus.toml", "platypus breaker close shop --admin unix:/run/platypus.sock"],
  "It opens again if the source still fails. [server] admin_token must be set.",
);

export const LOG_LEVEL_HELP = helpOf(
  "platypus log-level LEVEL: change the levels of the log until the next reload",
  ["platypus log-level debug --config platypus.toml", "platypus log-level info,backend=debug"],
  "LEVEL is as in [server] log_level. [server] admin_token must be set.",
);

export function refresh(args: readonly string[]): Promise<void> {
  return runJob("refresh", args, {
    stored: "stored",
    unchanged: "unchanged",
    fresh: "fresh",
    busy: "refreshed by another process",
    kept: "written by a client meanwhile",
    gone: "gone",
    notThere: "not at the source",
    failed: "failed",
  });
}

export function forget(args: readonly string[]): Promise<void> {
  return runJob("forget", args, { deleted: "deleted", notFound: "not in the pool", failed: "failed" });
}

export function drain(args: readonly string[]): Promise<void> {
  return runOnce("drain", "a server", args, (server) => ["/drain", { server }, `${server} is drained`]);
}

export function undrain(args: readonly string[]): Promise<void> {
  return runOnce("undrain", "a server", args, (server) => ["/undrain", { server }, `${server} is used again`]);
}

export function breaker(args: readonly string[]): Promise<void> {
  const [word, ...rest] = args;
  if (word !== "close")
    throw new UsageError("breaker takes the word close and a source: platypus breaker close SOURCE");
  return runOnce("breaker close", "a source", rest, (source) => {
    return ["/breaker/close", { source }, `the circuit breaker of ${source} is closed`];
  });
}

export function logLevel(args: readonly string[]): Promise<void> {
  return runOnce("log-level", "a level", args, (level) => ["/log-level", { level }, `the log has the level ${level}`]);
}

/** A command that ends at once. `request` gives the path, its query, and the line for a success. */
async function runOnce(
  name: string,
  what: string,
  args: readonly string[],
  request: (value: string) => readonly [path: string, query: Record<string, string>, done: string],
): Promise<void> {
  const { values, positionals } = parseOptions(args, adminOptions);
  const [value, ...others] = positionals;
  if (value === undefined || others.length > 0) throw new UsageError(`${name} takes ${what}: platypus ${name} NAME`);
  const [path, query, done] = request(value);
  await forEach(await adminClients(values), async (client) => {
    const response = await client.send("POST", `${path}?${new URLSearchParams(query)}`);
    response.resume();
    process.stdout.write(`${client.name}: ${done}\n`);
  });
}

/** A command over many keys. `outcomes`: names of the counts, and their words. */
async function runJob(
  name: "refresh" | "forget",
  args: readonly string[],
  outcomes: Readonly<Record<string, string>>,
): Promise<void> {
  const { values, positionals } = parseOptions(args, { ...adminOptions, rule: { type: "string" } });
  const [pattern, ...others] = positionals;
  if (others.length > 0 || (pattern === undefined) === (values.rule === undefined)) {
    throw new UsageError(`${name} takes a key, a prefix or a rule: platypus ${name} 'PREFIX*', or --rule NAME`);
  }
  const query = new URLSearchParams(
    pattern === undefined
      ? { rule: values.rule! }
      : pattern.endsWith("*")
        ? { prefix: pattern.slice(0, -1) }
        : { key: pattern },
  );
  const clients = await adminClients(values);
  const counts = new Map<AdminClient, Counts>();
  const bar = new ProgressBar(`${name} ${pattern ?? `--rule ${values.rule}`}`);
  await forEach(clients, async (client) => {
    for await (const line of createInterface({ input: await client.send("POST", `/${name}?${query}`) })) {
      counts.set(client, JSON.parse(line) as Counts);
      bar.show(sum([...counts.values()]));
    }
  });
  bar.end();
  const total = sum([...counts.values()]);
  if ((total.failed ?? 0) > 0) process.exitCode = 1;
  if (counts.size > 0) process.stdout.write(`${summary(total, outcomes)}\n`);
}

/** Runs `act` for all processes at once. A failure is reported, and the others go on. */
async function forEach(clients: readonly AdminClient[], act: (client: AdminClient) => Promise<void>): Promise<void> {
  await Promise.all(
    clients.map(async (client) => {
      try {
        await act(client);
      } catch (error) {
        process.exitCode = 1;
        process.stderr.write(`platypus: ${(error as Error).message}\n`);
      }
    }),
  );
}

function summary(total: Counts, outcomes: Readonly<Record<string, string>>): string {
  const parts = Object.entries(outcomes).flatMap(([name, word]) => {
    const count = total[name] ?? 0;
    return count === 0 ? [] : [`${count} ${word}`];
  });
  const matched = total.matched ?? 0;
  const keys = `${matched} tracked key${matched === 1 ? "" : "s"}`;
  return parts.length === 0 ? keys : `${keys}: ${parts.join(", ")}`;
}

function sum(all: readonly Counts[]): Counts {
  const total: Record<string, number> = {};
  for (const counts of all) {
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}

const BAR_WIDTH = 30;

/** A line on a terminal that shows how far a job is. Elsewhere it shows nothing. */
class ProgressBar {
  private readonly title: string;
  private readonly isShown = process.stderr.isTTY;

  constructor(title: string) {
    this.title = title;
  }

  show({ matched = 0, left = 0, failed = 0 }: Counts): void {
    if (!this.isShown) return;
    const done = matched - left;
    const filled = matched === 0 ? BAR_WIDTH : Math.floor((BAR_WIDTH * done) / matched);
    const bar = `${"█".repeat(filled)}${"·".repeat(BAR_WIDTH - filled)}`;
    const failures = failed === 0 ? "" : `  ${failed} failed`;
    process.stderr.write(`\r\x1b[K${this.title}  ${bar}  ${done}/${matched}${failures}`);
  }

  end(): void {
    if (this.isShown) process.stderr.write("\r\x1b[K");
  }
}
