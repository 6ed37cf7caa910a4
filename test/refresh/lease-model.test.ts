/**
 * Every order in which the messages of a small fleet can reach the server, with the real code of each process for fills
 * and refreshes: with a connection that is lost at any moment, whose messages the server executes, executes late or never
 * gets, and with a reload at any moment. After a write is acknowledged, no get is answered with a value fetched before it,
 * and no such value or negative result stays in the pool. The exception is the time between adding such a value and deleting
 * it again.
 */
import { describe, expect, it } from "vitest";
import { exploreFleet, type Scenario } from "../support/rigs/fleet-model.ts";

const get = (via: number) => ({ does: "get", via }) as const;
const refresh = (via: number) => ({ does: "refresh", via }) as const;
const remove = (via: number) => ({ does: "invalidate", via, value: null }) as const;
const set = (via: number) => ({ does: "invalidate", via, value: "set" }) as const;

const scenarios: [name: string, scenario: Scenario][] = [
  ["a delete through the process that fetches", { processes: 1, clients: [[get(0)], [remove(0), get(0)]] }],
  ["a delete through another process", { processes: 2, clients: [[get(0)], [remove(1), get(0)]] }],
  ["a delete, and a get where it went", { processes: 2, clients: [[get(0)], [remove(1), get(1)]] }],
  ["a set through another process", { processes: 2, clients: [[get(0)], [set(1), get(0)]] }],
  ["a set, and then a delete", { processes: 2, clients: [[get(0)], [set(1), remove(0), get(1)]] }],
  ["two processes that miss at once", { processes: 2, clients: [[get(0)], [get(1)]] }],
  ["two that miss, and a delete", { processes: 2, clients: [[get(0)], [get(1)], [remove(1)]] }],
  [
    "a source that had nothing, until a client says so",
    { processes: 2, clients: [[get(0)], [remove(1), get(1)]], source: [null] },
  ],
  [
    "a refresh, and a delete",
    {
      processes: 2,
      clients: [
        [get(0), refresh(0)],
        [remove(1), get(1)],
      ],
    },
  ],
  [
    "a refresh, and a set",
    {
      processes: 2,
      clients: [
        [get(0), refresh(0)],
        [set(1), get(1)],
      ],
    },
  ],
  ["two refreshes, and a delete", { processes: 2, clients: [[get(0), refresh(0)], [refresh(1)], [remove(1)]] }],
];

const oneDelete = (then: ReturnType<typeof get>) => ({ processes: 2, clients: [[get(0)], [remove(1), then]] });

const losses: [name: string, scenario: Scenario][] = [
  ["the process that fetches, and a get through it", { ...oneDelete(get(0)), loses: 0 }],
  ["the process that fetches, and a get where the delete went", { ...oneDelete(get(1)), loses: 0 }],
  ["the process that is written through", { ...oneDelete(get(1)), loses: 1 }],
  ["a process whose source had nothing", { ...oneDelete(get(0)), loses: 0, source: [null] }],
  ["a process that refreshes", { processes: 2, clients: [[get(0), refresh(0)], [remove(1)]], loses: 0 }],
  [
    "a process that reloads as well",
    { processes: 2, clients: [[get(0)], [remove(1)]], loses: 0, reload: "the pool port" },
  ],
];

const reloads = (["nothing", "the source", "the pool port"] as const).flatMap((reload): [string, Scenario][] => [
  [`${reload} during a fill`, { ...oneDelete(get(0)), reload }],
  [`${reload} while the source has nothing`, { ...oneDelete(get(0)), reload, source: [null] }],
]);

async function leavesNothingOld(_name: string, scenario: Scenario): Promise<void> {
  const { failure, states, ends } = await exploreFleet(scenario);
  expect(failure).toBeNull();
  expect(states).toBeGreaterThan(10);
  expect(ends).toBeGreaterThan(0);
}

const patience = { timeout: 120_000 };

describe("leases under any order of messages", () => {
  it.each(scenarios)("leave nothing old behind: %s", patience, leavesNothingOld);
});

describe("leases when the connection is lost", () => {
  it.each(losses)("leave nothing old behind: %s", patience, leavesNothingOld);
});

describe("leases when a process reloads", () => {
  it.each(reloads)("leave nothing old behind after a change of %s", patience, leavesNothingOld);
});
