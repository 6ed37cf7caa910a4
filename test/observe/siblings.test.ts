import { describe, expect, it } from "vitest";
import type { OwnSnapshot } from "../../src/observe/own-snapshot.ts";
import { type Question, type Siblings, Workers } from "../../src/observe/siblings.ts";
import type { Snapshot } from "../../src/observe/snapshot.ts";

const told = { routes: { failoverAll: 1 } } as unknown as Snapshot;

/** Workers that give `answers` to each question, and what this process did and was asked. */
function workers(answers: readonly unknown[]) {
  const seen = { resets: 0, answer: (_question: Question): unknown => undefined };
  const own = {
    take: () => told,
    resetStats: () => {
      seen.resets++;
    },
  } as unknown as OwnSnapshot;
  const siblings: Siblings = {
    sockets: new Map(),
    ask: (_question, done) => done(answers),
    onQuestion: (answer) => {
      seen.answer = answer;
    },
    onReplaced: () => {},
    onBeat: () => {},
    connectionsChanged: () => {},
    otherConnections: 0,
  };
  return { seen, all: new Workers(siblings, own, actions) };
}

const actions = { listChanged: () => {}, execute: () => ({ counts: {} }) };

function snapshotOf({ all }: ReturnType<typeof workers>): Snapshot | null {
  let taken: Snapshot | null = null;
  all.snapshot({}, (snapshot) => {
    taken = snapshot;
  });
  return taken;
}

describe("the snapshot of all workers", () => {
  it("is this process's snapshot if no worker answers, or only workers of a version that does not know the question", () => {
    expect(snapshotOf(workers([]))).toBe(told);
    expect(snapshotOf(workers([null, undefined]))).toBe(told);
  });

  it("leaves out workers that do not know the question", () => {
    expect(snapshotOf(workers([null, told, told]))).toMatchObject({ routes: { failoverAll: 2 } });
  });
});

describe("a worker", () => {
  it("answers with its snapshot, resets its statistics, and ignores a question of another version", () => {
    const { seen } = workers([]);
    expect(seen.answer({ kind: "snapshot", details: {} })).toBe(told);
    expect(seen.answer({ kind: "metrics" } as unknown as Question)).toBeNull();
    expect(seen.resets).toBe(0);
    expect(seen.answer({ kind: "resetStats" })).toBe(true);
    expect(seen.resets).toBe(1);
  });
});
