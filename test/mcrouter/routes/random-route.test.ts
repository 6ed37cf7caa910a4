import { describe, expect, it } from "vitest";
import { RandomRoute } from "../../../src/mcrouter/routes/random-route.ts";
import { ask } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

describe("RandomRoute", () => {
  it("asks one of its children at random, each with the same probability", () => {
    const leaves = [new LeafRoute(), new LeafRoute(), new LeafRoute()] as const;
    const chances = [0, 0.34, 0.67, 0.999, 0.32];
    const route = new RandomRoute(leaves, () => chances.shift()!);
    for (let i = 0; i < 5; i++) ask(route, "get k\r\n");
    expect(leaves.map(({ sent }) => sent.length)).toEqual([2, 1, 2]);
  });
});
