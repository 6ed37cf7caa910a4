import { describe, expect, it } from "vitest";
import { failures } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import { routeKeys } from "../../../src/proxy/route/multi-get.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

function setUp() {
  const leaf = new LeafRoute();
  const route = (request: Request) => routeKeys(request, request.keys!, leaf, true);
  return { leaf, route: { route } };
}

describe("a get of many keys with separate routes", () => {
  it("is answered in the order of the keys, whatever the order of the replies, and does not mix up large ones", () => {
    const { leaf, route } = setUp();
    const asked = ask(route, "gets a b c d\r\n");
    expect(leaf.sent).toEqual(["gets a\r\n", "gets b\r\n", "gets c\r\n", "gets d\r\n"]);
    leaf.answer(3, "VALUE d 1 2 5\r\ndd\r\nEND\r\n", true);
    leaf.answer(1, "END\r\n");
    leaf.answer(0, "VALUE a 1 1 6\r\na\r\nEND\r\n", true);
    expect(told(asked)).toBeNull();
    leaf.answer(2, "VALUE c 1 1 7\r\nc\r\nEND\r\n");
    expect(told(asked)).toBe("VALUE a 1 1 6\r\na\r\nVALUE c 1 1 7\r\nc\r\nVALUE d 1 2 5\r\ndd\r\nEND\r\n");
  });

  it("omits keys that fail, because an error between values would put clients out of step", () => {
    const { leaf, route } = setUp();
    const asked = ask(route, "get a b\r\n");
    leaf.answer(0, failures.timeout);
    leaf.answer(1, valueText("b", "x"));
    expect(told(asked)).toBe(valueText("b", "x"));
    const none = ask(route, "get a b\r\n");
    leaf.answer(2, failures.tko);
    leaf.answer(3, "SERVER_ERROR no\r\n");
    expect(told(none)).toBe("END\r\n");
  });

  it("does not return values of a command that failed half-way", () => {
    const leaf = new LeafRoute();
    const lanes = {
      mayShare: () => true,
      lane: (bytes: Buffer, start: number) => (bytes[start] === 0x63 ? 1 : 0),
      sendTo: (_lane: number, request: Request) => leaf.route(request),
    };
    const route = (request: Request) => routeKeys(request, request.keys!, { route: () => {}, lanes }, true);
    const asked = ask({ route }, "get a b c\r\n");
    const { blocks, blockEnds, failed } = asked.request.keys!;
    blocks[0] = Buffer.from("VALUE a 0 1\r\nx\r\n");
    blockEnds[0] = blocks[0].length;
    expect(failed).toBeNull();
    leaf.answer(0, failures.connectionLost);
    leaf.answer(1, valueText("c", "x"));
    expect(told(asked)).toBe(valueText("c", "x"));
    expect([...asked.request.keys!.failed!]).toEqual([0, 1]);
  });

  it("answers once if all keys are answered at once, and answers a repeated key each time", () => {
    const { leaf, route } = setUp();
    leaf.script = (sent) => valueText(/ (\S+)\r/.exec(sent)![1]!, "x");
    expect(told(ask(route, "get a b a\r\n"))).toBe(
      "VALUE a 0 1\r\nx\r\nVALUE b 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
    );
  });

  it("touches each key", () => {
    const { leaf, route } = setUp();
    ask(route, "gat 30 a b\r\n");
    expect(leaf.sent).toEqual(["gat 30 a\r\n", "gat 30 b\r\n"]);
  });
});
