/**
 * `platypus simulate FILE`: plays a trace, or made-up gets, through a rule of a configuration on virtual time, with and
 * without refresh.
 */
import { closeSync, openSync, readSync } from "node:fs";
import type { Config, RuleConfig } from "../config/config.ts";
import { formatDuration, formatSize, parseDuration } from "../config/units.ts";
import { UsageError } from "../errors.ts";
import { ItemStore } from "../proxy/store/item-store.ts";
import { Pattern } from "../refresh/pattern.ts";
import { EmbeddedPoolPort } from "../refresh/pool/embedded-pool-port.ts";
import {
  simulate as play,
  type SimulatedGet,
  type SimulatedPool,
  type SimulationResult,
} from "../refresh/simulator.ts";
import { ZipfSampler } from "../refresh/zipf.ts";
import { loadConfig } from "../server/load-config.ts";
import { parseOptions } from "./options.ts";

export const SIMULATE_HELP = `platypus simulate FILE [options]: what a fleet would ask of a rule's source, with and without refresh

  platypus simulate platypus.toml --rate 1000 --keys 100000 --duration 1h --latency 80ms --processes 4
  platypus simulate platypus.toml --rule users --trace gets.csv

  --rule NAME          the rule to simulate; left out: the first of the file
  --trace FILE         gets to play: lines of TIME,KEY in the order of time, TIME in seconds; those of keys that the
                       rule does not match are left out. Without it gets are made up:
  --rate N             gets a second (1000)
  --keys N             different keys (10000), asked for by Zipf's law
  --zipf S             its exponent (1); 0: all keys alike
  --duration TIME      how long (10m)
  --key TEMPLATE       key number {n}, such as "user/{n}"; left out: made from the rule's match where that is TEXT(.*)
                       or the like
  --latency TIME       how long the source takes (50ms)
  --failures SHARE     share of its calls that fail (0)
  --processes N        Platypus processes over the pool (1)
  --seed N             the same seed, the same gets (1)

Exit codes: 0 done, 2 wrong usage or configuration.
`;

const POOL_BYTES = 64 * 1024 ** 3;
/** Beside its key, what a tracked key costs. */
const TRACKED_BYTES = 80;

interface Options {
  readonly rule: RuleConfig;
  readonly config: Config;
  readonly latencyMs: number;
  readonly failureShare: number;
  readonly processes: number;
  readonly seed: number;
  /** The gets, the same ones each time. */
  gets(): Iterable<SimulatedGet>;
  /** How long they last; null: not known before. */
  readonly durationMs: number | null;
}

/** Prints the table. Throws a UsageError or ConfigError that says what is wrong. */
export async function simulate(args: readonly string[]): Promise<void> {
  const options = await readOptions(args);
  const results: SimulationResult[] = [];
  for (const isRefreshing of [true, false]) results.push(await run(options, isRefreshing));
  if (results[0]!.gets === 0) throw new UsageError(`there are no gets of keys that rule ${options.rule.name} matches`);
  process.stdout.write(render(options, results[0]!, results[1]!));
}

async function run(options: Options, isRefreshing: boolean): Promise<SimulationResult> {
  const { rule, config, durationMs } = options;
  const source = config.sources.find(({ name }) => name === rule.source)!;
  const progress = (atMs: number) => {
    if (!process.stderr.isTTY) return;
    const share = durationMs === null ? "" : ` ${Math.floor((100 * atMs) / durationMs)} %`;
    process.stderr.write(`\r${isRefreshing ? "with" : "without"} refresh: ${formatSeconds(atMs)}${share}   `);
  };
  const result = await play({
    // What a rule would do that is not on yet is worth knowing, too.
    rule: { ...rule, mode: "on" },
    source,
    gets: options.gets(),
    processes: options.processes,
    latencyMs: options.latencyMs,
    failureShare: options.failureShare,
    isRefreshing,
    bounds: config.server,
    random: randomOf(options.seed),
    createPool: (unixSeconds) => createPool(unixSeconds, options.processes > 1),
    progress,
  });
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  return result;
}

function createPool(unixSeconds: () => number, isShared: boolean): SimulatedPool {
  const store = new ItemStore(POOL_BYTES, 1 << 20, unixSeconds);
  const port = new EmbeddedPoolPort(store);
  return {
    port: Object.assign(port, { isShared: () => isShared }),
    get: (key) => store.peek(key)?.value ?? null,
    get byteLength() {
      return store.byteLength;
    },
  };
}

function render({ rule, processes }: Options, on: SimulationResult, off: SimulationResult): string {
  const share = (part: number, { gets }: SimulationResult) => `${((100 * part) / gets).toFixed(2)} %`;
  const perSecond = (count: number, { durationMs }: SimulationResult) =>
    (count / (Math.max(durationMs, 1000) / 1000)).toFixed(1);
  const ms = (value: number) => formatSeconds(value);
  const rows: [string, (result: SimulationResult) => string][] = [
    ["gets", (result) => String(result.gets)],
    ["hits", (result) => share(result.hits, result)],
    ["filled while the client waited", (result) => share(result.filled, result)],
    ["misses", (result) => share(result.missed, result)],
    ["source calls", (result) => String(result.sourceCalls)],
    ["source calls a second", (result) => perSecond(result.sourceCalls, result)],
    ["  most in one second", (result) => String(result.peakCallsPerSecond)],
    ["  most at once", (result) => String(result.peakConcurrency)],
    ["source calls that failed", (result) => String(result.sourceFailures)],
    ["wait for a fill, half of them under", (result) => ms(result.wait.quantileMs(0.5))],
    ["  99 % under", (result) => ms(result.wait.quantileMs(0.99))],
    ["age of what was served, half under", (result) => ms(result.age.quantileMs(0.5))],
    ["  99 % under", (result) => ms(result.age.quantileMs(0.99))],
    ["  the oldest", (result) => ms(result.age.maxMs)],
    ["keys tracked by one process", (result) => String(result.peakTracked)],
    ["  memory for them, beside their names", (result) => formatSize(result.peakTracked * TRACKED_BYTES)],
  ];
  const lines = rows.map(([name, cell]) => `${name.padEnd(38)}${cell(on).padStart(14)}${cell(off).padStart(18)}`);
  const head = `rule ${rule.name}, ${formatSeconds(on.durationMs)}, ${processes} process${processes === 1 ? "" : "es"}`;
  return `${head}\n\n${"".padEnd(38)}${"with refresh".padStart(14)}${"without refresh".padStart(18)}\n${lines.join("\n")}\n`;
}

function formatSeconds(ms: number): string {
  return ms < 1_000
    ? `${Math.round(ms)} ms`
    : ms < 120_000
      ? `${(ms / 1000).toFixed(1)} s`
      : formatDuration(Math.round(ms / 1000) * 1000);
}

async function readOptions(args: readonly string[]): Promise<Options> {
  const { values, positionals } = parse(args);
  const [path, ...others] = [...positionals, ...(values.config === undefined ? [] : [values.config])];
  if (path === undefined || others.length > 0) throw new UsageError("simulate takes one file: platypus simulate FILE");
  const config = await loadConfig({ path, env: process.env });
  const rule = config.rules.find(({ name }) => values.rule === undefined || name === values.rule);
  if (rule === undefined) {
    const names = config.rules.map(({ name }) => name).join(", ") || "none";
    throw new UsageError(`there is no rule ${values.rule ?? "at all"} in ${path}; it has: ${names}`);
  }
  const seed = integerOf("seed", values.seed, 0, 2 ** 32);
  const rate = numberOf("rate", values.rate, 0.001, 1e7);
  const keys = integerOf("keys", values.keys, 1, 1e7);
  const exponent = numberOf("zipf", values.zipf, 0, 10);
  const durationMs = durationOf("duration", values.duration);
  const { trace } = values;
  const template = trace === undefined ? keyTemplate(rule, values.key) : "";
  return {
    rule,
    config,
    latencyMs: durationOf("latency", values.latency),
    failureShare: numberOf("failures", values.failures, 0, 1),
    processes: integerOf("processes", values.processes, 1, 1_000),
    seed,
    gets: () =>
      trace === undefined
        ? madeUp({ rate, keys, exponent, durationMs, template, seed: seed + 1 })
        : covered(rule, readTrace(trace)),
    durationMs: trace === undefined ? durationMs : null,
  };
}

function parse(args: readonly string[]) {
  const text = (byDefault: string) => ({ type: "string", default: byDefault }) as const;
  const optional = { type: "string" } as const;
  return parseOptions(args, {
    config: optional,
    rule: optional,
    trace: optional,
    key: optional,
    rate: text("1000"),
    keys: text("10000"),
    zipf: text("1"),
    duration: text("10m"),
    latency: text("50ms"),
    failures: text("0"),
    processes: text("1"),
    seed: text("1"),
  });
}

function numberOf(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= min && value <= max)) {
    throw new UsageError(`--${name}: expected a number from ${min} to ${max}, got ${JSON.stringify(text)}`);
  }
  return value;
}

function integerOf(name: string, text: string, min: number, max: number): number {
  const value = numberOf(name, text, min, max);
  if (!Number.isInteger(value)) throw new UsageError(`--${name}: expected a whole number, got ${JSON.stringify(text)}`);
  return value;
}

function durationOf(name: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === null)
    throw new UsageError(`--${name}: expected a duration such as "50ms" or "10m", got ${JSON.stringify(text)}`);
  return ms;
}

/** A template of keys that the rule matches. */
function keyTemplate(rule: RuleConfig, given: string | undefined): string {
  const { name, match, stripPrefix } = rule;
  const literal = /^([^\\^$.|?*+()[\]{}]*)\((?:\?P?<\w+>)?(?:\.[*+]|\[\^\/\][*+]|\\d\+|\[0-9\]\+)\)$/.exec(match)?.[1];
  const template = given ?? (literal === undefined ? null : `${stripPrefix}${literal}{n}`);
  if (template === null) {
    throw new UsageError(`--key is needed: no key can be made up from the match of ${name}, ${JSON.stringify(match)}`);
  }
  const key = template.replaceAll("{n}", "0");
  if (!coverage(rule)(key)) throw new UsageError(`--key: ${JSON.stringify(key)} is no key that rule ${name} matches`);
  return template;
}

/** Whether the rule matches a key. */
function coverage({ match, stripPrefix }: RuleConfig): (key: string) => boolean {
  const pattern = new Pattern(match);
  return (key) => key.startsWith(stripPrefix) && pattern.match(key.slice(stripPrefix.length)) !== null;
}

interface Made {
  readonly rate: number;
  readonly keys: number;
  readonly exponent: number;
  readonly durationMs: number;
  readonly template: string;
  readonly seed: number;
}

/** Gets at random times (a Poisson process) of keys by Zipf's law. */
function* madeUp({ rate, keys, exponent, durationMs, template, seed }: Made): Generator<SimulatedGet> {
  const random = randomOf(seed);
  const sampler = new ZipfSampler(keys, exponent, random);
  const names = Array.from({ length: keys }, (_, n) => template.replaceAll("{n}", String(n)));
  const bytes = names.map((name) => Buffer.from(name, "latin1"));
  for (let atMs = 0; ; ) {
    atMs += (-Math.log(1 - random()) / rate) * 1000;
    if (atMs > durationMs) return;
    const n = sampler.next();
    yield { atMs, key: names[n]!, bytes: bytes[n]! };
  }
}

/** Gets of the rule's keys: a trace may hold everybody's. */
function* covered(rule: RuleConfig, gets: Iterable<SimulatedGet>): Generator<SimulatedGet> {
  const isCovered = coverage(rule);
  for (const get of gets) if (isCovered(get.key)) yield get;
}

const CHUNK_BYTES = 1 << 20;

/** Lines of a file, read as they are needed. Throws a UsageError with the line that is none. */
function* readTrace(path: string): Generator<SimulatedGet> {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new UsageError(`--trace: ${(error as Error).message}`);
  }
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let rest = "";
    let number = 0;
    let firstMs: number | null = null;
    let lastMs = 0;
    for (;;) {
      const length = readSync(file, chunk);
      const lines = (rest + chunk.toString("latin1", 0, length)).split("\n");
      rest = length === 0 ? "" : lines.pop()!;
      for (const line of lines) {
        number++;
        const text = line.trimEnd();
        const comma = text.indexOf(",");
        const seconds = Number(text.slice(0, comma));
        const isHeader = number === 1 && Number.isNaN(seconds);
        if (text === "" || isHeader) continue;
        const atMs = seconds * 1000 - (firstMs ?? seconds * 1000);
        if (comma < 1 || !Number.isFinite(seconds) || comma === text.length - 1) {
          throw new UsageError(`${path}:${number}: expected TIME,KEY, got ${JSON.stringify(text.slice(0, 80))}`);
        }
        if (atMs < lastMs)
          throw new UsageError(`${path}:${number}: goes back in time; expected lines in order of time`);
        firstMs ??= seconds * 1000;
        lastMs = atMs;
        const key = text.slice(comma + 1);
        yield { atMs, key, bytes: Buffer.from(key, "latin1") };
      }
      if (length === 0) return;
    }
  } finally {
    closeSync(file);
  }
}

/** Numbers from 0 to below 1, the same for the same seed. Source: mulberry32 (Tommy Ettinger, public domain). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
