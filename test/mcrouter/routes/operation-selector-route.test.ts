import { describe, expect, it } from "vitest";
import { OperationSelectorRoute } from "../../../src/mcrouter/routes/operation-selector-route.ts";
import { Operation } from "../../../src/proxy/request.ts";
import { resultOf } from "../../../src/proxy/route/result.ts";
import { ask, binaryGet, binarySet, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

function setUp(hasDefault = true) {
  const [get, gat, set, otherwise] = [
    new LeafRoute("get"),
    new LeafRoute("gat"),
    new LeafRoute("set"),
    new LeafRoute("default"),
  ];
  const policies = new Map([
    [Operation.get, get],
    [Operation.gets, get],
    [Operation.gat, gat],
    [Operation.set, set],
  ]);
  const leaves = [get, gat, set, otherwise];
  const route = new OperationSelectorRoute(policies, hasDefault ? otherwise : null);
  const chosen = (frame: string | Buffer) => {
    const before = leaves.map(({ sent }) => sent.length);
    ask(route, frame);
    return leaves.find(({ sent }, i) => sent.length > before[i]!)?.name;
  };
  return { route, chosen };
}

describe("OperationSelectorRoute", () => {
  it.each([
    ["get k\r\n", "get"],
    ["mg k v\r\n", "get"],
    ["gat 3 k\r\n", "gat"],
    ["mg k v T3\r\n", "gat"],
    ["set k 0 0 1 noreply\r\nx\r\n", "set"],
    ["ms k 1\r\nx\r\n", "set"],
    ["ms k 1 ME\r\nx\r\n", "default"],
    ["delete k\r\n", "default"],
    ["me k\r\n", "default"],
  ])("sends %j to %s", (frame, name) => {
    expect(setUp().chosen(frame)).toBe(name);
  });

  it("treats a binary request like the classic one", () => {
    const { chosen } = setUp();
    expect([chosen(binaryGet("k")), chosen(binarySet("k", "x"))]).toEqual(["get", "set"]);
  });

  it("answers commands without a policy as mcrouter does, which triggers no failover", () => {
    const { route } = setUp(false);
    expect(told(ask(route, "delete k\r\n"))).toBe("SERVER_ERROR unexpected result mc_res_unknown (0) for delete\r\n");
    let result: string | null = null;
    const seen = {
      route: (request: Parameters<typeof route.route>[0]) => {
        request.push({
          onReply: (sent, reply) => {
            result = resultOf(sent, reply);
            sent.complete(reply);
          },
        });
        route.route(request);
      },
    };
    ask(seen, "incr k 1\r\n");
    expect(result).toBe("unknown");
  });
});
