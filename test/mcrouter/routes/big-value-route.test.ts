import { describe, expect, it } from "vitest";
import { BigValueRoute } from "../../../src/mcrouter/routes/big-value-route.ts";
import { spooky32 } from "../../../src/proxy/hash/spooky.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, base64, binaryGet, binarySet, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { StoreLeaf } from "../../support/fakes/store-leaf.ts";

function setUp(batchSize = 10, thresholdBytes = 4, hidesFlag = false) {
  const leaf = new LeafRoute();
  return { leaf, route: new BigValueRoute(leaf, { thresholdBytes, batchSize, hidesFlag }) };
}

const value = "0123456789";
const suffix = spooky32(Buffer.from(value), 0, value.length, 0);
const stub = `1-3-${suffix}`;
const parts = ["0123", "4567", "89"];
const partKeys = parts.map((_, i) => `k:${i}:${suffix}`);
const partText = (i: number) => `VALUE ${partKeys[i]} 0 ${parts[i]!.length}\r\n${parts[i]}\r\nEND\r\n`;

describe("BigValueRoute", () => {
  it("stores a large value in parts, with the client's flags and exptime, then a stub under the key", () => {
    const { leaf, route } = setUp();
    const asked = ask(route, `cas k 5 60 10 77 noreply\r\n${value}\r\n`);
    expect(leaf.sent).toEqual(parts.map((part, i) => `set ${partKeys[i]} 5 60 ${part.length}\r\n${part}\r\n`));
    for (const [i] of parts.entries()) leaf.answer(i, "STORED\r\n");
    expect(leaf.sent[3]).toBe(`cas k ${5 | 0x8000} 60 ${stub.length} 77\r\n${stub}\r\n`);
    leaf.answer(3, "EXISTS\r\n");
    expect(told(asked)).toBe("EXISTS\r\n");
  });

  it("stores values of meta and binary clients in the same way", () => {
    const { leaf, route } = setUp();
    ask(route, `ms k 10 T60 F5 c\r\n${value}\r\n`);
    for (let i = 0; i < 3; i++) leaf.answer(i, "STORED\r\n");
    leaf.answer(3, "HD c1\r\n");
    ask(route, binarySet("k", value, 5));
    for (let i = 4; i < 7; i++) leaf.answer(i, "STORED\r\n");
    expect(leaf.sent).toEqual([
      ...parts.map((part, i) => `set ${partKeys[i]} 5 60 ${part.length}\r\n${part}\r\n`),
      `ms k ${stub.length} T60 F${5 | 0x8000} c\r\n${stub}\r\n`,
      ...parts.map((part, i) => `set ${partKeys[i]} 5 0 ${part.length}\r\n${part}\r\n`),
      `ms k ${stub.length} F${5 | 0x8000} T0 c MS\r\n${stub}\r\n`,
    ]);
  });

  it("keeps the order of waiting requests if the reply to the previous one triggers another", () => {
    const { leaf, route } = setUp();
    const large = ask(route, `set k 0 0 10\r\n${value}\r\n`);
    const waiting = [ask(route, "set k 0 0 1\r\n1\r\n"), ask(route, "set k 0 0 1\r\n2\r\n")];
    large.onAnswer = () => void ask(route, "set k 0 0 1\r\n3\r\n");
    waiting[0]!.onAnswer = () => void ask(route, "set k 0 0 1\r\n4\r\n");
    for (let i = 0; i < 3; i++) leaf.answer(i, "STORED\r\n");
    leaf.script = () => "STORED\r\n";
    leaf.answer(3, "STORED\r\n");
    expect(leaf.sent.slice(4)).toEqual(["1", "2", "3", "4"].map((data) => `set k 0 0 1\r\n${data}\r\n`));
  });

  it("keeps requests waiting if one of the waiting requests is large, too", () => {
    const { leaf, route } = setUp();
    ask(route, `set k 0 0 10\r\n${value}\r\n`);
    ask(route, `set k 0 0 10\r\n${value}\r\n`);
    ask(route, "set k 0 0 1\r\n1\r\n");
    for (let i = 0; i < 4; i++) leaf.answer(i, "STORED\r\n");
    expect(leaf.sent.length).toBe(7);
    for (let i = 4; i < 8; i++) leaf.answer(i, "STORED\r\n");
    expect(leaf.sent.slice(7)).toEqual([`set k ${0x8000} 0 ${stub.length}\r\n${stub}\r\n`, "set k 0 0 1\r\n1\r\n"]);
  });

  it("sends the configured number of parts at a time", () => {
    const { leaf, route } = setUp(2);
    ask(route, `set k 0 0 10\r\n${value}\r\n`);
    expect(leaf.sent.length).toBe(2);
    leaf.answer(1, "STORED\r\n");
    expect(leaf.sent.length).toBe(2);
    leaf.answer(0, "STORED\r\n");
    expect(leaf.sent.length).toBe(3);
  });

  it("stores nothing more after a part failed, and answers with the worst reply", () => {
    const { leaf, route } = setUp();
    const failed = ask(route, `set k 0 0 10\r\n${value}\r\n`);
    for (const i of [0, 2]) leaf.answer(i, "STORED\r\n");
    leaf.answer(1, failures.timeout);
    const refused = ask(route, `ms k 10 O1\r\n${value}\r\n`);
    for (const i of [3, 4]) leaf.answer(i, "STORED\r\n");
    leaf.answer(5, "NOT_STORED\r\n");
    expect([told(failed), told(refused), leaf.sent.length]).toEqual(["SERVER_ERROR timeout\r\n", "NS O1\r\n", 6]);
  });

  it("passes on small values, and those whose flags or numbers a server might refuse", () => {
    const { leaf, route } = setUp();
    const frames = ["set k 0 0 4\r\n0123\r\n", `ms k 10 T\r\n${value}\r\n`, `ms k 10 Zz\r\n${value}\r\n`];
    for (const frame of frames) ask(route, frame);
    expect(leaf.sent).toEqual(frames);
  });

  it("passes on keys whose part keys would be too long, in base64 as they are sent", () => {
    const { leaf, route } = setUp();
    ask(route, `set ${"k".repeat(224)} 0 0 10\r\n${value}\r\n`);
    ask(route, `ms ${base64(" ".repeat(170))} 10 b\r\n${value}\r\n`);
    expect(leaf.sent.map((sent) => sent.slice(0, 3))).toEqual(["set", "ms "]);
    expect(leaf.sent.every((sent) => sent.endsWith(`${value}\r\n`))).toBe(true);
  });

  it.each([
    ["get k\r\n", `VALUE k 32773 ${stub.length}\r\n${stub}\r\nEND\r\n`, `VALUE k 32773 10\r\n${value}\r\nEND\r\n`],
    ["gets k\r\n", `VALUE k 32773 ${stub.length} 9\r\n${stub}\r\nEND\r\n`, `VALUE k 32773 10 9\r\n${value}\r\nEND\r\n`],
    [
      "mg k v f s c\r\n",
      `VA ${stub.length} f32773 s${stub.length} c9\r\n${stub}\r\n`,
      `VA 10 f32773 s10 c9\r\n${value}\r\n`,
    ],
    ["mg k v k\r\n", `VA ${stub.length} kk\r\n${stub}\r\n`, `VA 10 kk\r\n${value}\r\n`],
  ])("returns the parts as one value to %j", (frame, first, answer) => {
    const { leaf, route } = setUp();
    const asked = ask(route, frame);
    leaf.answer(0, first);
    expect(leaf.sent.slice(1)).toEqual(partKeys.map((key) => `get ${key}\r\n`));
    for (const i of [2, 0, 1]) leaf.answer(i + 1, partText(i), i === 2);
    expect(told(asked)).toBe(answer);
  });

  it("answers with a miss if a part is missing, and with the failure if one failed", () => {
    const { leaf, route } = setUp();
    const [missed, failed] = [ask(route, "get k\r\n"), ask(route, "incr n 1\r\n")];
    leaf.answer(0, `VALUE k 32768 ${stub.length}\r\n${stub}\r\nEND\r\n`);
    leaf.answer(1, "7\r\n");
    leaf.answer(2, partText(0));
    leaf.answer(3, "END\r\n");
    leaf.answer(4, partText(2));
    expect([told(missed), told(failed)]).toEqual(["END\r\n", "7\r\n"]);
    const slow = ask(route, "get k\r\n");
    leaf.answer(5, `VALUE k 32768 ${stub.length}\r\n${stub}\r\nEND\r\n`);
    for (const i of [6, 8]) leaf.answer(i, partText(i - 6));
    leaf.answer(7, failures.timeout);
    expect(slow.answers[0]!.status).toBe(22);
  });

  it("returns a value that only looks like a stub unchanged", () => {
    const { leaf, route } = setUp();
    const asked = [ask(route, "get k\r\n"), ask(route, "mg k v f\r\n"), ask(route, "mg k v\r\n")];
    leaf.answer(0, `VALUE k 0 5\r\n1-1-5\r\nEND\r\n`);
    leaf.answer(1, "VA 5 f0\r\n1-1-5\r\n");
    leaf.answer(2, "VA 5\r\n1-1-5\r\n");
    expect(leaf.sent[3]).toBe("get k:0:5\r\n");
    leaf.answer(3, "END\r\n");
    expect(leaf.sent[4]).toBe("mg k f\r\n");
    leaf.answer(4, "HD f0\r\n");
    expect(asked.map(told)).toEqual(["VALUE k 0 5\r\n1-1-5\r\nEND\r\n", "VA 5 f0\r\n1-1-5\r\n", "VA 5\r\n1-1-5\r\n"]);
  });

  it.each(["HD f32768\r\n", "EN\r\n", failures.timeout])(
    "answers a meta get without flags as a miss when a part is missing and its flags do not show a plain value: %j",
    (answer) => {
      const { leaf, route } = setUp();
      const asked = ask(route, "mg k v k O7\r\n");
      leaf.answer(0, `VA ${stub.length} kk O7\r\n${stub}\r\n`);
      for (const i of [1, 3]) leaf.answer(i, partText(i - 1));
      leaf.answer(2, "END\r\n");
      leaf.answer(4, answer);
      expect(told(asked)).toBe("EN kk O7\r\n");
    },
  );

  it("delays later requests for a key while its value is being stored in parts, and answers them in order", () => {
    const { leaf, route } = setUp();
    const first = ask(route, `set k 0 0 10 noreply\r\n${value}\r\n`);
    const second = ask(route, "set k 0 0 1\r\nx\r\n");
    const third = ask(route, "get k\r\n");
    const other = ask(route, "get other\r\n");
    expect(leaf.sent.slice(3)).toEqual(["get other\r\n"]);
    leaf.answer(3, "END\r\n");
    expect(told(other)).toBe("END\r\n");
    for (let i = 0; i < 3; i++) leaf.answer(i, "STORED\r\n");
    expect(leaf.sent.slice(4)).toEqual([`set k 32768 0 ${stub.length}\r\n${stub}\r\n`]);
    leaf.answer(4, "STORED\r\n");
    expect(told(first)).toBe("STORED\r\n");
    expect(leaf.sent.slice(5)).toEqual(["set k 0 0 1\r\nx\r\n", "get k\r\n"]);
    leaf.answer(5, "STORED\r\n");
    leaf.answer(6, "VALUE k 0 1\r\nx\r\nEND\r\n");
    expect([told(second), told(third)]).toEqual(["STORED\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"]);
  });

  it("answers a get of a marked value in another form with a miss", () => {
    const { leaf, route } = setUp();
    const asked = ask(route, "get k\r\n");
    leaf.answer(0, "VALUE k 32768 3\r\nold\r\nEND\r\n");
    expect(told(asked)).toBe("END\r\n");
  });

  it.each([
    ["get k", "VALUE k 5 10\r\n0123456789\r\nEND\r\n"],
    ["gets k", "VALUE k 5 10 9\r\n0123456789\r\nEND\r\n"],
    ["mg k v f s", "VA 10 f5 s10\r\n0123456789\r\n"],
    ["mg k v s", "VA 10 s10\r\n0123456789\r\n"],
  ])("hides its mark from the client if configured: %s", (command, expected) => {
    const { leaf, route } = setUp(10, 4, true);
    const asked = ask(route, `${command}\r\n`);
    const marked = 5 | 0x8000;
    const meta = command.includes(" f ")
      ? `VA ${stub.length} f${marked} s${stub.length}`
      : `VA ${stub.length} s${stub.length}`;
    const cas = command.startsWith("gets") ? " 9" : "";
    const end = command.startsWith("mg") ? "" : "END\r\n";
    leaf.answer(
      0,
      `${command.startsWith("mg") ? meta : `VALUE k ${marked} ${stub.length}${cas}`}\r\n${stub}\r\n${end}`,
    );
    for (let i = 0; i < 3; i++) leaf.answer(1 + i, partText(i));
    expect(told(asked)).toBe(expected);
  });

  it("returns the stored value, through a server, in thousands of parts", () => {
    const store = new StoreLeaf();
    const route = new BigValueRoute(store, { thresholdBytes: 10, batchSize: 10, hidesFlag: false });
    const large = Array.from({ length: 60_000 }, (_, i) => String(i % 10)).join("");
    expect(told(ask(route, `set k 3 0 ${large.length}\r\n${large}\r\n`))).toBe("STORED\r\n");
    expect(told(ask(route, "get k\r\n"))).toBe(`VALUE k 32771 ${large.length}\r\n${large}\r\nEND\r\n`);
    const binary = Buffer.from(told(ask(route, binaryGet("k")))!, "latin1");
    expect(binary.toString("latin1", 28)).toBe(large);
    store.failure = failures.tko;
    expect(told(ask(route, `set k 3 0 ${large.length}\r\n${large}\r\n`))).toBe("SERVER_ERROR unavailable\r\n");
  });
});
