import { describe, expect, it } from "vitest";
import { LatencyInjectionRoute } from "../../../src/mcrouter/routes/latency-injection-route.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

function setUp(times: { beforeMs?: number; afterMs?: number; totalMs?: number }) {
  const clock = new ManualClock();
  const leaf = new LeafRoute();
  return {
    clock,
    leaf,
    route: new LatencyInjectionRoute(leaf, { beforeMs: 0, afterMs: 0, totalMs: 0, ...times }, clock),
  };
}

describe("LatencyInjectionRoute", () => {
  it("delays requests, and keeps their order and content", () => {
    const { clock, leaf, route } = setUp({ beforeMs: 10 });
    const asked = [ask(route, "set k 0 0 1\r\nx\r\n"), ask(route, "get k\r\n")];
    clock.advance(9);
    expect(leaf.sent).toEqual([]);
    clock.advance(1);
    expect(leaf.sent).toEqual(["set k 0 0 1\r\nx\r\n", "get k\r\n"]);
    leaf.answer(0, "STORED\r\n");
    leaf.answer(1, "END\r\n");
    expect(asked.map(told)).toEqual(["STORED\r\n", "END\r\n"]);
  });

  it("delays replies, whatever their connection reads meanwhile", () => {
    const { clock, leaf, route } = setUp({ afterMs: 10 });
    const asked = ask(route, "get k\r\n");
    leaf.answer(0, valueText("k", "mine"), true);
    ask(leaf, "get other\r\n");
    leaf.answer(1, valueText("other", "another's"), true);
    expect(told(asked)).toBeNull();
    clock.advance(10);
    expect(told(asked)).toBe(valueText("k", "mine"));
  });

  it("extends a request to its minimum duration", () => {
    const { clock, leaf, route } = setUp({ totalMs: 30 });
    const asked = [ask(route, "get a\r\n"), ask(route, "get b\r\n")];
    clock.advance(20);
    leaf.answer(0, "END\r\n");
    clock.advance(9);
    expect(told(asked[0]!)).toBeNull();
    clock.advance(1);
    expect(told(asked[0]!)).toBe("END\r\n");
    clock.advance(5);
    leaf.answer(1, "END\r\n");
    expect(told(asked[1]!)).toBe("END\r\n");
  });
});
