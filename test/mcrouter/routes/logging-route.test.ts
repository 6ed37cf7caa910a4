import { describe, expect, it } from "vitest";
import { LoggingRoute } from "../../../src/mcrouter/routes/logging-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

describe("LoggingRoute", () => {
  it("passes on requests and logs the result of each", () => {
    const lines: string[] = [];
    const leaf = new LeafRoute();
    const route = new LoggingRoute(leaf, (line) => lines.push(line));
    const asked = [ask(route, "get k\r\n"), ask(route, "md k\r\n"), ask(route, "set k 0 0 1\r\nx\r\n")];
    leaf.answer(0, valueText("k", "four"));
    leaf.answer(1, "HD\r\n");
    leaf.answer(2, failures.timeout);
    expect(asked.map(told)).toEqual([valueText("k", "four"), "HD\r\n", "SERVER_ERROR timeout\r\n"]);
    expect(lines).toEqual(["get k found 4 bytes", "delete k deleted 0 bytes", "set k timeout 0 bytes"]);
  });
});
