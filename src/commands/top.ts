/**
 * `platypus top`: a live view of running processes in a terminal, from the events of their admin pages.
 */
import { createInterface } from "node:readline";
import { styleText } from "node:util";
import { UsageError } from "../errors.ts";
import type { pageNow } from "../observe/admin/page-state.ts";
import { ADMIN_OPTIONS_HELP, type AdminClient, adminClients, adminOptions } from "./admin-client.ts";
import { parseOptions } from "./options.ts";

export const TOP_HELP = `platypus top: a live view of running processes

  platypus top --config platypus.toml
  platypus top --admin http://10.0.0.5:11280 --admin http://10.0.0.6:11280
  platypus top --once                     print it once, also without a terminal

  --once               print the numbers once and exit
${ADMIN_OPTIONS_HELP}
It shows requests, hits, servers, rules and sources. Rates are of the last second, times of the last minute. Keys: q quits.

Exit codes: 0 done, 1 a process was not reached, 2 wrong usage.
`;

type Now = ReturnType<typeof pageNow>;
type State = Now["state"];

/** The last two events of a process: rates are their difference. */
interface Seen {
  readonly client: AdminClient;
  now: Now | null;
  before: Now | null;
  /** Times of the events (ms). */
  nowMs: number;
  beforeMs: number;
  /** `null` while the process answers. */
  error: string | null;
}

const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const COLUMNS = 120;
const ROWS = 40;
const HOME = "\x1b[H";
/** Keys that end the view: q, Q and Ctrl-C. */
const QUIT_KEYS = ["q", "Q", "\x03"];

/** Runs until `q` is pressed, or prints once. */
export async function top(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseOptions(args, { ...adminOptions, once: { type: "boolean" } });
  if (positionals.length > 0) throw new UsageError("top takes no names: platypus top --admin URL");
  const { stdout, stdin } = process;
  const isOnce = values.once === true || !stdout.isTTY;
  const seen = (await adminClients(values)).map((client): Seen => {
    return { client, now: null, before: null, nowMs: 0, beforeMs: 0, error: null };
  });
  // Rates need two events.
  const isEnough = () => seen.every(({ before, error }) => before !== null || error !== null);
  if (isOnce) {
    await Promise.all(seen.map((each) => follow(each, () => !isEnough())));
    stdout.write(`${seen.map((each) => lines(each, stdout.columns || COLUMNS).join("\n")).join("\n\n")}\n`);
    if (seen.some(({ error }) => error !== null)) process.exitCode = 1;
    return;
  }
  const draw = () => {
    // A terminal may not tell its size.
    const [width, room] = [stdout.columns || COLUMNS, (stdout.rows || ROWS) - 1];
    const all = seen.flatMap((each) => [...lines(each, width), ""]).slice(0, room);
    stdout.write(`${HOME + all.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
  };
  const quit = () => {
    stdout.write(LEAVE);
    process.exit(0);
  };
  stdout.write(ENTER);
  stdin.setRawMode?.(true);
  stdin.on("data", (bytes) => {
    if (QUIT_KEYS.some((key) => bytes.includes(key))) quit();
  });
  process.on("SIGTERM", quit);
  stdout.on("resize", draw);
  draw();
  // Never resolves: the process would end.
  await Promise.all(seen.map((each) => keepFollowing(each, draw)));
}

/** Follows a process, and reconnects a second after its connection was lost. Never resolves. */
async function keepFollowing(seen: Seen, changed: () => void): Promise<void> {
  for (;;) {
    await follow(seen, () => {
      changed();
      return true;
    });
    changed();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

/** Reads events while `changed` returns true. Never rejects: a failure is kept in `seen`. */
async function follow(seen: Seen, changed: () => boolean): Promise<void> {
  try {
    const response = await seen.client.send("GET", "/events");
    let name = "";
    for await (const line of createInterface({ input: response })) {
      if (line.startsWith("event: ")) name = line.slice("event: ".length);
      if (!line.startsWith("data: ") || name !== "now") continue;
      seen.before = seen.now;
      seen.beforeMs = seen.nowMs;
      seen.now = JSON.parse(line.slice("data: ".length)) as Now;
      seen.nowMs = performance.now();
      seen.error = null;
      if (!changed()) {
        response.destroy();
        return;
      }
    }
    seen.error = `${seen.client.name} closed the connection`;
  } catch (error) {
    seen.error = (error as Error).message;
  }
}

function lines(seen: Seen, width: number): string[] {
  const { client, now, error } = seen;
  if (now === null) return [bold(client.name), error === null ? "connecting …" : red(error)];
  const { state, sample } = now;
  const workers = state.workers > 1 ? `, ${state.workers} workers` : "";
  const head = `${bold(client.name)}  Platypus ${state.version}${workers}, up ${duration(state.uptimeSeconds)}, ${megabytes(state.memoryBytes)}`;
  const numbers =
    sample === null
      ? []
      : [
          `requests ${rate(sample.requests)}  hits ${share(sample.hits, sample.hits + sample.misses)}  filled ${rate(sample.filled)}  errors ${rate(sample.errors)}  clients ${sample.clients}  p50 ${ms(sample.p50Ms)}  p99 ${ms(sample.p99Ms)}`,
        ];
  const near = state.near.keys === 0 ? [] : [nearLine(seen, state)];
  const troubles = [
    ...(error === null ? [] : [error]),
    ...(state.notReady === null ? [] : [`not ready: ${state.notReady}`]),
    ...(state.reloadError === null ? [] : [`reload failed: ${state.reloadError}`]),
  ];
  return [
    head,
    ...numbers,
    ...near,
    ...troubles.map(red),
    "",
    ...servers(seen, state),
    ...rules(seen, state),
    ...sources(seen, state),
    ...hotKeys(seen, state),
  ].map((line) => cut(line, width));
}

function servers(seen: Seen, { servers: all }: State): string[] {
  const rows = all.map((server) => {
    const before = seen.before?.state.servers.find(({ pool, name }) => pool === server.pool && name === server.name);
    const isUp = server.state === "up";
    return [
      server.name,
      server.pool,
      isUp ? server.state : red(server.state),
      rate(perSecond(seen, server.requests, before?.requests)),
      rate(perSecond(seen, server.failed, before?.failed)),
      String(server.outstanding),
      ms(server.p50Ms),
      ms(server.p99Ms),
    ];
  });
  return table(["SERVER", "POOL", "STATE", "REQ/S", "FAIL/S", "IN FLIGHT", "P50", "P99"], rows);
}

function rules(seen: Seen, { rules: all }: State): string[] {
  const rows = all.map((rule) => {
    const before = seen.before?.state.rules.find(({ name }) => name === rule.name);
    return [
      rule.name,
      rule.source,
      String(rule.tracked),
      rate(perSecond(seen, rule.fills, before?.fills)),
      rate(perSecond(seen, rule.refreshes, before?.refreshes)),
      rate(perSecond(seen, rule.failed + rule.refreshFailed, before && before.failed + before.refreshFailed)),
      ms(rule.lagMs),
      ms(rule.p99Ms),
    ];
  });
  return table(["RULE", "SOURCE", "TRACKED", "FILL/S", "REFRESH/S", "FAIL/S", "LAG P99", "FETCH P99"], rows);
}

function sources(seen: Seen, { sources: all }: State): string[] {
  const rows = all.map((source) => {
    const before = seen.before?.state.sources.find(({ name }) => name === source.name);
    return [
      source.name,
      source.type,
      source.breaker === "closed" ? source.breaker : red(source.breaker),
      rate(perSecond(seen, source.fetches, before?.fetches)),
      rate(perSecond(seen, source.failed, before?.failed)),
      `${source.inFlight}${source.waiting > 0 ? `, ${source.waiting} wait` : ""}`,
      ms(source.p50Ms),
      ms(source.p99Ms),
    ];
  });
  return table(["SOURCE", "TYPE", "BREAKER", "FETCH/S", "FAIL/S", "IN FLIGHT", "P50", "P99"], rows);
}

function nearLine(seen: Seen, { near }: State): string {
  const before = seen.before?.state.near;
  const hits = before === undefined ? near.hits : near.hits - before.hits;
  const gets = before === undefined ? near.gets : near.gets - before.gets;
  return `near hits ${share(hits, gets)}  hot keys ${near.keys}  ${megabytes(near.bytes)}`;
}

function hotKeys(seen: Seen, { hotKeys: all }: State): string[] {
  const rows = all.map(({ key, gets, hits }) => {
    const before = seen.before?.state.hotKeys.find((each) => each.key === key);
    return [JSON.stringify(key), rate(perSecond(seen, gets, before?.gets)), String(gets), share(hits, gets)];
  });
  return table(["HOT KEY", "GET/S", "GETS", "NEAR HITS"], rows);
}

function perSecond({ nowMs, beforeMs }: Seen, now: number, before: number | undefined): number {
  return before === undefined ? 0 : (Math.max(0, now - before) * 1000) / Math.max(1, nowMs - beforeMs);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escapes of colours
const STYLE = /\x1b\[\d+m/g;

/** Columns as wide as their longest cell, then an empty line. No lines without rows. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const lengthOf = (cell: string) => cell.replace(STYLE, "").length;
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => lengthOf(row[i]!))));
  const render = (cells: readonly string[]) =>
    cells
      .map((cell, i) => {
        const pad = " ".repeat(widths[i]! - lengthOf(cell));
        return i < 3 ? cell + pad : pad + cell;
      })
      .join("  ")
      .trimEnd();
  return [styled("dim", render(head)), ...rows.map(render), ""];
}

function cut(line: string, width: number): string {
  return line.replace(STYLE, "").length <= width ? line : line.replace(STYLE, "").slice(0, width);
}

function rate(value: number): string {
  return value >= 10 || value === 0 ? String(Math.round(value)) : value.toFixed(1);
}

function share(part: number, whole: number): string {
  return whole === 0 ? "–" : `${((100 * part) / whole).toFixed(1)} %`;
}

function ms(value: number | null): string {
  return value === null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function duration(seconds: number): string {
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days}d ${hours}h`;
  return hours > 0 ? `${hours}h ${minutes}m` : minutes > 0 ? `${minutes}m ${seconds % 60}s` : `${seconds}s`;
}

function bold(text: string): string {
  return styled("bold", text);
}

function red(text: string): string {
  return styled("red", text);
}

function styled(style: "bold" | "dim" | "red", text: string): string {
  return styleText(style, text, { stream: process.stdout });
}
