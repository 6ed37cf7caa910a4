import { describe, expect, it } from "vitest";
import { MigrateRoute } from "../../../src/mcrouter/routes/migrate-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { vectors } from "../../support/vectors/mcrouter-vectors.ts";

const INTERVAL = 1000;

function setUp() {
  const clock = new ManualClock();
  const startUnixSeconds = clock.unixSeconds() + 100;
  const [from, to] = [new LeafRoute("from"), new LeafRoute("to")];
  const route = new MigrateRoute(from, to, { startUnixSeconds, intervalSeconds: INTERVAL }, clock);
  /** Moves the clock to `seconds` after the start. */
  const moveTo = (seconds: number) => clock.advance((startUnixSeconds + seconds - clock.unixSeconds()) * 1000);
  return { from, to, route, moveTo };
}

describe("MigrateRoute", () => {
  it("moves each key to the new place at a time that depends on mcrouter's hash of the key", () => {
    const key = vectors.keys.find(
      ({ hex, prefix }) => prefix === "" && /^[a-z0-9:]+$/.test(Buffer.from(hex, "hex").toString()),
    )!;
    const name = Buffer.from(key.hex, "hex").toString();
    const due = INTERVAL + (key.spooky32_0 % INTERVAL);
    const { from, to, route, moveTo } = setUp();
    moveTo(due - 1);
    ask(route, `get ${name}\r\n`);
    moveTo(due);
    ask(route, `set ${name} 0 0 1\r\nx\r\n`);
    expect([from.sent, to.sent]).toEqual([[`get ${name}\r\n`], [`set ${name} 0 0 1\r\nx\r\n`]]);
  });

  it("deletes in both places from the start to twice the interval, and answers with the worse reply", () => {
    const { from, to, route, moveTo } = setUp();
    const asked = [ask(route, "delete k\r\n")];
    moveTo(0);
    asked.push(ask(route, "md k\r\n"));
    moveTo(2 * INTERVAL - 1);
    asked.push(ask(route, "delete k\r\n"));
    moveTo(2 * INTERVAL);
    asked.push(ask(route, "delete k\r\n"));
    expect([from.sent.length, to.sent.length]).toEqual([3, 3]);
    to.answer(0, "HD\r\n");
    expect(told(asked[1]!)).toBeNull();
    from.answer(1, "NF\r\n");
    expect(told(asked[1]!)).toBe("NF\r\n");
    from.answer(2, "DELETED\r\n");
    to.answer(1, failures.timeout);
    expect(told(asked[2]!)).toBe("SERVER_ERROR timeout\r\n");
  });

  it("moves all keys at once without an interval", () => {
    const clock = new ManualClock();
    const [from, to] = [new LeafRoute(), new LeafRoute()];
    const route = new MigrateRoute(from, to, { startUnixSeconds: clock.unixSeconds(), intervalSeconds: 0 }, clock);
    ask(route, "get k\r\n");
    expect([from.sent.length, to.sent.length]).toEqual([0, 1]);
  });
});
