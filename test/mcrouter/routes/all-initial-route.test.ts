import { describe, expect, it } from "vitest";
import { AllInitialRoute } from "../../../src/mcrouter/routes/all-initial-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

describe("AllInitialRoute", () => {
  it("sends to all children and answers with the first child's reply, whenever the others answer, or never", () => {
    const leaves = [new LeafRoute(), new LeafRoute(), new LeafRoute()] as const;
    const asked = ask(new AllInitialRoute(leaves), "incr k 5\r\n");
    for (const { sent } of leaves) expect(sent).toEqual(["incr k 5\r\n"]);
    leaves[1].answer(0, "17\r\n");
    expect(told(asked)).toBeNull();
    leaves[0].answer(0, failures.tko);
    expect(told(asked)).toBe("SERVER_ERROR unavailable\r\n");
  });
});
