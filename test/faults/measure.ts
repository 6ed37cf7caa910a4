/** Runs one scenario on a rig: what the other clients see before it, while it lasts, and until they see no trouble any more. */
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../fuzz/random.ts";
import { peakResident, resetPeak, residentNow } from "./process-memory.ts";
import type { Rig } from "./rig.ts";
import type { Allowance, Scenario, Stage } from "./scenario.ts";
import type { Report } from "./tally.ts";

/** How long the parts of a run are. */
export interface Pace {
  readonly isShort: boolean;
  /** Until the code of Platypus, and that of the clients, is compiled. */
  readonly warmMs: number;
  readonly beforeMs: number;
  readonly seconds: number;
  /** No trouble for so long is a recovery. */
  readonly quietMs: number;
  readonly boundMs: number;
}

export const FULL_PACE: Pace = {
  isShort: false,
  warmMs: 3_000,
  beforeMs: 2_000,
  seconds: 5,
  quietMs: 1_000,
  boundMs: 40_000,
};
export const SHORT_PACE: Pace = {
  isShort: true,
  warmMs: 0,
  beforeMs: 100,
  seconds: 0.3,
  quietMs: 150,
  boundMs: 25_000,
};

export interface Result {
  readonly name: string;
  readonly title: string;
  readonly requests: number;
  readonly wrong: number;
  /** Without an answer, or with a closed connection in its place. */
  readonly lost: number;
  readonly failed: number;
  readonly missedFills: number;
  readonly refused: number;
  readonly p99BeforeMs: number;
  readonly p99DuringMs: number;
  readonly longestMs: number;
  readonly ownDelayMs: number;
  readonly idleBytes: number;
  readonly peakBytes: number;
  /** From the end of the trouble to the last thing that a client noticed; `null` if that went on. */
  readonly recoveredMs: number | null;
  /** Why this is not what was promised; empty if it is. */
  readonly broken: readonly string[];
}

const COUNTED: Readonly<Record<"failed" | "missedFills" | "refused" | "closed", Allowance>> = {
  failed: "failures",
  missedFills: "missed fills",
  refused: "refusals",
  closed: "closes",
};

/** A stage for `scenario.run`, and what is to be done after it. */
export class Performance implements Stage {
  readonly rig: Rig;
  readonly seconds: number;
  readonly random: Random;
  /** Wall time from which a recovery is counted (ms). */
  healsFromMs: number | null = null;
  private readonly isShort: boolean;
  private readonly undo: (() => unknown)[] = [];

  constructor(rig: Rig, seconds: number, isShort: boolean, seed: number) {
    this.rig = rig;
    this.seconds = seconds;
    this.isShort = isShort;
    this.random = new Random(seed);
  }

  readonly amount = (full: number, short: number): number => (this.isShort ? short : full);

  readonly heals = (): void => {
    this.healsFromMs ??= Date.now();
  };

  readonly later = (undo: () => unknown): void => {
    this.undo.push(undo);
  };

  async end(): Promise<void> {
    for (const undo of this.undo.splice(0).reverse()) await undo();
  }
}

export async function runScenario(rig: Rig, scenario: Scenario, pace: Pace, seed: number): Promise<Result> {
  const { checkers } = rig;
  await sleep(pace.warmMs);
  // Results of earlier scenarios do not count.
  await checkers.untilQuiet(Date.now(), pace.quietMs, pace.boundMs);
  await checkers.take();
  await sleep(pace.beforeMs);
  const before = await checkers.take();
  const idleBytes = residentNow(rig.pid);
  resetPeak(rig.pid);
  const stage = new Performance(rig, pace.seconds, pace.isShort, seed);
  try {
    await scenario.run(stage);
    stage.heals();
    const during = await checkers.take();
    const recoveredMs = await checkers.untilQuiet(stage.healsFromMs!, pace.quietMs, pace.boundMs);
    const after = await checkers.take();
    const peakBytes = rig.isAlive ? peakResident(rig.pid) : 0;
    const broken = [...brokenPromises(scenario, during, after), ...(rig.isAlive ? [] : ["the process ended"])];
    if (recoveredMs === null) broken.push(`no recovery in ${pace.boundMs / 1_000} s`);
    if (scenario.maxResident !== undefined && peakBytes > scenario.maxResident)
      broken.push("more memory than its bound");
    const both = (field: "requests" | "wrong" | "failed" | "missedFills" | "refused" | "unanswered" | "closed") =>
      during[field] + after[field];
    return {
      name: scenario.name,
      title: scenario.title,
      requests: both("requests"),
      wrong: both("wrong"),
      lost: both("unanswered") + both("closed"),
      failed: both("failed"),
      missedFills: both("missedFills"),
      refused: both("refused"),
      p99BeforeMs: before.p99Ms,
      p99DuringMs: during.p99Ms,
      longestMs: Math.max(during.longestMs, after.longestMs),
      ownDelayMs: Math.max(during.ownDelayMs, after.ownDelayMs),
      idleBytes,
      peakBytes,
      recoveredMs,
      broken,
    };
  } finally {
    await stage.end();
  }
}

/** Results of clients that are never allowed, or not in this scenario. */
export function brokenPromises({ allows }: Pick<Scenario, "allows">, ...reports: readonly Report[]): string[] {
  return reports.flatMap((report) => {
    const kinds = (["wrong", "unanswered"] as const).filter((kind) => report[kind] > 0) as string[];
    for (const [kind, allowance] of Object.entries(COUNTED)) {
      if (report[kind as keyof typeof COUNTED] > 0 && !allows.includes(allowance)) kinds.push(kind);
    }
    return kinds.length === 0 ? [] : [`${kinds.join(", ")} (${report.details.join("; ")})`];
  });
}
