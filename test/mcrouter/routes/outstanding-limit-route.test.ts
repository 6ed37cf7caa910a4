import { describe, expect, it } from "vitest";
import { OutstandingLimitRoute } from "../../../src/mcrouter/routes/outstanding-limit-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { errorReply } from "../../../src/proxy/route/default-reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

function setUp(maxWaiting = 100_000) {
  const leaf = new LeafRoute();
  const limits = { maxOutstanding: 2, maxWaiting, waitTimeoutMs: 0, refusal: errorReply("busy", "") };
  return { leaf, route: new OutstandingLimitRoute(leaf, limits, new ManualClock()) };
}

const set = (i: number) => `set k${i} 0 0 1\r\n${i}\r\n`;

describe("OutstandingLimitRoute", () => {
  it("passes on no more requests than the limit at once, and the rest in their order and unchanged", () => {
    const { leaf, route } = setUp();
    const asked = [0, 1, 2, 3].map((i) => ask(route, set(i)));
    expect(leaf.sent).toEqual([set(0), set(1)]);
    leaf.answer(1, "STORED\r\n");
    leaf.answer(0, failures.timeout);
    expect(leaf.sent).toEqual([0, 1, 2, 3].map(set));
    leaf.answer(3, "NOT_STORED\r\n");
    expect(asked.map(told)).toEqual(["SERVER_ERROR timeout\r\n", "STORED\r\n", null, "NOT_STORED\r\n"]);
  });

  it("lets no request overtake a waiting one, not even a request that arrives during a reply", () => {
    const { leaf, route } = setUp();
    const first = ask(
      {
        route: (request) => {
          request.push({
            onReply: (sent, reply) => {
              sent.complete(reply);
              ask(route, set(9));
            },
          });
          route.route(request);
        },
      },
      set(0),
    );
    for (const i of [1, 2]) ask(route, set(i));
    leaf.answer(0, "STORED\r\n");
    expect([told(first), leaf.sent]).toEqual(["STORED\r\n", [set(0), set(1), set(2)]]);
    leaf.answer(1, "STORED\r\n");
    expect(leaf.sent[3]).toBe(set(9));
  });

  it("answers any number of waiting requests if their server answers at once", () => {
    const { leaf, route } = setUp();
    const asked = Array.from({ length: 50_000 }, (_, i) => ask(route, `get k${i}\r\n`));
    leaf.script = () => failures.tko;
    leaf.answer(0, "END\r\n");
    leaf.answer(1, "END\r\n");
    expect(asked.filter((each) => told(each) === null)).toEqual([]);
  });

  it("refuses requests for which there is no room to wait", () => {
    const { route } = setUp(1);
    const asked = [0, 1, 2, 3].map((i) => ask(route, set(i)));
    expect(asked.map(told)).toEqual([null, null, null, "SERVER_ERROR 307 busy\r\n"]);
  });
});
