/**
 * The cost of refreshes: memory and steps of a million tracked keys; refreshes per second of a real process with a real
 * memcached; calls of the source per key; and hits with twenty rules and all keys tracked, compared with Platypus without rules.
 */

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { callsPerKey } from "./batches.ts";
import type { Competitor } from "./competitors.ts";
import type { Figure } from "./figures.ts";
import { GeneratorProcess } from "./generator-process.ts";
import { type Bench, type Length, measureSteps } from "./measure.ts";
import { cpuMicrosBetween, readCpu } from "./process-cost.ts";
import { BenchError } from "./process-group.ts";
import { summarize, type WorkloadReport } from "./report.ts";
import type { Load, Scenario } from "./scenarios/scenario.ts";
import { base } from "./scenarios/workloads.ts";
import { keyCountFor } from "./tape.ts";
import { Client } from "./text-client.ts";

const MILLION = 1_000_000;
/** Each key is due a second before its TTL of 3 s ends: about 10,000 refreshes per second. */
const CHURN_KEYS = 20_000;
const CHURN_TTL = "3s";
const CHURN_SECONDS = 5;
const WARM_UP_ROUNDS = 60;
const TRACKING = "platypus, 20 rules";
const SHAPES: readonly { readonly name: string; readonly load: Partial<Load> }[] = [
  { name: "hits under rules: single gets, 50 connections", load: {} },
  { name: "hits under rules: pipelined 16", load: { depth: 16 } },
  { name: "hits under rules: multiget of 24 keys", load: { keysPerRequest: 24 } },
];

/** Number of steps of `measureRefresh`, for the progress. */
export function refreshSteps(length: Length): number {
  return 3 + SHAPES.length * measureSteps(length, 2);
}

export async function measureRefresh(
  bench: Bench,
  length: Length,
): Promise<{ readonly figures: Figure[]; readonly reports: WorkloadReport[] }> {
  bench.progress.step("a million tracked keys");
  const figures = millionKeys();
  bench.progress.step("refreshes a second");
  figures.push(await churn(bench));
  bench.progress.step("calls per key, with batches and without");
  figures.push(...(await callsPerKey(bench)));
  return { figures, reports: await hitsUnderRules(bench, length) };
}

function millionKeys(): Figure[] {
  const program = join(import.meta.dirname, "micro/tracked-keys.ts");
  const result = JSON.parse(
    execFileSync(process.execPath, ["--expose-gc", program, String(MILLION)], { encoding: "utf8" }),
  );
  const { bytesPerKey, rssBytes, trackNanos, noteNanos, dueNanos } = result as Record<string, number>;
  const steps = `to track one ${trackNanos!.toFixed(0)} ns, to note a get ${noteNanos!.toFixed(0)} ns, to fall due and be armed again ${dueNanos!.toFixed(0)} ns`;
  const rss = `${(rssBytes! / 1e6).toFixed(0)} MB of RSS with the names`;
  const note = `a million keys of 30 bytes, beside their names; ${rss}; ${steps}`;
  return [{ name: "a tracked key", value: bytesPerKey!, unit: "bytes", goal: null, note }];
}

async function churn(bench: Bench): Promise<Figure> {
  const source = '[source.churn]\ntype = "echo"\nqueue = 100000\nconcurrency = 10000\n';
  const rule = `[get.churn]\nmatch = "churn:(.*)"\nsource = "churn"\nttl = "${CHURN_TTL}"\n`;
  const platypus = await bench.competitors.platypus("refreshing", { rest: rule + source });
  const client = await Client.open(platypus);
  for (let n = 0; n < CHURN_KEYS; n += 100) {
    const keys = Array.from({ length: 100 }, (_, i) => `churn:${n + i}`);
    await client.ask(`get ${keys.join(" ")}\r\n`, "END\r\n");
  }
  await delay(3_000);
  const [cpuBefore, before] = [readCpu([platypus.pid]), await client.stats()];
  const startMs = performance.now();
  await delay(CHURN_SECONDS * 1_000);
  const [cpuAfter, after] = [readCpu([platypus.pid]), await client.stats()];
  const seconds = (performance.now() - startMs) / 1000;
  client.close();
  await bench.group.stopPid(platypus.pid);
  const count = (name: string) => (after.get(`rule:churn:${name}`) ?? 0) - (before.get(`rule:churn:${name}`) ?? 0);
  const refreshes = count("refreshed") + count("unchanged");
  const micros = cpuMicrosBetween(cpuBefore, cpuAfter);
  const lag = after.get("rule:churn:refresh_lag_ms:p99") ?? 0;
  const cost = `${(micros / refreshes).toFixed(1)} µs CPU each, ${Math.round(micros / seconds / 1e4)} % of a core`;
  const failures = `failed ${count("refresh_failed")}, deferred ${count("deferred")}`;
  const note = `${CHURN_KEYS} keys with ttl ${CHURN_TTL}: ${cost}; ${failures}, 99 % late by no more than ${lag} ms`;
  return { name: "refreshes", value: refreshes / seconds, unit: "a second", goal: null, note };
}

/** Hits with all keys covered by one of twenty rules and tracked, compared with hits without rules. */
async function hitsUnderRules(bench: Bench, length: Length): Promise<WorkloadReport[]> {
  const prepare = async () => warmUp(bench, await bench.competitors.get(TRACKING));
  const reports: WorkloadReport[] = [];
  for (const { name, load } of SHAPES) {
    const own = { load: { ...base, ...load }, hasGoal: true };
    const contenders = [
      { ...own, name: "no rules", competitor: "platypus", hasGoal: false },
      { ...own, name: "20 rules, keys tracked", competitor: TRACKING },
    ];
    const shape = { group: "refresh", x: null, isQuick: false, hasGivenPeers: false };
    const scenario: Scenario = { ...shape, name, contenders, peer: "no rules", goal: 1.05 };
    reports.push(summarize(scenario, await bench.measure(scenario, length, null, prepare)));
  }
  return reports;
}

/** Gets the keys, which another client stored, until all of them are tracked. */
async function warmUp({ group }: Bench, competitor: Competitor): Promise<void> {
  const generator = await GeneratorProcess.open(group, competitor, { ...base, depth: 16 });
  const client = await Client.open(competitor);
  const keys = keyCountFor(base.valueBytes);
  let tracked = 0;
  for (let round = 0; round < WARM_UP_ROUNDS && tracked < keys; round++) {
    await generator.run({ seconds: 1 });
    tracked = (await client.stats()).get("tracked") ?? 0;
  }
  client.close();
  await generator.close();
  if (tracked < keys * 0.99) throw new BenchError(`only ${tracked} of ${keys} keys are tracked`);
}
