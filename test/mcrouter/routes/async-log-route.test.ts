import { describe, expect, it } from "vitest";
import { AllSyncRoute } from "../../../src/mcrouter/routes/all-sync-route.ts";
import { AsyncLogRoute } from "../../../src/mcrouter/routes/async-log-route.ts";
import { FailoverRoute } from "../../../src/mcrouter/routes/failover-route.ts";
import { buildIndexPlacement } from "../../../src/proxy/hash/build.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { DestinationRoute } from "../../../src/proxy/route/destination-route.ts";
import { PoolRoute } from "../../../src/proxy/route/pool-route.ts";
import type { Route } from "../../../src/proxy/route/route.ts";
import { newRouteCounters } from "../../../src/proxy/route/route-counters.ts";
import { frameBytes } from "../../support/clients/binary-client.ts";
import { ask, base64, binaryGet, told } from "../../support/fakes/ask.ts";
import { leafBackend, poolConfig } from "../../support/rigs/pool-config.ts";

interface Spooled {
  readonly entry: string;
  readonly done: () => void;
}

function setUp(targetOf?: (servers: readonly Route[]) => Route) {
  const spooled: Spooled[] = [];
  const backends = [leafBackend("10.0.0.1:11211"), leafBackend("10.0.0.2:11211")] as const;
  const config = poolConfig("A", 2);
  const spool = {
    spool: (server: string, pool: string, key: string, done: () => void) => {
      spooled.push({ entry: `${server} ${pool} ${key}`, done });
    },
  };
  const servers = backends.map((backend, i) => new DestinationRoute(backend, config, i));
  const pool = new PoolRoute(config, backends, buildIndexPlacement({ type: "ch3", salt: "" }, 2));
  const route = new AsyncLogRoute(targetOf?.(servers) ?? pool, "A", spool);
  const leaves = backends.map(({ leaf }) => leaf);
  /** Answers the last request. */
  const answer = (text: Parameters<(typeof leaves)[0]["answer"]>[1]) => {
    for (const leaf of leaves) if (leaf.requests.length > 0) leaf.answer(leaf.requests.length - 1, text);
  };
  return { route, spooled, leaves, answer };
}

const ownerOf = (leaves: ReturnType<typeof setUp>["leaves"]) => leaves.find(({ sent }) => sent.length > 0)!.name;

describe("AsyncLogRoute", () => {
  it.each([
    ["delete k\r\n", "NOT_FOUND\r\n"],
    ["delete k noreply\r\n", "NOT_FOUND\r\n"],
    ["md k O9 k q\r\n", "NF O9 kk\r\n"],
  ])("logs a failed %j for its server, and then answers that the item did not exist", (frame, answer) => {
    const tree = setUp();
    const asked = ask(tree.route, frame);
    tree.answer(failures.connectError);
    expect(tree.spooled.map(({ entry }) => entry)).toEqual([`${ownerOf(tree.leaves)} A k`]);
    expect(told(asked)).toBeNull();
    tree.spooled[0]!.done();
    expect(told(asked)).toBe(answer);
  });

  it("also logs base64 keys and deletes of binary clients", () => {
    const tree = setUp();
    const [meta, binary] = [
      ask(tree.route, `md ${base64("a b")} b\r\n`),
      ask(tree.route, frameBytes({ opcode: 0x04, key: "k" })),
    ];
    for (const leaf of tree.leaves) for (const [i] of leaf.requests.entries()) leaf.answer(i, failures.tko);
    expect(tree.spooled.map(({ entry }) => entry.split(" A ")[1]).sort()).toEqual(["a b", "k"]);
    for (const { done } of tree.spooled) done();
    expect(told(meta)).toBe("NF\r\n");
    expect(Buffer.from(told(binary)!, "latin1").readUInt16BE(6)).toBe(1);
  });

  it.each([failures.timeout, failures.connectTimeout, failures.connectionLost, failures.tko, "SERVER_ERROR no\r\n"])(
    "treats %j as a failure",
    (failure) => {
      const tree = setUp();
      ask(tree.route, "delete k\r\n");
      tree.answer(failure);
      expect(tree.spooled.length).toBe(1);
    },
  );

  it.each(["DELETED\r\n", "NOT_FOUND\r\n", "CLIENT_ERROR no\r\n"])("does not log %j", (answer) => {
    const tree = setUp();
    const asked = ask(tree.route, "delete k\r\n");
    tree.answer(answer);
    expect([told(asked), tree.spooled]).toEqual([answer, []]);
  });

  it("ignores all other commands", () => {
    const tree = setUp();
    const asked = [ask(tree.route, "set k 0 0 1\r\nx\r\n"), ask(tree.route, binaryGet("k"))];
    for (const leaf of tree.leaves) for (const [i] of leaf.requests.entries()) leaf.answer(i, failures.timeout);
    expect([told(asked[0]!), tree.spooled]).toEqual(["SERVER_ERROR timeout\r\n", []]);
  });

  it("logs the server that failed, whatever routes are above it", () => {
    const tree = setUp((servers) => new AllSyncRoute(servers));
    const asked = ask(tree.route, "delete k\r\n");
    tree.leaves[0]!.answer(0, "DELETED\r\n");
    tree.leaves[1]!.answer(0, failures.timeout);
    expect(tree.spooled.map(({ entry }) => entry)).toEqual(["10.0.0.2:11211 A k"]);
    expect(told(asked)).toBeNull();
    tree.spooled[0]!.done();
    expect(told(asked)).toBe("NOT_FOUND\r\n");
  });

  it("prevents failover of a failed delete, below and above", () => {
    const failover = (children: readonly Route[]) => {
      const errors = { gets: null, updates: null, deletes: null };
      const tries = { policy: { type: "in-order" }, maxTries: 9, maxErrorTries: 9, uncountedErrors: [] } as const;
      return new FailoverRoute(
        children,
        { name: "", limit: null, isTagged: false, errors, ...tries },
        newRouteCounters(),
      );
    };
    const tree = setUp(failover);
    const other = leafBackend("other:1");
    const above = failover([tree.route, new DestinationRoute(other, poolConfig("B", 1), 0)]);
    const asked = ask(above, "delete k\r\n");
    tree.leaves[0]!.answer(0, failures.timeout);
    tree.spooled[0]!.done();
    expect([told(asked), tree.leaves[1]!.sent, other.leaf.sent]).toEqual(["NOT_FOUND\r\n", [], []]);
  });

  it("logs no failure of a server below another route, even for the same request of the client", () => {
    const tree = setUp((servers) => servers[0]!);
    const other = leafBackend("other:1");
    const both = new AllSyncRoute([tree.route, new DestinationRoute(other, poolConfig("B", 1), 0)]);
    ask(both, "delete k\r\n");
    other.leaf.answer(0, failures.timeout);
    tree.leaves[0]!.answer(0, "DELETED\r\n");
    expect(tree.spooled).toEqual([]);
  });
});
