import { describe, expect, it } from "vitest";
import { WarmUpRoute } from "../../../src/mcrouter/routes/warm-up-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, base64, binaryGet, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

function setUp(exptime: number | null = 0) {
  const cold = new LeafRoute("cold");
  const warm = new LeafRoute("warm");
  return { cold, warm, route: new WarmUpRoute(cold, warm, exptime) };
}

describe("WarmUpRoute", () => {
  it("answers with cold's hit", () => {
    const { cold, warm, route } = setUp();
    const asked = ask(route, "get k\r\n");
    cold.answer(0, valueText("k", "x"));
    expect([told(asked), warm.sent]).toEqual([valueText("k", "x"), []]);
  });

  it("answers a cold miss from warm, and adds the value to cold without waiting", () => {
    const { cold, warm, route } = setUp(60);
    const asked = ask(route, "get k\r\n");
    cold.answer(0, "END\r\n");
    expect(warm.sent).toEqual(["get k\r\n"]);
    warm.answer(0, "VALUE k 9 3\r\nold\r\nEND\r\n", true);
    expect(told(asked)).toBe("VALUE k 9 3\r\nold\r\nEND\r\n");
    expect(cold.sent).toEqual(["get k\r\n", "add k 9 60 3\r\nold\r\n"]);
    cold.answer(1, "NOT_STORED\r\n");
  });

  it("answers a plain get with warm's reply: a miss even if cold failed, a failure even if cold missed", () => {
    for (const frame of ["get k\r\n", "mg k v\r\n"]) {
      const { cold, warm, route } = setUp();
      const [missed, failed] = [ask(route, frame), ask(route, frame)];
      cold.answer(0, failures.timeout);
      cold.answer(1, frame === "get k\r\n" ? "END\r\n" : "EN\r\n");
      warm.answer(0, "END\r\n");
      warm.answer(1, failures.connectError);
      expect([missed.answers[0]!.status, failed.answers[0]!.status]).toEqual([frame === "get k\r\n" ? 2 : 11, 24]);
    }
  });

  it("answers a meta get in the requested form", () => {
    const { cold, warm, route } = setUp();
    const asked = ask(route, "mg k k v f s q O5\r\n");
    cold.answer(0, "EN kk O5\r\n");
    warm.answer(0, "VALUE k 9 3\r\nold\r\nEND\r\n");
    expect(told(asked)).toBe("VA 3 kk f9 s3 O5\r\nold\r\n");
  });

  it.each([
    ["gets k\r\n", "END\r\n", "VALUE k 9 3 77\r\nold\r\nEND\r\n", 60],
    ["gat 30 k\r\n", "END\r\n", "VALUE k 9 3\r\nold\r\nEND\r\n", 30],
    ["gats 30 k\r\n", "END\r\n", "VALUE k 9 3 77\r\nold\r\nEND\r\n", 30],
    ["mg k v c\r\n", "EN\r\n", "VA 3 c77\r\nold\r\n", 60],
    ["mg k v t\r\n", "EN\r\n", "VA 3 t60\r\nold\r\n", 60],
    ["mg k v T30\r\n", "EN\r\n", "VA 3\r\nold\r\n", 30],
  ])("adds the value to cold for %j, and asks cold again", (frame, miss, answer, exptime) => {
    const { cold, warm, route } = setUp(60);
    const asked = ask(route, frame);
    cold.answer(0, miss);
    expect(warm.sent).toEqual(["get k\r\n"]);
    warm.answer(0, "VALUE k 9 3\r\nold\r\nEND\r\n");
    expect(cold.sent[1]).toBe(`add k 9 ${exptime} 3\r\nold\r\n`);
    expect(told(asked)).toBeNull();
    cold.answer(1, "STORED\r\n");
    expect(cold.sent[2]).toBe(frame);
    cold.answer(2, answer);
    expect(told(asked)).toBe(answer);
  });

  it("answers gets, gat and gats with cold's reply if warm has no value", () => {
    const { cold, warm, route } = setUp();
    const asked = ask(route, "gats 5 k\r\n");
    cold.answer(0, failures.timeout);
    warm.answer(0, "END\r\n");
    expect(asked.answers[0]!.status).toBe(22);
  });

  it("uses the item's remaining TTL in warm if no exptime is configured", () => {
    const { cold, warm, route } = setUp(null);
    const asked = ask(route, "get k\r\n");
    cold.answer(0, "END\r\n");
    warm.answer(0, valueText("k", "old"));
    expect(told(asked)).toBe(valueText("k", "old"));
    expect(warm.sent[1]).toBe("mg k t\r\n");
    warm.answer(1, "HD t42\r\n");
    expect(cold.sent[1]).toBe("add k 0 42 3\r\nold\r\n");
    ask(route, "get k\r\n");
    cold.answer(2, "END\r\n");
    warm.answer(2, valueText("k", "old"));
    warm.answer(3, "HD t-1\r\n");
    expect(cold.sent[3]).toBe("add k 0 0 3\r\nold\r\n");
    // Gone meanwhile: nothing is added, and gets is told of the miss.
    const gets = ask(route, "gets k\r\n");
    cold.answer(4, "END\r\n");
    warm.answer(4, valueText("k", "old"));
    warm.answer(5, "EN\r\n");
    expect([told(gets), cold.sent.length]).toEqual(["END\r\n", 5]);
  });

  it("sends writes only to cold", () => {
    const { cold, warm, route } = setUp();
    for (const frame of ["set k 0 0 1\r\nx\r\n", "delete k\r\n", "touch k 3\r\n", "mg k T3\r\n", "ma k\r\n"])
      ask(route, frame);
    expect([cold.sent.length, warm.sent.length]).toEqual([5, 0]);
  });

  it("asks warm for the data of me", () => {
    const { cold, warm, route } = setUp();
    const asked = ask(route, "me k\r\n");
    cold.answer(0, "EN\r\n");
    warm.answer(0, "ME k exp=-1 la=2 cas=9 fetch=no cls=1 size=63\r\n");
    expect(told(asked)).toBe("ME k exp=-1 la=2 cas=9 fetch=no cls=1 size=63\r\n");
  });

  it("supports binary keys, for classic clients in their form", () => {
    const key = "a\x01b";
    const { cold, warm, route } = setUp(5);
    const [hit, miss] = [ask(route, `get ${key}\r\n`), ask(route, `get ${key}\r\n`)];
    cold.answer(0, "END\r\n");
    cold.answer(1, "END\r\n");
    expect(warm.sent[0]).toBe(`mg ${base64(key)} v f b\r\n`);
    warm.answer(0, "VA 3 f9\r\nold\r\n");
    expect(told(hit)).toBe(`VALUE ${key} 9 3\r\nold\r\nEND\r\n`);
    expect(cold.sent[2]).toBe(`ms ${base64(key)} 3 F9 T5 ME b\r\nold\r\n`);
    warm.answer(1, "EN\r\n");
    expect(told(miss)).toBe("END\r\n");
  });

  it("passes on a key that cannot be sent in base64", () => {
    const { cold, warm, route } = setUp(5);
    const asked = ask(route, `get ${"\x01".repeat(250)}\r\n`);
    cold.answer(0, "END\r\n");
    expect([told(asked), warm.sent]).toEqual(["END\r\n", []]);
  });

  it("supports binary clients", () => {
    const { cold, warm, route } = setUp(5);
    const asked = ask(route, binaryGet("k"));
    cold.answer(0, "END\r\n");
    warm.answer(0, valueText("k", "old"));
    cold.answer(1, "STORED\r\n");
    cold.answer(2, "VALUE k 0 3 88\r\nold\r\nEND\r\n");
    const answer = Buffer.from(told(asked)!, "latin1");
    expect([answer.readUInt16BE(6), answer.readBigUInt64BE(16), answer.toString("latin1", 28)]).toEqual([
      0,
      88n,
      "old",
    ]);
  });
});
