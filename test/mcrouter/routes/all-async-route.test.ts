import { describe, expect, it } from "vitest";
import { AllAsyncRoute } from "../../../src/mcrouter/routes/all-async-route.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

describe("AllAsyncRoute", () => {
  it.each([
    ["set k 0 0 1\r\nx\r\n", "NOT_STORED\r\n", "STORED\r\n"],
    ["delete k\r\n", "NOT_FOUND\r\n", "DELETED\r\n"],
    ["mg k v k\r\n", "EN kk\r\n", "VA 1 kk\r\nx\r\n"],
  ])("sends %j to all children and answers %j at once", (frame, answer, late) => {
    const leaves = [new LeafRoute(), new LeafRoute()] as const;
    const asked = ask(new AllAsyncRoute(leaves), frame);
    for (const { sent } of leaves) expect(sent).toEqual([frame]);
    expect(told(asked)).toBe(answer);
    for (const leaf of leaves) leaf.answer(0, late);
    expect(told(asked)).toBe(answer);
  });
});
