/** Platypus' own process: a worker that hangs, a full disk, and reloads, also of broken configurations. */
import { setTimeout as sleep } from "node:timers/promises";
import { processTree } from "../../../bench/process-cost.ts";
import type { Scenario, Stage } from "../scenario.ts";
import { type Setup, STANDARD } from "../setup.ts";
import { SmallDisk } from "../small-disk.ts";

const TWO_WORKERS: Setup = { ...STANDARD, server: "workers = 2" };
const SMALL_DISK: Setup = { servers: 2, hasSmallDisk: true };
const RELOAD_INTERVAL_MS = 100;

/** It stays stopped; the supervisor has to notice. */
async function stoppedWorker({ rig, seconds, heals, amount, later }: Stage): Promise<void> {
  const worker = processTree(rig.pid)[1]!;
  process.kill(worker, "SIGSTOP");
  // In a short run it goes on again, before the supervisor has given it up.
  const isShort = amount(0, 1) === 1;
  if (!isShort) later(() => isRunning(worker) && process.kill(worker, "SIGCONT"));
  heals();
  await sleep(seconds * 1_000);
  if (isShort) process.kill(worker, "SIGCONT");
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Its log, the async log, stats files and kept configurations are on a disk that is full, while deletes fail. */
async function fullDisk({ rig, seconds }: Stage): Promise<void> {
  rig.disk!.fill();
  await rig.servers[0]!.stop();
  await sleep(seconds * 1_000);
  await rig.restartServer(0);
  rig.disk!.free();
}

async function reloads({ rig, seconds }: Stage): Promise<void> {
  const well = rig.config();
  const broken = ["[server", `${well}\n[get.page]\n`, `${well}\nunknown = 1\n`, well.replace(/^servers = .*/m, "")];
  const endMs = performance.now() + seconds * 1_000;
  for (let i = 0; performance.now() < endMs; i++) {
    const timeoutMs = 2_000 + i;
    await rig.reload(rig.config(`server_timeout = "${timeoutMs}ms"\nconnections = ${1 + (i % 3)}`));
    await sleep(RELOAD_INTERVAL_MS);
    await rig.reload(broken[i % broken.length]!);
    await sleep(RELOAD_INTERVAL_MS);
  }
  await rig.reload(well);
}

export const ownProcess: readonly Scenario[] = [
  {
    name: "worker-stopped",
    title: "one of two workers is stopped (SIGSTOP)",
    setup: TWO_WORKERS,
    allows: ["closes", "refusals", "failures", "missed fills"],
    touches: null,
    run: stoppedWorker,
  },
  {
    name: "full-disk",
    title: "log and state on a full disk, a memcached restarts",
    setup: SMALL_DISK,
    allows: ["failures"],
    touches: null,
    skipped: () => SmallDisk.missing(),
    run: fullDisk,
  },
  {
    name: "reloads",
    title: "ten reloads a second, half of them broken",
    setup: STANDARD,
    allows: [],
    touches: "configuration",
    run: reloads,
  },
];
