/** The expected keys and sizes are those of mcrouter's own tests (ShardSplitRouteTest.cpp, ShardSplitterTest.cpp). */
import { describe, expect, it } from "vitest";
import { type ShardSplit, ShardSplitRoute } from "../../../src/mcrouter/routes/shard-split-route.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { valueText } from "../../support/fakes/recording-route.ts";
import { buildTree } from "../../support/rigs/built-tree.ts";

const MOST = 26 * 26 + 1;
const fixed: ShardSplit = {
  oldSize: MOST,
  newSize: MOST,
  startUnixSeconds: 0,
  periodSeconds: 0,
  sendsDeletesToAll: true,
};
const letters = (index: number) => String.fromCharCode(97 + ((index - 1) % 26), 97 + Math.floor((index - 1) / 26));
const keyOf = (index: number) => (index === 0 ? "test:123:" : `test:123${letters(index)}:`);

function setUp(split: Partial<ShardSplit> = {}, hostId = 1, clock = new ManualClock()) {
  const leaf = new LeafRoute();
  const route = new ShardSplitRoute(leaf, new Map([["123", { ...fixed, ...split }]]), hostId, clock);
  return { leaf, route, keys: () => leaf.requests.map((request) => request.keyText()) };
}

describe("ShardSplitRoute", () => {
  it.each(["get", "set", "md"])("sends %s to the split of the host", (verb) => {
    for (let host = 0; host < MOST; host += 13) {
      const { route, keys } = setUp({ sendsDeletesToAll: false }, host);
      ask(route, verb === "set" ? "set test:123: 0 0 1\r\nx\r\n" : `${verb} test:123:\r\n`);
      expect(keys()).toEqual([keyOf(host)]);
    }
  });

  it("sends a delete to all splits and answers with the reply of the first", () => {
    const { route, leaf, keys } = setUp({ newSize: 4, oldSize: 4 }, 2);
    const asked = ask(route, "delete test:123:\r\n");
    expect(keys()).toEqual([0, 1, 2, 3].map(keyOf));
    leaf.answer(1, "NOT_FOUND\r\n");
    expect(told(asked)).toBeNull();
    leaf.answer(0, "DELETED\r\n");
    expect(told(asked)).toBe("DELETED\r\n");
  });

  it.each(["test:123aa:", "test:123zz:", "test:12:", "test:123", "123", "test::123:", "a|#|:123:", "test:1a:"])(
    "passes %j on unchanged",
    (key) => {
      const { route, keys } = setUp();
      ask(route, `delete ${key}\r\n`);
      ask(route, `get ${key}\r\n`);
      expect(keys()).toEqual([key, key]);
    },
  );

  it("answers with the client's key, and leaves a key that would be too long for a server", () => {
    const { route, leaf, keys } = setUp();
    const asked = ask(route, "get test:123:\r\n");
    leaf.answer(0, valueText("test:123aa:", "x"));
    expect(told(asked)).toBe(valueText("test:123:", "x"));
    const long = `test:123:${"x".repeat(240)}`;
    ask(route, `get ${long}\r\n`);
    expect(keys()[1]).toBe(long);
  });

  it("increases the splits host after host during the period", () => {
    const clock = new ManualClock();
    const start = clock.unixSeconds() + 100;
    const growing = { oldSize: 1, newSize: 10, startUnixSeconds: start, periodSeconds: 1000 };
    // Odd numbers: none of them uses the first of ten splits.
    const hosts = Array.from({ length: 64 }, (_, i) => i * 256 + 1);
    const grown = () =>
      hosts.filter((host) => {
        const { route, keys } = setUp(growing, host, clock);
        ask(route, "get test:123:\r\n");
        return keys()[0] !== "test:123:";
      }).length;
    const seen = [0, 200, 250, 500, 100].map((seconds) => {
      clock.advance(seconds * 1000);
      return grown();
    });
    expect(seen.map((count) => Math.round((10 * count) / hosts.length) / 10)).toEqual([0, 0.1, 0.4, 0.9, 1]);
  });
});

describe("shard_splits of PoolRoute", () => {
  const pools = { A: { servers: ["a:1"] } };
  const splits = { "1": 3, "2": { new_split_size: 2, fanout_deletes: true }, "3": { old_split_size: 5 }, "4": 1000 };
  const sentFor = async (command: string, options: Record<string, string> = {}) => {
    const route = { type: "PoolRoute", pool: "A", shard_splits: splits };
    const tree = await buildTree({ pools, route }, (name) => new LeafRoute(name), options, { hostId: 5 });
    ask(tree.root, `${command}\r\n`);
    return [tree.sent()["a:1"]!.map((line) => line.trim()), tree.config.warnings];
  };

  it("are read in both forms", async () => {
    expect((await sentFor("get a:1:"))[0]).toEqual(["get a:1ba:"]);
    expect((await sentFor("delete a:1:"))[0]).toEqual(["delete a:1:", "delete a:1aa:", "delete a:1ba:"]);
    expect((await sentFor("delete a:2:"))[0]).toEqual(["delete a:2:", "delete a:2aa:"]);
    expect((await sentFor("get a:3:"))[0]).toEqual(["get a:3:"]);
  });

  it("have a maximum, and no effect with --disable-shard-split-route", async () => {
    const [sent, warnings] = await sentFor("get a:1:", { disable_shard_split_route: "1" });
    expect([sent, warnings]).toEqual([["get a:1:"], [expect.stringMatching(/shard_splits\.4: is more than 677/)]]);
  });
});
