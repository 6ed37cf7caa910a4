/** Routes that ask all of their children: a get of many keys has the values that gets of each key have. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AllFastestRoute } from "../../../src/mcrouter/routes/all-fastest-route.ts";
import { AllMajorityRoute } from "../../../src/mcrouter/routes/all-majority-route.ts";
import { AllSyncRoute } from "../../../src/mcrouter/routes/all-sync-route.ts";
import { MissFailoverRoute } from "../../../src/mcrouter/routes/miss-failover-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import { routeKeys } from "../../../src/proxy/route/multi-get.ts";
import type { Route } from "../../../src/proxy/route/route.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { StoreLeaf } from "../../support/fakes/store-leaf.ts";

const KEYS = ["a", "b", "c", "d", "e"];
const SERVERS = 2;
const LARGE_BYTES = 20_000;

/** A pool of two servers that answer late. */
class Child implements Route {
  readonly name: string;
  readonly servers: readonly StoreLeaf[];
  readonly lanes = {
    mayShare: () => true,
    lane: (bytes: Buffer, start: number) => bytes[start]! % SERVERS,
    sendTo: (lane: number, request: Request) => this.servers[lane]!.route(request),
  };

  constructor(name: string) {
    this.name = name;
    this.servers = Array.from({ length: SERVERS }, (_, i) => new StoreLeaf(`${name}${i}`));
  }

  route(request: Request): void {
    this.servers[request.chunk[request.keyStart]! % SERVERS]!.route(request);
  }

  forEachTarget(): void {}
}

const trees: Readonly<Record<string, (children: readonly Route[]) => Route>> = {
  AllSyncRoute: (children) => new AllSyncRoute(children),
  AllMajorityRoute: (children) => new AllMajorityRoute(children),
  AllFastestRoute: (children) => new AllFastestRoute(children),
  "AllFastestRoute within AllSyncRoute": ([a, b, c]) => new AllSyncRoute([new AllFastestRoute([a!, b!]), c!]),
  "AllSyncRoute within AllMajorityRoute": ([a, b, c]) => new AllMajorityRoute([a!, new AllSyncRoute([b!, c!]), b!]),
  "AllFastestRoute within MissFailoverRoute": ([a, b, c]) =>
    new MissFailoverRoute([new AllFastestRoute([a!, b!]), c!], false),
  "MissFailoverRoute within AllSyncRoute": ([a, b, c]) =>
    new AllSyncRoute([new MissFailoverRoute([a!, b!], false), c!]),
};

/** What a server has, and how it fails. */
interface State {
  readonly has: readonly boolean[];
  readonly isLarge: boolean;
  readonly failure: "none" | "timeout" | "tko";
}

const state: fc.Arbitrary<State> = fc.record({
  has: fc.array(fc.boolean(), { minLength: KEYS.length, maxLength: KEYS.length }),
  isLarge: fc.boolean(),
  failure: fc.constantFrom("none", "none", "none", "timeout", "tko"),
});

function build(make: (children: readonly Route[]) => Route, states: readonly State[]) {
  const children = ["x", "y", "z"].map((name) => new Child(name));
  const servers = children.flatMap((child) => child.servers);
  for (const [i, server] of servers.entries()) {
    const { has, isLarge, failure } = states[i]!;
    for (const [k, key] of KEYS.entries()) {
      if (!has[k]) continue;
      const value = `${server.name} has ${key}`.padEnd(isLarge ? LARGE_BYTES : 0, ".");
      ask(server.store, `set ${key} 0 0 ${value.length}\r\n${value}\r\n`);
    }
    server.failure = failure === "none" ? null : failures[failure];
    server.isLate = true;
  }
  return { route: make(children), servers };
}

/** Has each server answer what it was asked, in this order of the servers, until nothing is due. */
function settle(servers: readonly StoreLeaf[], order: readonly number[], isLarge: boolean): void {
  while (servers.some(({ dueCount }) => dueCount > 0)) {
    for (const i of order) while (servers[i]!.dueCount > 0) servers[i]!.answerNext(isLarge);
  }
}

describe.each(Object.entries(trees))("%s", (_name, make) => {
  it("gives a get of many keys the values of separate gets", () => {
    const property = (
      keys: readonly number[],
      states: readonly State[],
      order: readonly number[],
      isLarge: boolean,
    ) => {
      const wanted = keys.map((key) => KEYS[key]!);
      const many = build(make, states);
      const route = (request: Request) => routeKeys(request, request.keys!, many.route, true);
      // The parser makes a list of keys only of several.
      const asked = ask({ route }, `get ${wanted.join(" ")}\r\n`);
      settle(many.servers, order, isLarge);
      const single = build(make, states);
      const each = wanted.map((key) => ask(single.route, `get ${key}\r\n`));
      settle(single.servers, order, isLarge);
      const values = each.map((one) => told(one)!).filter((reply) => reply.startsWith("VALUE "));
      expect(told(asked)).toBe(`${values.map((reply) => reply.slice(0, -"END\r\n".length)).join("")}END\r\n`);
    };
    fc.assert(
      fc.property(
        fc.array(fc.nat(KEYS.length - 1), { minLength: 2, maxLength: 8 }),
        fc.array(state, { minLength: 3 * SERVERS, maxLength: 3 * SERVERS }),
        fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 6 }),
        fc.boolean(),
        property,
      ),
      { numRuns: 300 },
    );
  });

  it("asks each server once for its keys", () => {
    const whole: State = { has: KEYS.map(() => true), isLarge: false, failure: "none" };
    const { route, servers } = build(make, Array<State>(3 * SERVERS).fill(whole));
    const asked = ask({ route: (request) => routeKeys(request, request.keys!, route, true) }, "get a b c d\r\n");
    for (const { sent } of servers) for (const command of sent) expect(command).toMatch(/^get (a c|b d)\r\n$/);
    settle(servers, [0, 1, 2, 3, 4, 5], false);
    expect(told(asked)!.match(/VALUE/g)).toHaveLength(4);
  });
});

describe("AllFastestRoute with one slow server in each child", () => {
  it("answers a get of many keys without the slow servers", () => {
    const whole: State = { has: KEYS.map(() => true), isLarge: false, failure: "none" };
    const { route, servers } = build(
      (children) => new AllFastestRoute(children.slice(0, 2)),
      Array<State>(6).fill(whole),
    );
    const asked = ask({ route: (request) => routeKeys(request, request.keys!, route, true) }, "get a b\r\n");
    const [x0, , , y1] = servers;
    x0!.answerNext(false);
    expect(told(asked)).toBeNull();
    y1!.answerNext(false);
    expect(told(asked)).toBe("VALUE a 0 8\r\ny1 has a\r\nVALUE b 0 8\r\nx0 has b\r\nEND\r\n");
  });
});
