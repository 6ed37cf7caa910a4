import { describe, expect, it } from "vitest";
import { KeySplitRoute } from "../../../src/mcrouter/routes/key-split-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, base64, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

function setUp({ hostId = 1, isAllSync = false, isFirstHit = false } = {}) {
  const leaf = new LeafRoute();
  return { leaf, route: new KeySplitRoute(leaf, { replicas: 3, isAllSync, isFirstHit }, hostId) };
}

const keys = ({ leaf }: ReturnType<typeof setUp>) => leaf.requests.map((request) => request.keyText());

describe("KeySplitRoute", () => {
  it("requests its host's copy, with a number before any hash stop, and the first copy is the key itself", () => {
    const one = setUp({ hostId: 7 });
    ask(one.route, "get k\r\n");
    ask(one.route, "incr k|#|x 1\r\n");
    expect(keys(one)).toEqual(["k::1", "k::1|#|x"]);
    const none = setUp({ hostId: 6 });
    ask(none.route, "get k\r\n");
    expect(keys(none)).toEqual(["k"]);
  });

  it("answers with the client's key", () => {
    const { leaf, route } = setUp();
    const asked = [ask(route, "get k\r\n"), ask(route, "mg k k v\r\n")];
    leaf.answer(0, valueText("k::1", "x"));
    leaf.answer(1, "VA 1 kk::1\r\nx\r\n");
    expect(asked.map(told)).toEqual([valueText("k", "x"), "VA 1 kk\r\nx\r\n"]);
  });

  it("deletes all copies, and answers with the reply for its own copy", () => {
    const tree = setUp();
    const asked = ask(tree.route, "md k O7\r\n");
    expect(keys(tree)).toEqual(["k", "k::2", "k::1"]);
    tree.leaf.answer(0, "HD O7\r\n");
    expect(told(asked)).toBeNull();
    tree.leaf.answer(2, "NF O7\r\n");
    expect(told(asked)).toBe("NF O7\r\n");
    tree.leaf.answer(1, failures.timeout);
  });

  it("sets all copies only if configured", () => {
    const own = setUp();
    ask(own.route, "set k 0 0 1\r\nx\r\n");
    const all = setUp({ isAllSync: true });
    ask(all.route, "set k 0 0 1\r\nx\r\n");
    ask(all.route, "ms k 1\r\ny\r\n");
    ask(all.route, "add k 0 0 1\r\nz\r\n");
    expect([keys(own), keys(all)]).toEqual([["k::1"], ["k", "k::2", "k::1", "k", "k::2", "k::1", "k::1"]]);
    expect(all.leaf.sent[1]).toBe("set k::2 0 0 1\r\nx\r\n");
  });

  it("can request all copies and answer with the first hit, or else the last reply", () => {
    const tree = setUp({ isFirstHit: true });
    const [hit, miss] = [ask(tree.route, "get k\r\n"), ask(tree.route, "get k\r\n")];
    expect(keys(tree).slice(0, 3)).toEqual(["k", "k::1", "k::2"]);
    tree.leaf.answer(1, "END\r\n");
    tree.leaf.answer(2, valueText("k::2", "x"));
    expect(told(hit)).toBe(valueText("k", "x"));
    tree.leaf.answer(0, valueText("k", "y"));
    for (const i of [3, 4]) tree.leaf.answer(i, "END\r\n");
    expect(told(miss)).toBeNull();
    tree.leaf.answer(5, failures.timeout);
    expect(miss.answers[0]!.status).toBe(22);
  });

  it("passes on keys that have no room for a number, in base64 as they are sent", () => {
    const tree = setUp();
    const [long, encoded] = ["k".repeat(246), base64(" ".repeat(182))];
    ask(tree.route, `get ${long}\r\n`);
    ask(tree.route, `ms ${encoded} 1 b\r\nx\r\n`);
    expect(tree.leaf.sent).toEqual([`get ${long}\r\n`, `ms ${encoded} 1 b\r\nx\r\n`]);
  });

  it("shows its settings in its name", () => {
    expect(setUp({ isAllSync: true }).route.name).toBe("keysplit|replicas=3|all-sync=true|first-hit=false|replicaId=1");
  });
});
