/** The benchmark's command line. */

import { parseArgs } from "node:util";
import { BenchError } from "./process-group.ts";

/** Competitors the benchmark can start itself, in the order of the report. */
const startable = ["platypus", "twemproxy", "direct"];

/** Shown for `--help`. */
export const usage = `npm run bench -- [refresh] [options]

  refresh              what keeping keys fresh costs, instead of the workloads of a proxy
  --quick              the short form, about two minutes
  --workload PART      only workloads whose name contains PART
  --competitors LIST   of ${startable.join(", ")}; default all of them
  --proxy NAME=HOST:PORT:PID
                       also measure a text proxy that is running already; may be repeated
  --rounds N           rounds per workload; default 7 with --quick, else 15
  --seconds S          time per competitor in a round; default 1`;

/** A running proxy named with `--proxy`. */
export interface ProxyAddress {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number;
}

export interface Options {
  readonly isHelp: boolean;
  readonly isQuick: boolean;
  /** Measure refresh rather than the proxy's own workloads. */
  readonly isRefresh: boolean;
  /** Lower case; empty matches every workload. */
  readonly workload: string;
  readonly competitors: readonly string[];
  readonly proxies: readonly ProxyAddress[];
  readonly rounds: number;
  readonly seconds: number;
}

/** Throws a BenchError that says what is wrong with the command line. */
export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  const isRefresh = positionals.length === 1 && positionals[0] === "refresh";
  if (positionals.length > 0 && !isRefresh) throw new BenchError(`unexpected ${positionals.join(" ")}\n\n${usage}`);
  const isQuick = values.quick ?? false;
  const competitors = (values.competitors ?? startable.join(",")).split(",").filter((name) => name !== "");
  for (const name of competitors) {
    if (!startable.includes(name)) {
      throw new BenchError(`--competitors: expected some of ${startable.join(", ")}, got "${name}"`);
    }
  }
  const rounds = positive("--rounds", values.rounds ?? (isQuick ? "7" : "15"));
  if (!Number.isInteger(rounds)) throw new BenchError(`--rounds: expected a whole number, got ${rounds}`);
  return {
    isHelp: values.help ?? false,
    isQuick,
    isRefresh,
    workload: (values.workload ?? "").toLowerCase(),
    competitors: startable.filter((name) => competitors.includes(name)),
    proxies: (values.proxy ?? []).map(proxyAddress),
    rounds,
    seconds: positive("--seconds", values.seconds ?? "1"),
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
        seconds: text,
      },
    });
  } catch (error) {
    throw new BenchError(`${error instanceof Error ? error.message : error}\n\n${usage}`);
  }
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
