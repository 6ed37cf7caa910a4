/**
 * `platypus simulate FILE`: runs a trace, or generated gets, through a rule of a configuration on virtual time, with
 * and without refresh.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { systemClock } from "../clock.ts";
import type { Config, RuleConfig } from "../config/config.ts";
import { formatDuration, formatSize, parseDuration } from "../config/units.ts";
import { UsageError } from "../errors.ts";
import { ownCommand } from "../packaged.ts";
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
import type { BatchLimits } from "../sources/batch-settings.ts";
import { buildSources } from "../sources/build.ts";
import { parseOptions } from "./options.ts";
import { renderPlot } from "./simulation-plot.ts";

export const SIMULATE_HELP = `platypus simulate FILE [options]: predict the calls of a rule's source, with and without refreshes

  platypus simulate platypus.toml --rate 1000 --keys 100000 --duration 1h --latency 80ms --processes 4
  platypus simulate platypus.toml --rule users --trace gets.csv

  --rule NAME          the rule to simulate (the first of the file)
  --trace FILE         gets to play: lines of TIME,KEY in order, TIME in seconds; keys that the rule does not match
                       are skipped. Without a trace, gets are generated:
  --rate N             gets per second (1000)
  --keys N             number of keys (10000); their popularity follows Zipf's law
  --zipf S             exponent of Zipf's law (1); with 0 all keys are equally popular
  --duration TIME      simulated time (10m)
  --key TEMPLATE       key number {n}, such as "user/{n}"; derived from the rule's match if that has a form like
                       TEXT(.*)
  --latency TIME       latency of the source (50ms)
  --capacity N         calls that the source handles at once; more calls make it slower (no limit)
  --failures SHARE     share of its calls that fail (0)
  --processes N        Platypus processes over the pool (1)
  --seed N             equal seeds generate equal gets (1)
  --only WITH          with or without: simulate only the variant with refreshes, or without
  --json               one JSON object with the numbers of both
  --svg FILE           draw the source's calls over time

It prints its progress every five seconds.

Exit codes: 0 done, 2 wrong usage or configuration.
`;

const POOL_BYTES = 64 * 1024 ** 3;
/** Memory of a tracked key in addition to the key itself. */
const TRACKED_BYTES = 80;

interface Options {
  readonly rule: RuleConfig;
  readonly config: Config;
  readonly batching: BatchLimits | null;
  readonly latencyMs: number;
  readonly capacity: number;
  readonly failureShare: number;
  readonly processes: number;
  readonly seed: number;
  /** The gets, identical in each call. */
  gets(): Iterable<SimulatedGet>;
  /** Duration of the gets (ms). `null` if it is not known in advance. */
  readonly durationMs: number | null;
  /** Variants to simulate. */
  readonly variants: readonly Variant[];
  readonly isJson: boolean;
  readonly svg: string | null;
}

const variants = ["with", "without"] as const;
/** With or without refresh. */
type Variant = (typeof variants)[number];

/** A result as plain data: it comes from another process, or is printed as JSON. Times are in ms. */
interface Summary extends Omit<SimulationResult, "age" | "wait"> {
  readonly peakCallsPerSecond: number;
  readonly waitMs: { readonly p50: number; readonly p99: number };
  readonly ageMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

function summaryOf({ age, wait, ...numbers }: SimulationResult): Summary {
  return {
    ...numbers,
    peakCallsPerSecond: numbers.callsBySecond.reduce((most, calls) => Math.max(most, calls), 0),
    waitMs: { p50: wait.quantileMs(0.5), p99: wait.quantileMs(0.99) },
    ageMs: { p50: age.quantileMs(0.5), p99: age.quantileMs(0.99), max: age.maxMs },
  };
}

/** Prints the table. Throws a UsageError or ConfigError that says what is wrong. */
export async function simulate(args: readonly string[]): Promise<void> {
  const options = await readOptions(args);
  // Refusals of sources create many errors, which are only counted.
  Error.stackTraceLimit = 0;
  const [first, second] = options.variants;
  const other = second === undefined ? null : playElsewhere(args, second);
  // A failure in this process is reported first.
  other?.catch(() => {});
  const results: [Variant, Summary][] = [[first!, summaryOf(await run(options, first === "with"))]];
  if (results[0]![1].gets === 0) {
    throw new UsageError(`there are no gets of keys that rule ${options.rule.name} matches`);
  }
  if (other !== null) results.push([second!, await other]);
  if (options.svg !== null) writeFileSync(options.svg, plot(options, results));
  const json = () => `${JSON.stringify({ rule: options.rule.name, ...Object.fromEntries(results) }, null, 2)}\n`;
  process.stdout.write(options.isJson ? json() : render(options, results));
}

/** Simulates a variant in a child process. */
async function playElsewhere(args: readonly string[], variant: Variant): Promise<Summary> {
  const [program, ...words] = ownCommand();
  const own = [...words, "simulate", ...args, "--only", variant, "--json"];
  const child = spawn(program, own, { env: { ...process.env, [QUIET]: "1" }, stdio: ["ignore", "pipe", "pipe"] });
  process.once("exit", () => child.kill("SIGKILL"));
  const texts = [child.stdout, child.stderr].map((stream) => text(stream));
  const [code] = (await once(child, "close")) as [number | null];
  const [output, errors] = await Promise.all(texts);
  if (code !== 0) throw new Error(`the simulation ${variant} refresh ended with code ${code}: ${errors}`);
  return (JSON.parse(output!) as Readonly<Record<Variant, Summary>>)[variant];
}

const PLOT_POINTS = 300;

function plot({ rule }: Options, results: readonly (readonly [Variant, Summary])[]): string {
  const { durationMs } = results[0]![1];
  const lines = results.map(([variant, { callsBySecond }]) => {
    const span = Math.max(1, Math.ceil(callsBySecond.length / PLOT_POINTS));
    const callsPerSecond = Array.from({ length: Math.ceil(callsBySecond.length / span) }, (_, i) => {
      const part = callsBySecond.slice(i * span, (i + 1) * span);
      return part.reduce((sum, calls) => sum + calls, 0) / part.length;
    });
    return { name: `${variant} refresh`, callsPerSecond };
  });
  return renderPlot(`calls per second to the source of rule ${rule.name}`, formatSeconds(durationMs), lines);
}

/** Set for a child process: it does not print its progress. */
const QUIET = "PLATYPUS_SIMULATE_QUIET";
const PROGRESS_MS = 5_000;

/** Prints the progress: on a terminal continuously in one line, otherwise as a line every few seconds. */
function progressOf(what: string, durationMs: number | null): (atMs: number) => void {
  if (process.env[QUIET] !== undefined) return () => {};
  let toldMs = performance.now();
  return (atMs) => {
    const isDue = performance.now() - toldMs >= PROGRESS_MS;
    if (!process.stderr.isTTY && !isDue) return;
    toldMs = performance.now();
    const share = durationMs === null ? "" : ` ${Math.floor((100 * atMs) / durationMs)} %`;
    const line = `${what}: ${formatSeconds(atMs)}${share}`;
    process.stderr.write(process.stderr.isTTY ? `\r${line}   ` : `${line}\n`);
  };
}

async function run(options: Options, isRefreshing: boolean): Promise<SimulationResult> {
  const { rule, config, durationMs } = options;
  const source = config.sources.find(({ name }) => name === rule.source)!;
  const progress = progressOf(`${isRefreshing ? "with" : "without"} refresh`, durationMs);
  const result = await play({
    // A simulation of a rule that is not on yet is useful too.
    rule: { ...rule, mode: "on" },
    source,
    gets: options.gets(),
    processes: options.processes,
    batching: options.batching,
    latencyMs: options.latencyMs,
    capacity: options.capacity,
    failureShare: options.failureShare,
    isRefreshing,
    bounds: config.server,
    random: randomOf(options.seed),
    createPool: (unixSeconds) => createPool(unixSeconds, options.processes > 1),
    progress,
  });
  if (process.stderr.isTTY && process.env[QUIET] === undefined) process.stderr.write("\r\x1b[K");
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

function render({ rule, processes }: Options, results: readonly (readonly [Variant, Summary])[]): string {
  const share = (part: number, { gets }: Summary) => `${((100 * part) / gets).toFixed(2)} %`;
  const perSecond = (count: number, { durationMs }: Summary) =>
    (count / (Math.max(durationMs, 1000) / 1000)).toFixed(1);
  const ms = (value: number) => formatSeconds(value);
  const rows: [string, (result: Summary) => string][] = [
    ["gets", (result) => String(result.gets)],
    ["hits", (result) => share(result.hits, result)],
    ["filled while the client waited", (result) => share(result.filled, result)],
    ["misses", (result) => share(result.missed, result)],
    ["source calls", (result) => String(result.sourceCalls)],
    ["  keys per call", (result) => (result.sourceKeys / Math.max(1, result.sourceCalls)).toFixed(2)],
    ["source calls a second", (result) => perSecond(result.sourceCalls, result)],
    ["  most in one second", (result) => String(result.peakCallsPerSecond)],
    ["  most at once", (result) => String(result.peakConcurrency)],
    ["source calls that failed", (result) => String(result.sourceFailures)],
    ["wait for a fill, half of them under", (result) => ms(result.waitMs.p50)],
    ["  99 % under", (result) => ms(result.waitMs.p99)],
    ["age of what was served, half under", (result) => ms(result.ageMs.p50)],
    ["  99 % under", (result) => ms(result.ageMs.p99)],
    ["  the oldest", (result) => ms(result.ageMs.max)],
    ["keys tracked by one process", (result) => String(result.peakTracked)],
    ["  memory for them, beside their names", (result) => formatSize(result.peakTracked * TRACKED_BYTES)],
  ];
  const widthOf = (variant: Variant) => (variant === "with" ? 14 : 18);
  const columns = (cell: (variant: Variant, result: Summary) => string) =>
    results.map(([variant, result]) => cell(variant, result).padStart(widthOf(variant))).join("");
  const lines = rows.map(([name, cell]) => `${name.padEnd(38)}${columns((_, result) => cell(result))}`);
  const { durationMs } = results[0]![1];
  const head = `rule ${rule.name}, ${formatSeconds(durationMs)}, ${processes} process${processes === 1 ? "" : "es"}`;
  return `${head}\n\n${"".padEnd(38)}${columns((variant) => `${variant} refresh`)}\n${lines.join("\n")}\n`;
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
  const chosen = variants.filter((each) => values.only === undefined || each === values.only);
  if (chosen.length === 0) throw new UsageError(`--only: expected with or without, got ${JSON.stringify(values.only)}`);
  const template = trace === undefined ? keyTemplate(rule, values.key) : "";
  return {
    rule,
    config,
    batching: await batchingOf(config, rule),
    latencyMs: durationOf("latency", values.latency),
    capacity:
      values.capacity === undefined ? Number.POSITIVE_INFINITY : integerOf("capacity", values.capacity, 1, 100_000),
    failureShare: numberOf("failures", values.failures, 0, 1),
    processes: integerOf("processes", values.processes, 1, 1_000),
    seed,
    gets: () =>
      trace === undefined
        ? madeUp({ rate, keys, exponent, durationMs, template, seed: seed + 1 })
        : covered(rule, readTrace(trace)),
    durationMs: trace === undefined ? durationMs : null,
    variants: chosen,
    isJson: values.json ?? false,
    svg: values.svg ?? null,
  };
}

/** The batches of the rule's source. `null` if it has none. */
async function batchingOf(config: Config, rule: RuleConfig): Promise<BatchLimits | null> {
  const sources = buildSources(config.sources, new Map(), systemClock);
  try {
    const { source } = sources.get(rule.source)!;
    const batching = source.batching ?? (await source.loadBatching?.()) ?? null;
    return batching && { maxKeys: batching.maxKeys, waitMs: batching.waitMs, refreshWaitMs: batching.refreshWaitMs };
  } finally {
    await Promise.all([...sources.values()].map(({ source }) => source.close()));
  }
}

function parse(args: readonly string[]) {
  const withDefault = (byDefault: string) => ({ type: "string", default: byDefault }) as const;
  const optional = { type: "string" } as const;
  return parseOptions(args, {
    config: optional,
    rule: optional,
    trace: optional,
    key: optional,
    rate: withDefault("1000"),
    keys: withDefault("10000"),
    zipf: withDefault("1"),
    duration: withDefault("10m"),
    latency: withDefault("50ms"),
    capacity: optional,
    failures: withDefault("0"),
    processes: withDefault("1"),
    seed: withDefault("1"),
    only: optional,
    svg: optional,
    json: { type: "boolean" },
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

/** A template of keys that match the rule. */
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

/** The function is true for a key that the rule matches. */
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

/** Gets of the rule's keys: a trace may contain other keys. */
function* covered(rule: RuleConfig, gets: Iterable<SimulatedGet>): Generator<SimulatedGet> {
  const isCovered = coverage(rule);
  for (const get of gets) if (isCovered(get.key)) yield get;
}

const CHUNK_BYTES = 1 << 20;

/** Lines of a file, read on demand. Throws a UsageError with the first invalid line. */
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

/** Random numbers from 0 to below 1, determined by the seed. Source: mulberry32 (Tommy Ettinger, public domain). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
