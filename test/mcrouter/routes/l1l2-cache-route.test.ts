import { describe, expect, it } from "vitest";
import { L1L2CacheRoute } from "../../../src/mcrouter/routes/l1l2-cache-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

function setUp(ncacheUpdatePeriod = 0) {
  const l1 = new LeafRoute("l1");
  const l2 = new LeafRoute("l2");
  const options = { upgradingL1Exptime: 30, ncacheExptime: 5, ncacheUpdatePeriod };
  return { l1, l2, route: new L1L2CacheRoute(l1, l2, options) };
}

const negative = "VALUE k 65536 6\r\nncache\r\nEND\r\n";

describe("L1L2CacheRoute", () => {
  it("answers with L1's hit, and sends everything but gets to L1 alone", () => {
    const { l1, l2, route } = setUp();
    const asked = ask(route, "get k\r\n");
    l1.answer(0, valueText("k", "x"));
    expect(told(asked)).toBe(valueText("k", "x"));
    for (const frame of ["set k 0 0 1\r\nx\r\n", "delete k\r\n", "incr k 1\r\n", "touch k 1\r\n"]) ask(route, frame);
    expect([l1.sent.length, l2.sent]).toEqual([5, []]);
  });

  it("answers an L1 miss or failure from L2, and adds the value to L1", () => {
    for (const answer of ["END\r\n", failures.timeout]) {
      const { l1, l2, route } = setUp();
      const asked = ask(route, "get k\r\n");
      l1.answer(0, answer);
      l2.answer(0, "VALUE k 7 3\r\nold\r\nEND\r\n", true);
      expect(told(asked)).toBe("VALUE k 7 3\r\nold\r\nEND\r\n");
      expect(l1.sent[1]).toBe("add k 7 30 3\r\nold\r\n");
    }
  });

  it("answers with L2's miss or failure, and without a period remembers nothing of it", () => {
    const { l1, l2, route } = setUp();
    const [missed, failed] = [ask(route, "get k\r\n"), ask(route, "get k\r\n")];
    l1.answer(0, "END\r\n");
    l1.answer(1, "END\r\n");
    l2.answer(0, "END\r\n");
    l2.answer(1, failures.connectError);
    expect([missed, failed].map((asked) => asked.answers[0]!.status)).toEqual([2, 24]);
    expect(l1.sent.length).toBe(2);
  });

  it("passes on L2's cas, and sends touches to L2", () => {
    const { l1, l2, route } = setUp();
    const asked = [ask(route, "gets k\r\n"), ask(route, "gat 9 k\r\n")];
    for (const [i] of asked.entries()) l1.answer(i, "END\r\n");
    expect(l2.sent).toEqual(["gets k\r\n", "gat 9 k\r\n"]);
    l2.answer(0, "VALUE k 7 3 55\r\nold\r\nEND\r\n");
    l2.answer(1, "VALUE k 7 3\r\nold\r\nEND\r\n");
    expect(asked.map(told)).toEqual(["VALUE k 7 3 55\r\nold\r\nEND\r\n", "VALUE k 7 3\r\nold\r\nEND\r\n"]);
    expect(l1.sent.slice(2)).toEqual(["add k 7 30 3\r\nold\r\n", "add k 7 30 3\r\nold\r\n"]);
  });

  it("answers a meta get in its own form, and asks L2 for data that only a server knows", () => {
    const { l1, l2, route } = setUp();
    const [plain, cas] = [ask(route, "mg k s v\r\n"), ask(route, "mg k v c\r\n")];
    l1.answer(0, "EN\r\n");
    l1.answer(1, "EN\r\n");
    l2.answer(0, "VALUE k 7 3\r\nold\r\nEND\r\n");
    expect(told(plain)).toBe("VA 3 s3\r\nold\r\n");
    l2.answer(1, "VALUE k 7 3\r\nold\r\nEND\r\n");
    expect(l2.sent[2]).toBe("mg k v c\r\n");
    l2.answer(2, "VA 3 c9\r\nold\r\n");
    expect(told(cas)).toBe("VA 3 c9\r\nold\r\n");
  });

  it("remembers an L2 miss in L1, and answers with a miss from then on", () => {
    const { l1, l2, route } = setUp(3);
    const asked = ask(route, "get k\r\n");
    l1.answer(0, "END\r\n");
    l2.answer(0, "END\r\n");
    expect(told(asked)).toBe("END\r\n");
    expect(l1.sent[1]).toBe("add k 65536 5 6\r\nncache\r\n");
    const again = ask(route, "get k\r\n");
    l1.answer(2, negative);
    expect([told(again), l2.sent.length]).toEqual(["END\r\n", 1]);
  });

  it("checks L2 again at each nth hit of a negative item", () => {
    const { l1, l2, route } = setUp(3);
    const hitNegative = () => {
      ask(route, "get k\r\n");
      l1.answer(l1.requests.length - 1, negative);
    };
    hitNegative();
    hitNegative();
    expect(l2.sent).toEqual([]);
    hitNegative();
    expect(l2.sent).toEqual(["get k\r\n"]);
    l2.answer(0, valueText("k", "new"));
    expect(l1.sent.at(-1)).toBe("set k 0 30 3\r\nnew\r\n");
    for (let i = 0; i < 3; i++) hitNegative();
    l2.answer(1, "END\r\n");
    expect(l1.sent.at(-1)).toBe("set k 65536 5 6\r\nncache\r\n");
  });

  it("detects a remembered miss by its value if a meta get requests no flags", () => {
    const { l1, route } = setUp(3);
    const [told1, told2] = [ask(route, "mg k v\r\n"), ask(route, "mg k v f\r\n")];
    l1.answer(0, "VA 6\r\nncache\r\n");
    l1.answer(1, "VA 6 f65536\r\nncache\r\n");
    expect([told(told1), told(told2)]).toEqual(["EN\r\n", "EN\r\n"]);
  });

  it("does not use the value of an earlier reply for a reply without one", () => {
    const { l1, l2, route } = setUp();
    ask(l1, "get other\r\n");
    const asked = ask(route, "mg k\r\n");
    l1.answer(0, "VALUE other 65536 6\r\nncache\r\nEND\r\n");
    l1.answer(1, "HD\r\n");
    expect([told(asked), l2.sent]).toEqual(["HD\r\n", []]);
  });
});
