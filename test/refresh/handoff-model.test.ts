/**
 * Every order in which the messages of a handoff can reach the two servers, with the real code of each process. After a
 * write is acknowledged, no get is answered with an older value, and no older value stays on a server. The exception is the
 * time between adding a copy and deleting it again, as for fills (lease-model.test.ts).
 */
import { describe, expect, it } from "vitest";
import { exploreHandoff, type HandoffScenario } from "../support/rigs/handoff-model.ts";

const get = (via: number) => ({ does: "get", via }) as const;
const gets = (via: number) => ({ does: "gets", via }) as const;
const set = (via: number) => ({ does: "set", via }) as const;
const remove = (via: number) => ({ does: "delete", via }) as const;
const append = (via: number) => ({ does: "append", via }) as const;

const scenarios: [name: string, scenario: HandoffScenario][] = [
  ["a get and a delete through one process", { processes: 1, clients: [[get(0)], [remove(0), get(0)]] }],
  ["a get and a set through one process", { processes: 1, clients: [[get(0)], [set(0), get(0)]] }],
  ["a get, and a delete through another process", { processes: 2, clients: [[get(0)], [remove(1), get(0)]] }],
  ["a get, and a delete and a get through another process", { processes: 2, clients: [[get(0)], [remove(1), get(1)]] }],
  ["a get, and a set through another process", { processes: 2, clients: [[get(0)], [set(1), get(0)]] }],
  ["two gets at once, and a delete", { processes: 1, clients: [[get(0)], [get(0)], [remove(0)]] }],
  ["a gets, and a delete through another process", { processes: 2, clients: [[gets(0)], [remove(1), get(0)]] }],
  ["a set, and then a delete", { processes: 2, clients: [[get(0)], [set(1), remove(0)]] }],
  [
    "a get and a gets while keys are not copied yet, and a delete",
    { processes: 2, clients: [[get(0)], [gets(0)], [remove(1), get(0)]], isGrace: true },
  ],
  ["an append, and a delete through another process", { processes: 2, clients: [[append(0)], [remove(1)]] }],
];

const losses: [name: string, scenario: HandoffScenario][] = [
  ["of the process that copies", { processes: 2, clients: [[get(0)], [remove(1), get(1)]], loses: 0 }],
  ["of the process that is written through", { processes: 2, clients: [[get(0)], [remove(1), get(0)]], loses: 1 }],
];

async function leavesNothingOld(_name: string, scenario: HandoffScenario): Promise<void> {
  const { failure, states, ends } = await exploreHandoff(scenario);
  expect(failure).toBeNull();
  expect(states).toBeGreaterThan(10);
  expect(ends).toBeGreaterThan(0);
}

const patience = { timeout: 120_000 };

describe("a handoff under any order of messages", () => {
  it.each(scenarios)("leaves nothing old behind: %s", patience, leavesNothingOld);
});

describe("a handoff when the connection to the new server is lost", () => {
  it.each(losses)("leaves nothing old behind: %s", patience, leavesNothingOld);
});

describe("a handoff from a dead server", () => {
  it("answers everything", patience, async () => {
    await leavesNothingOld("", {
      processes: 1,
      clients: [
        [get(0), append(0)],
        [set(0), get(0)],
      ],
      isFormerDead: true,
    });
  });
});
