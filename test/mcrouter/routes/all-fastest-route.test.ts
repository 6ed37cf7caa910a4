import { describe, expect, it } from "vitest";
import { AllFastestRoute } from "../../../src/mcrouter/routes/all-fastest-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

describe("AllFastestRoute", () => {
  const setUp = () => {
    const leaves = [new LeafRoute(), new LeafRoute(), new LeafRoute()] as const;
    return { leaves, route: new AllFastestRoute(leaves) };
  };

  it("answers with the first reply that is no failure, and discards later ones", () => {
    const { leaves, route } = setUp();
    const asked = ask(route, "get k\r\n");
    leaves[0].answer(0, failures.timeout);
    expect(told(asked)).toBeNull();
    leaves[2].answer(0, valueText("k", "fast"));
    expect(told(asked)).toBe(valueText("k", "fast"));
    leaves[1].answer(0, valueText("k", "slow"));
    expect(told(asked)).toBe(valueText("k", "fast"));
  });

  it("accepts a miss and a client error as a reply", () => {
    for (const answer of ["NOT_FOUND\r\n", "CLIENT_ERROR no\r\n"]) {
      const { leaves, route } = setUp();
      const asked = ask(route, "incr k 1\r\n");
      leaves[1].answer(0, answer);
      expect(told(asked)).toBe(answer);
    }
  });

  it("answers with the last reply if all fail", () => {
    const { leaves, route } = setUp();
    const asked = ask(route, "set k 0 0 1\r\nx\r\n");
    leaves[2].answer(0, failures.timeout);
    leaves[0].answer(0, failures.tko);
    leaves[1].answer(0, failures.connectError);
    expect(told(asked)).toBe("SERVER_ERROR connection error\r\n");
  });

  it("still sends to all children if the first answers at once", () => {
    const { leaves, route } = setUp();
    leaves[0].script = () => "STORED\r\n";
    expect(told(ask(route, "set k 0 0 1\r\nx\r\n"))).toBe("STORED\r\n");
    for (const { sent } of leaves) expect(sent).toEqual(["set k 0 0 1\r\nx\r\n"]);
  });
});
