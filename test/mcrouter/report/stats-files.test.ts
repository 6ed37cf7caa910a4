import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StatsFiles } from "../../../src/mcrouter/report/stats-files.ts";
import { Reports } from "../../../src/telemetry/reports.ts";
import { KeptLog } from "../../support/fakes/kept-log.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

const names = ["config_sources_info", "startup_options", "stats"].map((kind) => `libmcrouter.s.r.${kind}`);
let folder: string;
let root: string;
let clock: ManualClock;
let reports: Reports;
let files: StatsFiles;
let count: number;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-stats-"));
  root = path.join(folder, "stats");
  clock = new ManualClock();
  reports = new Reports(new KeptLog().log, clock);
  count = 0;
});
afterEach(async () => {
  await files.close();
  await rm(folder, { recursive: true });
});

function start(): void {
  const stats = () => ({ n: ++count });
  const rest = { serviceName: "s", routerName: "r", intervalMs: 1_000, clock, stats, reports };
  files = new StatsFiles({ ...rest, root, options: () => ({}), sources: () => ({}) });
}

/** Has the interval pass, and waits until the timer for the next one is set. */
async function nextTick(): Promise<void> {
  clock.advance(1_000);
  await expect.poll(() => clock.timerCount).toBe(1);
}

describe("StatsFiles", () => {
  it("writes again after its folder was not writable", async () => {
    await writeFile(root, "in the way");
    start();
    await expect.poll(() => clock.timerCount).toBe(1);
    await nextTick();
    expect(reports.failures.get("stats_files")).toBe(2);
    await rm(root);
    await nextTick();
    expect((await readdir(root)).sort()).toEqual(names);
    expect(reports.failures.get("stats_files")).toBe(2);
  });

  it("touches the options file at each interval, so that collectors see a live process", async () => {
    start();
    await expect.poll(() => clock.timerCount).toBe(1);
    const file = path.join(root, "libmcrouter.s.r.startup_options");
    const old = new Date(0);
    await utimes(file, old, old);
    await nextTick();
    expect((await stat(file)).mtimeMs).toBeCloseTo(1_000 * clock.unixSeconds(), -3);
  });

  it("recreates its folder with all files if it was removed", async () => {
    start();
    await expect.poll(() => clock.timerCount).toBe(1);
    await rm(root, { recursive: true });
    await nextTick();
    expect((await readdir(root)).sort()).toEqual(names);
    expect(JSON.parse(await readFile(path.join(root, names[2]!), "utf8"))).toEqual({ "libmcrouter.s.r.n": 2 });
  });

  it("leaves no temporary file if a file could not be moved into place", async () => {
    await mkdir(path.join(root, names[2]!, "in the way"), { recursive: true });
    start();
    await expect.poll(() => clock.timerCount).toBe(1);
    expect(reports.failures.get("stats_files")).toBe(1);
    expect((await readdir(root)).sort()).toEqual(names.slice(1));
  });
});
