import { describe, expect, it } from "vitest";
import { AllMajorityRoute } from "../../../src/mcrouter/routes/all-majority-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

describe("AllMajorityRoute", () => {
  const setUp = (count: number) => {
    const leaves = Array.from({ length: count }, () => new LeafRoute());
    return { leaves, route: new AllMajorityRoute(leaves) };
  };

  it("answers as soon as more than half of the replies agree, with the first of them", () => {
    const { leaves, route } = setUp(3);
    const asked = ask(route, "get k\r\n");
    leaves[0]!.answer(0, valueText("k", "first"), true);
    leaves[1]!.answer(0, "END\r\n");
    expect(told(asked)).toBeNull();
    leaves[2]!.answer(0, valueText("k", "second"));
    expect(told(asked)).toBe(valueText("k", "second"));
  });

  it("needs more than half, so two of four are not enough", () => {
    const { leaves, route } = setUp(4);
    const asked = ask(route, "delete k\r\n");
    leaves[0]!.answer(0, "DELETED\r\n");
    leaves[1]!.answer(0, "DELETED\r\n");
    expect(told(asked)).toBeNull();
    leaves[2]!.answer(0, "DELETED\r\n");
    expect(told(asked)).toBe("DELETED\r\n");
    leaves[3]!.answer(0, failures.timeout);
    expect(told(asked)).toBe("DELETED\r\n");
  });

  it("answers with the most frequent reply without a majority, and with the worse of two equally frequent ones", () => {
    const { leaves, route } = setUp(4);
    const asked = ask(route, "delete k\r\n");
    leaves[0]!.answer(0, "NOT_FOUND\r\n");
    leaves[1]!.answer(0, "DELETED\r\n");
    leaves[2]!.answer(0, "DELETED\r\n");
    leaves[3]!.answer(0, "NOT_FOUND\r\n");
    expect(told(asked)).toBe("NOT_FOUND\r\n");
  });
});
