/** The benchmark's command line. */

import { parseArgs } from "node:util";
import type { ProxyAddress } from "./competitors.ts";
import type { Length } from "./measure.ts";
import { BenchError } from "./process-group.ts";

/** Parts of the benchmark: requests, refreshes, costs of a proxy apart from requests, traces, changes of the servers. */
const parts = ["workloads", "lived", "refresh", "figures", "tracing", "resize"] as const;
const usualParts = ["workloads", "lived", "refresh", "figures"] as const;
type Part = (typeof parts)[number];

/** Shown for `--help`. */
export const usage = `npm run bench -- [${parts.join("] [")}] [options]

  workloads            requests of many kinds, compared by CPU time per request
  lived                the main workloads, in processes that have served all of them for a while; latency at 70 % of
                       saturation
  refresh              what keeping keys fresh costs
  figures              latency at a fixed rate, memory, time to start
  tracing              what traces of one request in a hundred, and of all, cost
  resize               misses while a server is added and removed
                       default: the first four; with --quick, --workload or --competitors only workloads and lived

  --quick              the short form: ends within three minutes
  --workload PART      only workloads whose name contains PART
  --competitors LIST   only these, by their names in the table, with commas between; "platypus, TLS" is "platypus: TLS"
  --proxy NAME=HOST:PORT:PID
                       also measure a text proxy that is running already; may be repeated
  --rounds N           rounds per workload; default 7
  --starts N           times the proxies are started anew in these rounds; default 3, with --quick 1
  --seconds S          time per contender in a round; default 1
  --against FILE       compare with an earlier run, a file in bench/results; exit code 1 if something became slower
  --page               write the figures into docs/performance.md (lived) and docs/performance-all.md (all others)

Where there is a C compiler, "floor" is the least that a proxy on one thread must do (bench/floor.c).
Where they are set, MEMCACHED_PROXY (a memcached built with --enable-proxy) and MCROUTER are measured as well.`;

export interface Options {
  readonly isHelp: boolean;
  readonly isQuick: boolean;
  readonly parts: ReadonlySet<Part>;
  /** In lower case. An empty string matches all workloads. */
  readonly workload: string;
  /** `null` for all. */
  readonly competitors: readonly string[] | null;
  readonly proxies: readonly ProxyAddress[];
  readonly length: Length;
  readonly against: string | null;
  readonly isPage: boolean;
}

/** Throws a BenchError that says what is wrong with the command line. */
export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  const unknown = positionals.filter((part) => !parts.includes(part as Part));
  if (unknown.length > 0) throw new BenchError(`unexpected ${unknown.join(" ")}\n\n${usage}`);
  const isQuick = values.quick ?? false;
  const some =
    isQuick || values.workload !== undefined || values.competitors !== undefined ? ["workloads", "lived"] : usualParts;
  const rounds = whole("--rounds", values.rounds ?? "7");
  const starts = whole("--starts", values.starts ?? String(isQuick ? 1 : Math.min(3, rounds)));
  if (starts > rounds)
    throw new BenchError(`--starts: expected at most one for each of the ${rounds} rounds, got ${starts}`);
  return {
    isHelp: values.help ?? false,
    isQuick,
    parts: new Set((positionals.length > 0 ? positionals : some) as Part[]),
    workload: (values.workload ?? "").toLowerCase(),
    competitors: values.competitors?.split(",").map((name) => name.trim().replace(/: ?/, ", ")) ?? null,
    proxies: (values.proxy ?? []).map(proxyAddress),
    length: { rounds, starts, seconds: positive("--seconds", values.seconds ?? "1") },
    against: values.against ?? null,
    isPage: values.page ?? false,
  };
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: flag,
        quick: flag,
        workload: text,
        competitors: text,
        proxy: { type: "string", multiple: true },
        rounds: text,
        starts: text,
        seconds: text,
        against: text,
        page: flag,
      },
    });
  } catch (error) {
    throw new BenchError(`${error instanceof Error ? error.message : error}\n\n${usage}`);
  }
}

function whole(option: string, text: string): number {
  const number = positive(option, text);
  if (!Number.isInteger(number)) throw new BenchError(`${option}: expected a whole number, got ${number}`);
  return number;
}

function positive(option: string, text: string): number {
  const number = Number(text);
  if (!(number > 0 && number <= 60)) throw new BenchError(`${option}: expected a number up to 60, got "${text}"`);
  return number;
}

function proxyAddress(text: string): ProxyAddress {
  const match = /^([^=]+)=([^:]+):(\d+):(\d+)$/.exec(text);
  if (match === null) throw new BenchError(`--proxy: expected NAME=HOST:PORT:PID, got "${text}"`);
  return { name: match[1]!, host: match[2]!, port: Number(match[3]), pid: Number(match[4]) };
}
