import { describe, expect, it } from "vitest";
import { ModifyExptimeRoute } from "../../../src/mcrouter/routes/modify-exptime-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

function sent(action: "set" | "min", exptime: number, frame: string): string {
  const leaf = new LeafRoute();
  ask(new ModifyExptimeRoute(leaf, action, exptime), frame);
  return leaf.sent[0]!;
}

describe("ModifyExptimeRoute", () => {
  it.each([
    ["set k 0 0 1\r\nx\r\n", "set k 0 60 1\r\nx\r\n"],
    ["set k 0 61 1\r\nx\r\n", "set k 0 60 1\r\nx\r\n"],
    ["set k 0 30 1\r\nx\r\n", "set k 0 30 1\r\nx\r\n"],
    ["set k 0 -1 1\r\nx\r\n", "set k 0 -1 1\r\nx\r\n"],
    ["ms k 1\r\nx\r\n", "ms k 1 T60\r\nx\r\n"],
    ["ms k 1 T30\r\nx\r\n", "ms k 1 T30\r\nx\r\n"],
    ["touch k 0\r\n", "touch k 60\r\n"],
    ["gat 90 k\r\n", "gat 60 k\r\n"],
    ["mg k v N90\r\n", "mg k v N60\r\n"],
    ["delete k\r\n", "delete k\r\n"],
    ["get k\r\n", "get k\r\n"],
  ])("limits the exptime, so that %j becomes %j", (frame, answer) => {
    expect(sent("min", 60, frame)).toBe(answer);
  });

  it.each([
    ["set k 0 30 1\r\nx\r\n", "set k 0 0 1\r\nx\r\n"],
    ["ms k 1 T30\r\nx\r\n", "ms k 1 T0\r\nx\r\n"],
    ["ms k 1\r\nx\r\n", "ms k 1\r\nx\r\n"],
    ["md k T30\r\n", "md k T30\r\n"],
  ])("sets the exptime, where 0 means never, so that %j becomes %j", (frame, answer) => {
    expect(sent("set", 0, frame)).toBe(answer);
  });

  it("can store items that have expired already", () => {
    expect(sent("set", -1, "set k 0 30 1\r\nx\r\n")).toBe("set k 0 -1 1\r\nx\r\n");
  });

  it("passes on the reply, including failures", () => {
    const leaf = new LeafRoute();
    const route = new ModifyExptimeRoute(leaf, "set", 5);
    const asked = [ask(route, "gat 90 k\r\n"), ask(route, "set k 0 1 1 noreply\r\nx\r\n")];
    leaf.answer(0, valueText("k", "x"));
    leaf.answer(1, failures.timeout);
    expect(asked.map(told)).toEqual([valueText("k", "x"), "SERVER_ERROR timeout\r\n"]);
  });
});
