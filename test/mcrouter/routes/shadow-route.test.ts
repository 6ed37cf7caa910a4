import { describe, expect, it } from "vitest";
import { AsyncLogRoute } from "../../../src/mcrouter/routes/async-log-route.ts";
import { type Shadow, ShadowRoute } from "../../../src/mcrouter/routes/shadow-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { DestinationRoute } from "../../../src/proxy/route/destination-route.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { leafBackend, poolConfig } from "../../support/rigs/pool-config.ts";
import { vectors } from "../../support/vectors/mcrouter-vectors.ts";

function setUp(shadow: Partial<Shadow> = {}, random: () => number = () => 0) {
  const [child, target] = [new LeafRoute("child"), new LeafRoute("shadow")];
  const all = { target, keyFraction: [0, 1], keys: null, requestsFraction: 1, maxOutstanding: 1000 } as const;
  return { child, target, route: new ShadowRoute(child, [{ ...all, ...shadow }], random) };
}

describe("ShadowRoute", () => {
  it("sends the same request to its child and to the shadow, and answers with the child's reply", () => {
    const { child, target, route } = setUp();
    const asked = ask(route, "ms k 2 q T5\r\nab\r\n");
    expect([child.sent, target.sent]).toEqual([["ms k 2 T5\r\nab\r\n"], ["ms k 2 T5\r\nab\r\n"]]);
    target.answer(0, "HD\r\n");
    expect(told(asked)).toBeNull();
    child.answer(0, "NS\r\n");
    expect(told(asked)).toBe("NS\r\n");
  });

  it("ignores the shadow's result", () => {
    const { child, target, route } = setUp();
    target.script = () => failures.tko;
    const asked = ask(route, "get k\r\n");
    child.answer(0, "END\r\n");
    expect(told(asked)).toBe("END\r\n");
  });

  it("mirrors the keys whose hash is in the range, both ends included", () => {
    const max = 0xffff_ffff;
    const key = vectors.keys.find(
      ({ hex, prefix }) => prefix === "" && /^[a-z0-9:]+$/.test(Buffer.from(hex, "hex").toString()),
    )!;
    const name = Buffer.from(key.hex, "hex").toString();
    const isMirrored = (keyFraction: [number, number]) => {
      const { target, route } = setUp({ keyFraction });
      ask(route, `get ${name}|#|rest\r\n`);
      return target.sent.length === 1;
    };
    const at = (key.spooky32_0 + 0.5) / max;
    expect([isMirrored([at, at]), isMirrored([0, at]), isMirrored([at, 1])]).toEqual([true, true, true]);
    expect([isMirrored([0, (key.spooky32_0 - 0.5) / max]), isMirrored([0, 0])]).toEqual([false, false]);
  });

  it("mirrors the listed keys, compared without the part after their hash stop", () => {
    const { target, route } = setUp({ keys: new Set(["k", "caf\xc3\xa9"]), keyFraction: [0, 0] });
    for (const key of ["k", "k|#|x", "k2", "caf\xc3\xa9"]) ask(route, `get ${key}\r\n`);
    expect(target.sent).toEqual(["get k\r\n", "get k|#|x\r\n", "get caf\xc3\xa9\r\n"]);
  });

  it("mirrors a fraction of the requests at random", () => {
    const chances = [0.2, 0.3, 0.9];
    const { child, target, route } = setUp({ requestsFraction: 0.3 }, () => chances.shift()!);
    for (let i = 0; i < 3; i++) ask(route, `get k${i}\r\n`);
    expect([child.sent.length, target.sent]).toEqual([3, ["get k0\r\n"]]);
  });

  it("mirrors no more requests at once than its limit", () => {
    const { target, route } = setUp({ maxOutstanding: 2 });
    for (let i = 0; i < 3; i++) ask(route, `get k${i}\r\n`);
    expect(target.sent.length).toBe(2);
    target.answer(0, "END\r\n");
    ask(route, "get k3\r\n");
    expect(target.sent.length).toBe(3);
  });

  it("logs no failed delete of a shadow", () => {
    const spooled: string[] = [];
    const [child, target] = [leafBackend("a:1"), leafBackend("b:2")];
    const destinations = [child, target].map((backend, i) => new DestinationRoute(backend, poolConfig("A", 1), i));
    const all = { keyFraction: [0, 1], keys: null, requestsFraction: 1, maxOutstanding: 1000 } as const;
    const shadow = new ShadowRoute(destinations[0]!, [{ ...all, target: destinations[1]! }], () => 0);
    const route = new AsyncLogRoute(shadow, "A", {
      spool: (server, _pool, _key, done) => {
        spooled.push(server);
        done();
      },
    });
    ask(route, "delete k\r\n");
    target.leaf.answer(0, failures.timeout);
    child.leaf.answer(0, failures.timeout);
    expect(spooled).toEqual(["a:1"]);
  });
});
