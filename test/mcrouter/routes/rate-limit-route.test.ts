import { describe, expect, it } from "vitest";
import { RateLimitRoute } from "../../../src/mcrouter/routes/rate-limit-route.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

function setUp(hasFallback = false) {
  const clock = new ManualClock();
  const [target, fallback] = [new LeafRoute(), new LeafRoute()];
  const rates = { gets: { rate: 2, burst: 3 }, sets: { rate: 1, burst: 1 }, deletes: null };
  const route = new RateLimitRoute(target, hasFallback ? fallback : null, rates, clock);
  return { clock, target, fallback, route };
}

describe("RateLimitRoute", () => {
  it("allows the configured number of gets per second and at once, and starts empty like mcrouter's", () => {
    const { clock, target, route } = setUp();
    expect(told(ask(route, "get k\r\n"))).toBe("END\r\n");
    clock.advance(10_000);
    for (let i = 0; i < 5; i++) ask(route, "mg k v\r\n");
    expect(target.sent.length).toBe(3);
    clock.advance(500);
    ask(route, "get k\r\n");
    ask(route, "get k\r\n");
    expect(target.sent.length).toBe(4);
  });

  it("counts gets, sets and deletes separately, and other commands not at all", () => {
    const { clock, target, route } = setUp();
    clock.advance(1000);
    for (const frame of ["set k 0 0 1\r\nx\r\n", "cas k 0 0 1 5\r\nx\r\n", "get k\r\n"]) ask(route, frame);
    for (let i = 0; i < 3; i++)
      for (const frame of ["delete k\r\n", "incr k 1\r\n", "touch k 1\r\n"]) ask(route, frame);
    expect(target.sent.map((sent) => sent.split(" ")[0])).toEqual([
      ...["set", "get"],
      ...["delete", "incr", "touch", "delete", "incr", "touch", "delete", "incr", "touch"],
    ]);
  });

  it("answers requests over the limit as if the item did not exist, or sends them to another route", () => {
    const { route } = setUp();
    expect(told(ask(route, "set k 0 0 1\r\nx\r\n"))).toBe("NOT_STORED\r\n");
    expect(told(ask(route, "ms k 1 O5\r\nx\r\n"))).toBe("NS O5\r\n");
    const other = setUp(true);
    ask(other.route, "get k\r\n");
    expect([other.target.sent, other.fallback.sent]).toEqual([[], ["get k\r\n"]]);
  });

  it("shows its limits in its name", () => {
    expect(setUp().route.name).toBe("rate-limit|gets_rate=2|gets_burst=3|sets_rate=1|sets_burst=1");
  });
});
