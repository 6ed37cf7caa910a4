/**
 * The expected numbers are those of mcrouter's own tests (test_deterministic_failover.py, test_rendezvous_failover.py,
 * FailoverRouteTest.cpp): every server times out once and is down from then on.
 */
import { describe, expect, it } from "vitest";
import type { IndexPlacementConfig } from "../../../src/config/config.ts";
import type { Result } from "../../../src/config/results.ts";
import { FailoverRoute } from "../../../src/mcrouter/routes/failover-route.ts";
import { HashRoute } from "../../../src/mcrouter/routes/hash-route.ts";
import { ModifyKeyRoute } from "../../../src/mcrouter/routes/modify-key-route.ts";
import { buildIndexPlacement } from "../../../src/proxy/hash/build.ts";
import { failures, fixedReply, type Reply, Status } from "../../../src/proxy/reply.ts";
import type { Route } from "../../../src/proxy/route/route.ts";
import { newRouteCounters } from "../../../src/proxy/route/route-counters.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

type Options = ConstructorParameters<typeof FailoverRoute>[1];

const plain: Omit<Options, "policy"> = {
  name: "",
  errors: { gets: null, updates: null, deletes: null },
  limit: null,
  isTagged: false,
  maxTries: Number.MAX_SAFE_INTEGER,
  maxErrorTries: Number.MAX_SAFE_INTEGER,
  uncountedErrors: [],
};
const ch3: IndexPlacementConfig = { type: "ch3", salt: "" };
const deterministic = {
  type: "deterministic-order",
  placement: ch3,
  skipsAsked: true,
  avoidsFailedDomains: false,
} as const;

function failingLeaf(first: Reply, next = first): LeafRoute {
  const leaf = new LeafRoute();
  leaf.script = () => (leaf.requests.length === 1 ? first : next);
  return leaf;
}

/** A server that times out once and is down from then on. */
const sleeping = () => failingLeaf(failures.timeout, failures.tko);

function leavesOf(count: number): LeafRoute[] {
  return Array.from({ length: count }, sleeping);
}

const hashOver = (children: readonly Route[]) =>
  new HashRoute(children, buildIndexPlacement(ch3, children.length), "ch3");

function setUp(children: readonly Route[], options: Partial<Options> & Pick<Options, "policy">) {
  const counters = newRouteCounters();
  return { counters, route: new FailoverRoute(children, { ...plain, ...options }, counters) };
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

describe("the counters of failovers", () => {
  it.each([
    ["in-order", { type: "in-order" }, "inOrderFailovers", "inOrderFailed"],
    ["least-failures", { type: "least-failures" }, "leastFailuresFailovers", "leastFailuresFailed"],
    ["deterministic-order", deterministic, "deterministicFailovers", "deterministicFailed"],
    ["rendezvous", { type: "rendezvous", tags: ["a", "b"], weights: null }, "rendezvousFailovers", "rendezvousFailed"],
  ] as const)("count failovers of each policy separately: %s", (_name, policy, failovers, failed) => {
    const leaves = range(3).map(() => new LeafRoute());
    const { route, counters } = setUp(leaves, { policy });
    for (const leaf of leaves) leaf.script = () => failures.timeout;
    ask(route, "get a\r\n");
    for (const leaf of leaves.slice(1)) leaf.script = () => "END\r\n";
    ask(route, "get a\r\n");
    const others = { failoverResultErrors: expect.any(Number), failoverCollisions: expect.any(Number) };
    const expected = { ...newRouteCounters(), failoverAll: 2, failoverAllFailed: 1, ...others };
    expect(counters).toEqual({ ...expected, [failovers]: 2, [failed]: 1 });
  });

  it("count attempts in the failure domain of the first server, also if it is unknown", () => {
    const domains = [1, 2, 1, 0];
    const leaves = domains.map((domain) => Object.assign(sleeping(), { failureDomain: () => domain }));
    const counters = (children: readonly Route[]) => {
      const made = setUp(children, { policy: { type: "in-order" } });
      ask(made.route, "get a\r\n");
      return made.counters.failoverSameDomain;
    };
    expect(counters(leaves)).toBe(1);
    expect(counters([leaves[3]!, leaves[3]!, leaves[0]!])).toBe(1);
  });
});

describe("DeterministicOrderPolicy", () => {
  it("asks other servers of another pool in mcrouter's order", () => {
    const children = [hashOver(leavesOf(5)), ...leavesOf(12)];
    const { route, counters } = setUp(children, { policy: deterministic, maxTries: 10, maxErrorTries: 3 });
    const seen = range(10).map((i) => {
      ask(route, `get key_${i}_abc_${17 * i}\r\n`);
      return [counters.failoverResultErrors, counters.failoverTkoErrors];
    });
    // biome-ignore format: as in mcrouter's test
    expect(seen).toEqual([[3, 0], [6, 0], [9, 3], [12, 9], [13, 17], [14, 25], [14, 34], [15, 42], [15, 51], [16, 59]]);
  });

  it("asks the other servers of the same pool by weights, and counts collisions", () => {
    const leaves = leavesOf(23);
    const weights = [
      0.7, 0.65, 1, 0.8, 0.5, 0.7, 0.65, 1, 0.8, 0.7, 0.65, 1, 0.8, 0.5, 0.75, 0.5, 0.75, 0.7, 0.65, 1, 0.5, 0.75, 0.55,
      0.81,
    ];
    const policy = { ...deterministic, placement: { type: "weighted_ch3", salt: "", weights } } as const;
    const { route, counters } = setUp([hashOver(leaves), ...leaves], { policy, maxTries: 12, maxErrorTries: 3 });
    const seen = range(10).map((i) => {
      ask(route, `get key_${13 * i}_hYgGEs_${i}_kBVq9Z_${71 * i}\r\n`);
      const { failoverResultErrors, failoverTkoErrors, failoverCollisions, failoverAllFailed } = counters;
      return [failoverResultErrors, failoverTkoErrors, failoverCollisions, failoverAllFailed];
    });
    expect(seen).toEqual([
      [3, 0, 1, 0],
      [6, 0, 3, 0],
      [9, 2, 4, 0],
      [12, 3, 5, 0],
      [15, 5, 6, 0],
      [17, 14, 10, 1],
      [19, 23, 12, 2],
      [21, 32, 21, 3],
      [21, 43, 26, 4],
      [23, 52, 30, 5],
    ]);
  });

  it("avoids the failure domains of servers that cannot be reached, and counts the hashes that named one", () => {
    const domains = range(23).map((i) => (i % 12) + 1);
    const leaves = domains.map((domain) => Object.assign(sleeping(), { failureDomain: () => domain }));
    // biome-ignore format: as in mcrouter's test
    const weights = [0.7, 0.65, 1, 0.8, 0.5, 0.7, 0.65, 1, 0.8, 0.7, 0.65, 1, 0.8, 0.5, 0.75, 0.5, 0.75, 0.7, 0.65, 1, 0.5, 0.75, 0.55, 0.81];
    const placement = { type: "weighted_ch3", salt: "", weights } as const;
    const policy = { ...deterministic, placement, avoidsFailedDomains: true };
    const first = new HashRoute(leaves, buildIndexPlacement(placement, leaves.length), "weighted_ch3");
    const { route, counters } = setUp([first, ...leaves], { policy, maxTries: 12, maxErrorTries: 3 });
    const seen = range(8).map((i) => {
      ask(route, `get key_${13 * i}_hYgGEs_${i}_kBVq9Z_${71 * i}\r\n`);
      const { failoverResultErrors, failoverTkoErrors, failoverCollisions, failoverDomainCollisions } = counters;
      return [failoverResultErrors, failoverTkoErrors, failoverCollisions, failoverDomainCollisions];
    });
    expect(seen).toEqual([
      [3, 0, 1, 0],
      [6, 0, 3, 0],
      [9, 2, 3, 1],
      [12, 3, 4, 1],
      [15, 5, 4, 2],
      [18, 13, 5, 14],
      [20, 22, 5, 21],
      [21, 32, 5, 81],
    ]);
    expect([counters.deterministicFailovers, counters.deterministicFailed, counters.inOrderFailovers]).toEqual([
      8, 2, 0,
    ]);
  });

  it("asks no server twice, including the one that the first child has asked", () => {
    for (const i of range(50)) {
      const leaves = range(7).map(() => failingLeaf(failures.tko));
      const { route } = setUp([hashOver(leaves), ...leaves], { policy: deterministic, maxTries: 7 });
      ask(route, `get noDoubleShot${i}\r\n`);
      expect(leaves.map(({ sent }) => sent.length)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    }
  });

  it("detects the server that the first child has asked, even if a route on the way changes the key", () => {
    for (const i of range(50)) {
      const leaves = range(7).map(() => failingLeaf(failures.tko));
      const first = new ModifyKeyRoute(hashOver(leaves), {
        routingPrefix: null,
        ensurePrefix: "other:",
        isInPlace: false,
        replacePrefix: null,
        suffix: "",
      });
      const { route } = setUp([first, ...leaves], { policy: deterministic, maxTries: 7 });
      ask(route, `get key${i}\r\n`);
      expect(leaves.map(({ sent }) => sent.length)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    }
  });

  it.each<[string, readonly Reply[], Partial<Options>, number]>([
    ["time-outs count", range(4).map(() => failures.timeout), { maxTries: 4, maxErrorTries: 2 }, 2],
    ["servers that are down do not", range(5).map(() => failures.tko), { maxTries: 4, maxErrorTries: 2 }, 4],
    [
      "nor refused connections",
      [failures.tko, failures.connectError, failures.tko, failures.connectError],
      { maxTries: 3, maxErrorTries: 2 },
      3,
    ],
    [
      "nor excluded errors",
      [302, 0, 1, 2, 302].map((code) =>
        code === 302
          ? fixedReply(Status.serverError, "SERVER_ERROR 302 try again")
          : [failures.timeout, failures.tko, failures.connectError][code]!,
      ),
      { maxTries: 5, maxErrorTries: 2, uncountedErrors: ["try_again"] satisfies Result[] },
      5,
    ],
  ])("gives up after max_error_tries: %s", (_, replies, options, expected) => {
    const leaves = replies.map((reply) => failingLeaf(reply));
    const { route } = setUp(leaves, { policy: { ...deterministic, skipsAsked: false }, ...options });
    ask(route, "get 0\r\n");
    expect(leaves.filter(({ sent }) => sent.length > 0)).toHaveLength(expected);
  });

  it("replies with the error of the last server that was asked", () => {
    const leaves = [failures.timeout, failures.connectionLost, failures.connectionLost].map((reply) =>
      failingLeaf(reply),
    );
    const { route } = setUp(leaves, { policy: { ...deterministic, skipsAsked: false }, maxTries: 3, maxErrorTries: 2 });
    expect(told(ask(route, "delete k\r\n"))).toBe("SERVER_ERROR remote error\r\n");
  });

  it("names the servers in the order in which it asks them", () => {
    const leaves = leavesOf(8);
    const { route } = setUp([hashOver(leaves), ...leaves], { policy: deterministic, maxTries: 5 });
    const named: Route[] = [];
    const asked: Route[] = [];
    for (const leaf of leaves) {
      leaf.script = () => {
        asked.push(leaf);
        return failures.timeout;
      };
    }
    const request = ask(route, "get some-key\r\n").request;
    route.forEachTarget(request, (target) => named.push(target));
    expect(named.slice(1)).toEqual(asked.slice(1));
    expect(asked).toHaveLength(5);
  });
});

describe("RendezvousPolicy", () => {
  const tags = range(5).map((i) => `localhost:${5001 + i}`);

  it.each([null, [1, 1, 1, 1, 1]])("asks each other server once (weights %j)", (weights) => {
    const leaves = leavesOf(5);
    const { route, counters } = setUp([hashOver(leaves), ...leaves], { policy: { type: "rendezvous", tags, weights } });
    const seen = range(10).map((i) => {
      ask(route, `get key_${i}_abc_${17 * i}\r\n`);
      return [counters.failoverResultErrors, counters.failoverTkoErrors];
    });
    expect(seen).toEqual(range(10).map((i) => [4, 4 * i]));
    expect(leaves.map(({ sent }) => sent.length)).toEqual([10, 10, 10, 10, 10]);
  });

  it("orders the servers by the tags' scores for the key before its hash stop", () => {
    const orderOf = (key: string) => {
      const leaves = leavesOf(6);
      const { route } = setUp([failingLeaf(failures.timeout), ...leaves], {
        policy: { type: "rendezvous", tags: [...tags, "localhost:5006"], weights: null },
      });
      const { request } = ask(route, `get ${key}\r\n`);
      const order: number[] = [];
      route.forEachTarget(request, (target) => order.push(leaves.indexOf(target as LeafRoute)));
      return order.slice(1);
    };
    expect(orderOf("a|#|b")).toEqual(orderOf("a"));
    const firsts = new Set(range(100).map((i) => orderOf(`k${i}`)[0]));
    // As in mcrouter, the child of the first tag counts as asked if the first child has no hash.
    expect(firsts).toEqual(new Set([1, 2, 3, 4, 5]));
  });
});
