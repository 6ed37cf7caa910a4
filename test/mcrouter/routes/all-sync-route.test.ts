import { describe, expect, it } from "vitest";
import { AllSyncRoute } from "../../../src/mcrouter/routes/all-sync-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

describe("AllSyncRoute", () => {
  const setUp = (count = 3) => {
    const leaves = Array.from({ length: count }, (_, i) => new LeafRoute(`${i}`));
    return { leaves, route: new AllSyncRoute(leaves) };
  };

  it("sends the same request to all children, and waits for all", () => {
    const { leaves, route } = setUp();
    const asked = ask(route, "set k 5 60 2 noreply\r\nab\r\n");
    expect(leaves.map(({ sent }) => sent)).toEqual(Array(3).fill(["set k 5 60 2\r\nab\r\n"]));
    leaves[2]!.answer(0, "STORED\r\n");
    leaves[0]!.answer(0, "STORED\r\n");
    expect(told(asked)).toBeNull();
    leaves[1]!.answer(0, "STORED\r\n");
    expect(told(asked)).toBe("STORED\r\n");
  });

  it("answers with the worst reply", () => {
    const { leaves, route } = setUp();
    const asked = ask(route, "delete k\r\n");
    leaves[0]!.answer(0, "DELETED\r\n");
    leaves[1]!.answer(0, failures.timeout);
    leaves[2]!.answer(0, "NOT_FOUND\r\n");
    expect(told(asked)).toBe("SERVER_ERROR timeout\r\n");
  });

  it("answers with the first received of equal replies, whatever its connection reads meanwhile", () => {
    for (const isLarge of [false, true]) {
      const { leaves, route } = setUp();
      const asked = ask(route, "get k\r\n");
      leaves[1]!.answer(0, valueText("k", "first"), isLarge);
      // The connection uses its reply object for the answer to another request.
      const other = ask(leaves[1]!, "get k2\r\n");
      leaves[1]!.answer(1, valueText("k2", "of another"), isLarge);
      leaves[0]!.answer(0, valueText("k", "second"));
      leaves[2]!.answer(0, valueText("k", "third"));
      expect(told(asked)).toBe(valueText("k", "first"));
      expect(told(other)).toBe(valueText("k2", "of another"));
    }
  });

  it("treats touched as the worst result, as mcrouter does", () => {
    for (const [frame, answers, answer] of [
      ["touch k 5\r\n", ["NOT_FOUND\r\n", "TOUCHED\r\n"], "TOUCHED\r\n"],
      ["mg k T5\r\n", ["EN\r\n", "HD\r\n"], "HD\r\n"],
    ] as const) {
      const { leaves, route } = setUp(2);
      const asked = ask(route, frame);
      for (const [i, each] of answers.entries()) leaves[i]!.answer(0, each);
      expect(told(asked)).toBe(answer);
    }
  });

  it("answers once if children answer at once, and if that reply triggers another request of the client", () => {
    const { leaves, route } = setUp();
    for (const leaf of leaves) leaf.script = () => "STORED\r\n";
    const order: string[] = [];
    const asked = ask(
      {
        route: (request) => {
          request.push({
            onReply: (sent, reply) => {
              order.push("answered");
              sent.complete(reply);
              order.push(told(ask(route, "set k 0 0 1\r\nb\r\n"))!);
            },
          });
          route.route(request);
        },
      },
      "set k 0 0 1\r\na\r\n",
    );
    expect([told(asked), order]).toEqual(["STORED\r\n", ["answered", "STORED\r\n"]]);
    for (const { sent } of leaves) expect(sent).toEqual(["set k 0 0 1\r\na\r\n", "set k 0 0 1\r\nb\r\n"]);
  });
});
