/**
 * `npm run soak -- --minutes 10 --seed 1`: what scenarios/all.ts does, mixed by a seed, one or two at once and again and again,
 * to one Platypus that is never restarted. Checked all the time: no wrong answer, an answer or a closed connection for every
 * request, a process that lives, bounded memory, and clients without trouble soon after the end of each trouble. A failure
 * prints its seed and the last events.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Random } from "../fuzz/random.ts";
import { withMaxMemory } from "./max-memory.ts";
import { brokenPromises, Performance } from "./measure.ts";
import { residentNow } from "./process-memory.ts";
import { Rig } from "./rig.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios/all.ts";
import { STANDARD } from "./setup.ts";

const QUIET_MS = 1_000;
const BOUND_MS = 60_000;
const MAX_SECONDS = 4;
const KEPT_EVENTS = 40;
const MEBIBYTE = 2 ** 20;
/** The bound that Platypus is given (MiB). */
const MAX_MEMORY = 512;

/** Found by a soak: what was broken. */
class SoakFailure extends Error {}

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string" },
    /** Maximum resident memory at any time (MiB). */
    "max-rss": { type: "string" },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const bound = withMaxMemory(STANDARD, MAX_MEMORY);
const maxResident = values["max-rss"] === undefined ? bound.maxResident : Number(values["max-rss"]) * MEBIBYTE;
const startMs = Date.now();
const endMs = startMs + Number(values.minutes) * 60_000;
const events: string[] = [];

function event(text: string): void {
  const line = `${((Date.now() - startMs) / 1_000).toFixed(1).padStart(8)} s  ${text}`;
  events.push(line);
  if (events.length > KEPT_EVENTS) events.shift();
  console.error(line);
}

/** Scenarios of the standard setup; their own setup need not be that very object. */
const mixed = scenarios.filter(({ touches, setup }) => touches !== null && setup === STANDARD);

/** One scenario, or two that do not take hold of the same. */
function choose(random: Random): Scenario[] {
  const first = random.pick(mixed);
  const others = mixed.filter(({ touches }) => touches !== first.touches);
  return random.oneIn(2) ? [first] : [first, random.pick(others)];
}

async function round(rig: Rig, random: Random): Promise<number> {
  const chosen = choose(random);
  const seconds = 0.5 + random.below(MAX_SECONDS * 10) / 10;
  event(`${seconds} s of: ${chosen.map(({ name }) => name).join(" + ")}`);
  const stages = chosen.map(() => new Performance(rig, seconds, random.oneIn(2), random.below(2 ** 31)));
  // A command to a server that dies, or a process that is busy, may fail; it is never answered wrongly.
  const allows = chosen.flatMap((scenario) => scenario.allows);
  if (chosen.some(({ touches }) => touches === "clients")) allows.push("failures", "missed fills", "refusals");
  try {
    await Promise.all(chosen.map((scenario, i) => scenario.run(stages[i]!)));
  } finally {
    for (const stage of stages) await stage.end();
  }
  const recoveredMs = await rig.checkers.untilQuiet(Date.now(), QUIET_MS, BOUND_MS);
  const report = await rig.checkers.take();
  const broken = brokenPromises({ allows }, report);
  if (recoveredMs === null)
    broken.push(`clients have trouble ${BOUND_MS / 1_000} s after the end (${report.details.join("; ")})`);
  if (broken.length > 0) throw new SoakFailure(broken.join("\n"));
  event(
    `  ${report.requests} requests, ${report.failed} failed, recovered after ${(recoveredMs! / 1_000).toFixed(1)} s`,
  );
  return report.requests;
}

/** Rejects when the process ends or takes too much memory; resolves when `isOver`. */
async function watch(rig: Rig, isOver: () => boolean): Promise<number> {
  let peak = 0;
  while (!isOver()) {
    if (!rig.isAlive) throw new SoakFailure(`the process ended:\n${rig.platypus.stderr.slice(-4_000)}`);
    const bytes = residentNow(rig.pid);
    peak = Math.max(peak, bytes);
    if (bytes > maxResident) throw new SoakFailure(`${(bytes / MEBIBYTE).toFixed(0)} MiB are resident`);
    await sleep(100);
  }
  return peak;
}

async function main(): Promise<void> {
  const random = new Random(seed);
  const rig = await Rig.start(bound.setup, seed);
  let isOver = false;
  let rounds = 0;
  let requests = 0;
  event(`seed ${seed}, ${values.minutes} minutes`);
  try {
    const watching = watch(rig, () => isOver);
    const rounding = (async () => {
      for (; Date.now() < endMs; rounds++) requests += await round(rig, random);
      isOver = true;
    })();
    const [peak] = await Promise.all([watching, rounding]);
    console.log(
      `soak: seed ${seed}, ${rounds} rounds, ${requests} requests checked, at most ${(peak / MEBIBYTE).toFixed(0)} MiB, nothing found`,
    );
  } catch (error) {
    isOver = true;
    console.error(`\nsoak: seed ${seed}: ${error instanceof SoakFailure ? error.message : (error as Error).stack}`);
    console.error(`\nthe last events:\n${events.join("\n")}`);
    process.exitCode = 1;
  } finally {
    await rig.stop();
  }
}

await main();
