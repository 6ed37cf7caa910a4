import { describe, expect, it } from "vitest";
import { SlowWarmUpRoute } from "../../../src/mcrouter/routes/slow-warm-up-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

function setUp(chance: () => number) {
  const [target, failover] = [new LeafRoute(), new LeafRoute()];
  const settings = { enableThreshold: 0.7, disableThreshold: 0.9, start: 0.1, step: 1, minRequests: 10 };
  let hits = true;
  target.script = (sent) => (sent.startsWith("get ") ? (hits ? valueText("k", "x") : "END\r\n") : "STORED\r\n");
  failover.script = () => "END\r\n";
  const route = new SlowWarmUpRoute(target, failover, settings, chance);
  const gets = (count: number, isHit: boolean) => {
    hits = isHit;
    for (let i = 0; i < count; i++) ask(route, "get k\r\n");
  };
  return { target, failover, route, gets };
}

describe("SlowWarmUpRoute", () => {
  it("spares a server whose gets have a low hit rate, and only after enough gets", () => {
    const { failover, gets } = setUp(() => 0.99);
    gets(10, false);
    expect(failover.sent.length).toBe(0);
    gets(5, true);
    expect(failover.sent.length).toBe(5);
  });

  it("lets through gets in proportion to the hit rate, plus a minimum", () => {
    const chances = { now: 0 };
    const { target, failover, gets } = setUp(() => chances.now);
    gets(5, true);
    gets(5, false);
    chances.now = 0.59;
    gets(1, true);
    chances.now = 0.7;
    gets(1, true);
    expect([target.sent.length, failover.sent.length]).toEqual([11, 1]);
  });

  it("stops only when most gets hit again", () => {
    let chance = 0;
    const { failover, gets } = setUp(() => chance);
    gets(4, false);
    gets(6, true);
    gets(10, true);
    // 16 of 20: under the threshold at which it ends.
    chance = 1;
    gets(1, true);
    expect(failover.sent.length).toBe(1);
    chance = 0;
    gets(30, true);
    chance = 1;
    gets(5, true);
    expect(failover.sent.length).toBe(1);
  });

  it("spares only gets, and ignores failures in the hit rate", () => {
    const { target, failover, route, gets } = setUp(() => 1);
    target.script = () => failures.timeout;
    for (let i = 0; i < 20; i++) ask(route, "get k\r\n");
    expect(failover.sent.length).toBe(0);
    target.script = (sent) => (sent.startsWith("get ") ? "END\r\n" : "STORED\r\n");
    for (let i = 0; i < 10; i++) ask(route, "get k\r\n");
    ask(route, "set k 0 0 1\r\nx\r\n");
    expect(target.sent.at(-1)).toBe("set k 0 0 1\r\nx\r\n");
    gets(1, true);
    expect(failover.sent.length).toBe(1);
  });
});
