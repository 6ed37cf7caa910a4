/** The expected children are those of mcrouter's own test (OriginalClientHashRouteTest.cpp). */
import { describe, expect, it } from "vitest";
import { OriginalClientHashRoute } from "../../../src/mcrouter/routes/original-client-hash-route.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { treeConfig, treeProblems } from "../../support/rigs/tree-config.ts";

function answer(frame: string, address: string | null, offset = 0): string | undefined {
  const leaves = ["a", "b", "c"].map((name) => {
    const leaf = new LeafRoute(name);
    leaf.script = () => `VALUE 0 0 1\r\n${name}\r\nEND\r\n`;
    return leaf;
  });
  const route = new OriginalClientHashRoute(leaves, offset);
  const asked = new Asked(frame);
  asked.request.clientAddress = address;
  asked.by((request) => route.route(request));
  return /\r\n([abc])\r\n/.exec(asked.answers[0]!.text)?.[1] ?? asked.answers[0]!.text;
}

describe("OriginalClientHashRoute", () => {
  it("selects the child by the client's address", () => {
    expect([0, 1, 2].map((offset) => answer("get 0\r\n", "::3", offset))).toEqual(["a", "b", "c"]);
    expect(answer("get 0\r\n", "::2", 2)).toBe("a");
  });

  it("refuses requests without a known address", () => {
    expect(answer("set 0 0 0 1\r\nx\r\n", null)).toBe("SERVER_ERROR Missing IP\r\n");
  });

  it("needs children, and an offset below their number", async () => {
    const route = { type: "OriginalClientHashRoute", children: ["NullRoute", "ErrorRoute"], offset: 1 };
    expect(await treeProblems({ route })).toEqual([]);
    expect(await treeProblems({ route: { ...route, offset: 2 } })).toHaveLength(1);
    expect(await treeProblems({ route: { ...route, children: [] } })).not.toEqual([]);
    expect(await treeProblems({ route: { type: "OriginalClientHashRoute" } })).not.toEqual([]);
    const { tree } = await treeConfig({ route: { type: "OriginalClientHashRoute", children: ["NullRoute"] } });
    expect([...tree!.routes.values()]).toEqual([{ type: "null" }]);
  });
});
