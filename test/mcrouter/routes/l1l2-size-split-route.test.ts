/** Follows mcrouter's own tests (test_mcrouter_basic.py, TestMcrouterBasicL1L2SizeSplit). */
import { describe, expect, it } from "vitest";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { StoreLeaf } from "../../support/fakes/store-leaf.ts";
import { buildTree } from "../../support/rigs/built-tree.ts";
import { treeProblems } from "../../support/rigs/tree-config.ts";

const LARGE = "foo".repeat(200);
const pools = { L1: { servers: ["l1:1"] }, L2: { servers: ["l2:1"] } };

async function setUp(settings: object = {}) {
  const route = { type: "L1L2SizeSplitRoute", l1: "PoolRoute|L1", l2: "PoolRoute|L2", threshold: 500, ...settings };
  const tree = await buildTree({ pools, route }, (name) => new StoreLeaf(name), { asynclog_disable: "1" });
  const [l1, l2] = [tree.leaves.get("l1:1")!, tree.leaves.get("l2:1")!];
  const talk = (command: string) => told(ask(tree.root, `${command}\r\n`));
  const inL1 = (command: string) => told(ask(l1.store, `${command}\r\n`));
  const inL2 = (command: string) => told(ask(l2.store, `${command}\r\n`));
  return { tree, l1, l2, talk, inL1, inL2 };
}

const set = (key: string, value: string, flags = 0, exptime = 0) =>
  `set ${key} ${flags} ${exptime} ${value.length}\r\n${value}`;
const found = (key: string, value: string, flags = 0) => `VALUE ${key} ${flags} ${value.length}\r\n${value}\r\nEND\r\n`;
const casOf = (reply: string | null) => /^VALUE \S+ \d+ \d+ (\d+)/.exec(reply!)![1];

describe("L1L2SizeSplitRoute", () => {
  it("keeps small values in L1, and large values in L2 with an empty item with a flag in L1", async () => {
    const { talk, inL1, inL2 } = await setUp();
    expect(talk("get a")).toBe("END\r\n");
    expect([talk(set("a", "small", 7)), talk(set("b", LARGE, 7))]).toEqual(["STORED\r\n", "STORED\r\n"]);
    expect([inL1("get a"), inL2("get a")]).toEqual([found("a", "small", 7), "END\r\n"]);
    expect([inL1("get b"), inL2("get b")]).toEqual([found("b", "", 7 | 32), found("b", LARGE, 7)]);
    expect([talk("get a"), talk("get b")]).toEqual([found("a", "small", 7), found("b", LARGE, 7)]);
    expect(talk("get a none b")).toBe(found("a", "small", 7).replace("END\r\n", "") + found("b", LARGE, 7));
  });

  it("serves meta clients, also if they do not ask for the flags", async () => {
    const { talk, inL1 } = await setUp();
    expect(talk(`ms b ${LARGE.length} F7 T60\r\n${LARGE}`)).toBe("HD\r\n");
    expect(inL1("mg b f t v")).toBe("VA 0 f39 t60\r\n\r\n");
    expect(talk("mg b v")).toBe(`VA ${LARGE.length}\r\n${LARGE}\r\n`);
    expect(talk("mg b f s v t k")).toBe(`VA ${LARGE.length} f7 s${LARGE.length} t60 kb\r\n${LARGE}\r\n`);
    talk(set("n", "123"));
    expect(talk("mg n v")).toBe("VA 3\r\n123\r\n");
    talk(set("e", ""));
    expect(talk("mg e v f")).toBe("VA 0 f0\r\n\r\n");
  });

  it("stores the whole value in both if configured, and values that expire soon in L1", async () => {
    const both = await setUp({ both_full_set: true });
    both.talk(set("b", LARGE));
    expect([both.inL1("get b"), both.inL2("get b")]).toEqual([found("b", LARGE), found("b", LARGE)]);
    const soon = await setUp({ ttl_threshold: 60 });
    soon.talk(set("a", LARGE, 0, 59));
    soon.talk(set("b", LARGE, 0, 60));
    expect([soon.inL2("get a"), soon.inL2("get b")]).toEqual(["END\r\n", found("b", LARGE)]);
    const long = `${"k".repeat(232)}`;
    soon.talk(set(long, LARGE, 0, 100));
    expect(soon.inL1(`get ${long}`)).toBe(found(long, LARGE));
  });

  it("uses the cas of L1, and a cas stores in L1", async () => {
    const { talk, inL1 } = await setUp();
    talk(set("b", LARGE));
    const cas = casOf(talk("gets b"));
    expect(talk("gets b")).toBe(found("b", LARGE).replace("\r\n", ` ${cas}\r\n`));
    expect(talk(`cas b 0 0 3 ${cas}\r\nnew`)).toBe("STORED\r\n");
    expect([inL1("get b"), talk("get b")]).toEqual([found("b", "new"), found("b", "new")]);
    expect(talk(`cas b 0 0 3 ${cas}\r\nold`)).toBe("EXISTS\r\n");
  });

  it("answers with L2's failure or miss; gets removes a sentinel without a value", async () => {
    const { talk, inL1, inL2, l2 } = await setUp();
    talk(set("b", LARGE));
    l2.failure = failures.tko;
    expect(talk("get b")).toBe("END\r\n");
    expect(talk(set("c", LARGE))).toBe("SERVER_ERROR unavailable\r\n");
    expect(inL1("get c")).toBe("END\r\n");
    l2.failure = null;
    inL2("delete b");
    expect(talk("get b")).toBe("END\r\n");
    expect(inL1("get b")).toBe(found("b", "", 32));
    expect(talk("gets b")).toBe("END\r\n");
    expect(inL1("get b")).toBe("END\r\n");
  });

  it("reads the sentinels of mcrouter's lease-set, and removes them without a value", async () => {
    const { talk, inL1, inL2 } = await setUp();
    inL1(set("b", "123", 32));
    inL2(set("b|==|123", LARGE, 5));
    expect(talk("get b")).toBe(found("b", LARGE, 5));
    inL2("delete b|==|123");
    expect(talk("get b")).toBe("END\r\n");
    expect(inL1("get b")).toBe("END\r\n");
    inL1(set("w", "words", 32));
    expect(talk("get w")).toBe(found("w", "words", 32));
  });

  it("sends other commands to L1 only", async () => {
    const { tree, talk } = await setUp();
    for (const command of ["delete b", "touch b 5", "incr b 1", "gat 5 b", `add b 0 0 ${LARGE.length}\r\n${LARGE}`])
      talk(command);
    expect(Object.keys(tree.sent())).toEqual(["l1:1"]);
  });

  it("lets later requests for the key wait while a large value is stored", async () => {
    const { tree, l1, l2 } = await setUp();
    l2.isLate = true;
    const asked = [set("b", LARGE), set("b", "small"), "get b"].map((command) => ask(tree.root, `${command}\r\n`));
    expect(l1.sent).toEqual([]);
    l2.answerNext(false);
    expect(asked.map(told)).toEqual(["STORED\r\n", "STORED\r\n", found("b", "small")]);
  });

  it("refuses settings out of their bounds", async () => {
    const route = { type: "L1L2SizeSplitRoute", l1: "NullRoute", l2: "NullRoute", threshold: 1 };
    for (const wrong of [
      { threshold: "1" },
      { retries: 0 },
      { retries: 11 },
      { ttl_threshold: -1 },
      { failure_ttl: 0 },
    ]) {
      expect(await treeProblems({ route: { ...route, ...wrong } })).toHaveLength(1);
    }
    expect(await treeProblems({ route: { type: "L1L2SizeSplitRoute" } })).toHaveLength(3);
  });
});
