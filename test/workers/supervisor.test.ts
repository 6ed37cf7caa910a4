/** The supervisor over small programs that serve, or hang. The time is the test's own; the processes are real. */
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { Supervisor } from "../../src/workers/supervisor.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";

const program = fileURLToPath(new URL("../support/modules/scripted-worker.mjs", import.meta.url));
let clock: ManualClock;
let log: KeptLog;
let supervisor: Supervisor;

afterEach(() => supervisor.stop("SIGKILL"));

function create(count: number, ...args: string[]): void {
  clock = new ManualClock();
  log = new KeptLog();
  const options = {
    count,
    sockets: [],
    given: [],
    command: [process.execPath, program, ...args],
    env: {},
    expected: null,
    clock,
    log: log.log,
  };
  supervisor = new Supervisor(options);
}

function text(): string {
  return log.lines.join("\n");
}

/** Lets real processes do what they do until `isReached`; time stands still, or moves on by `stepMs` in each turn. */
async function turnsUntil(isReached: () => boolean, stepMs = 0): Promise<void> {
  while (!isReached()) {
    // Time runs some ten times as fast as that of the processes.
    await new Promise((resolve) => setTimeout(resolve, 0));
    clock.advance(stepMs);
  }
}

/** Whether `promise` is settled after the turns and the time that it takes. */
async function settles<T>(promise: Promise<T>, stepMs: number): Promise<T> {
  let isSettled = false;
  const watched = promise.finally(() => {
    isSettled = true;
  });
  watched.catch(() => {});
  await turnsUntil(() => isSettled, stepMs);
  return watched;
}

describe("a worker whose heartbeat stops", () => {
  it("is killed and restarted", async () => {
    create(1, "serves", "obeys");
    expect(await supervisor.start()).toBe(true);
    clock.advance(8_000);
    expect(text()).not.toContain("has hung");
    clock.advance(2_000);
    expect(text()).toContain("worker 0 has hung: killed");
    await turnsUntil(() => text().includes("worker 0 ended (SIGKILL); started again"));
    clock.advance(100);
    await supervisor.replace();
    expect(text()).toContain("all workers are replaced");
  });

  it("does not delay a stop", async () => {
    create(2, "serves", "hangs");
    await supervisor.start();
    await settles(supervisor.stop("SIGTERM"), 10);
    expect(text()).toMatch(/worker [01] (has hung|did not end within 15 s): killed/);
  });

  it("does not delay a replacement, even if it ignores every signal", async () => {
    create(1, "serves", "hangs");
    await supervisor.start();
    await settles(supervisor.replace(), 10);
    expect(text()).toContain("killed");
  });

  it("does not delay a reload", async () => {
    create(1, "serves", "hangs");
    await supervisor.start();
    await settles(supervisor.reload(), 10);
    expect(text()).toContain("killed");
  });

  it("is abandoned if it never serves", async () => {
    create(1, "hangs", "hangs");
    const started = supervisor.start();
    await expect(settles(started, 200)).rejects.toThrow("ended before it served");
    expect(text()).toContain("worker 0 has hung: killed");
  });
});

it("a supervisor that was stopped together with its workers reads their beats before it kills one", async () => {
  create(1, "serves", "obeys");
  await supervisor.start();
  // The time of the stop is over at once; the beats that came meanwhile are read in the next turns.
  clock.advance(9_999);
  expect(text()).not.toContain("killed");
});
