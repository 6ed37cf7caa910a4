import { describe, expect, it } from "vitest";
import { MissFailoverRoute } from "../../../src/mcrouter/routes/miss-failover-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

function setUp(returnsBest = false) {
  const leaves = [new LeafRoute(), new LeafRoute(), new LeafRoute()] as const;
  return { leaves, route: new MissFailoverRoute(leaves, returnsBest) };
}

describe("MissFailoverRoute", () => {
  it("asks the next child on a miss, and stops at a hit", () => {
    const { leaves, route } = setUp();
    const asked = ask(route, "get k\r\n");
    leaves[0].answer(0, "END\r\n");
    leaves[1].answer(0, valueText("k", "x"));
    expect(told(asked)).toBe(valueText("k", "x"));
    expect(leaves.map(({ sent }) => sent)).toEqual([["get k\r\n"], ["get k\r\n"], []]);
  });

  it("fails over for every kind of get and for deletes, and on failures too", () => {
    const cases = [
      ["gets k\r\n", "END\r\n"],
      ["gat 3 k\r\n", "END\r\n"],
      ["mg k v\r\n", "EN\r\n"],
      ["me k\r\n", "EN\r\n"],
      ["delete k\r\n", "NOT_FOUND\r\n"],
      ["md k\r\n", "NF\r\n"],
      ["delete k\r\n", "SERVER_ERROR no\r\n"],
    ] as const;
    for (const [frame, answer] of cases) {
      const { leaves, route } = setUp();
      ask(route, frame);
      leaves[0].answer(0, answer);
      expect(leaves[1].sent).toEqual([frame]);
    }
  });

  it("asks only the first child for all other commands", () => {
    const cases = [
      ["add k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"],
      ["touch k 3\r\n", "NOT_FOUND\r\n"],
      ["incr k 3\r\n", "NOT_FOUND\r\n"],
      ["set k 0 0 1\r\nx\r\n", "SERVER_ERROR no\r\n"],
      ["ma k\r\n", "NF\r\n"],
    ] as const;
    for (const [frame, answer] of cases) {
      const { leaves, route } = setUp();
      const asked = ask(route, frame);
      leaves[0].answer(0, answer);
      expect([told(asked), leaves[1].sent]).toEqual([answer, []]);
    }
  });

  it("answers with the last child's reply if no child has the item", () => {
    const { leaves, route } = setUp();
    const asked = ask(route, "delete k\r\n");
    leaves[0].answer(0, "NOT_FOUND\r\n");
    leaves[1].answer(0, "NOT_FOUND\r\n");
    leaves[2].answer(0, failures.timeout);
    expect(told(asked)).toBe("SERVER_ERROR timeout\r\n");
  });

  it("can answer with the best reply instead, the latest among equals", () => {
    const { leaves, route } = setUp(true);
    const asked = ask(route, "md k O1\r\n");
    leaves[0].answer(0, "SERVER_ERROR no\r\n");
    leaves[1].answer(0, "NF O1\r\n", true);
    leaves[2].answer(0, failures.timeout);
    expect(told(asked)).toBe("NF O1\r\n");
  });
});
