/**
 * Every order in which the messages of a small fleet can reach the server, with the real code of each process for fills
 * and refreshes. What is promised: from a write's acknowledgement on, no get is answered with a value fetched before it,
 * and none stays in the pool; but for the round trip between adding such a value and deleting it again.
 */
import { describe, expect, it } from "vitest";
import { explore, type Scenario } from "../support/fleet-model.ts";

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

describe("whatever the order of messages", () => {
  it.each(scenarios)("%s leaves nothing old behind", { timeout: 120_000 }, async (_name, scenario) => {
    const { failure, states, ends } = await explore(scenario);
    expect(failure).toBeNull();
    expect(states).toBeGreaterThan(10);
    expect(ends).toBeGreaterThan(0);
  });
});
