import { beforeEach, describe, expect, it } from "vitest";
import { BackendError } from "../../../src/errors.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { TreePoolPort } from "../../../src/refresh/pool/tree-pool-port.ts";
import { base64 } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

let leaf: LeafRoute;
let port: TreePoolPort;

beforeEach(() => {
  leaf = new LeafRoute();
  port = new TreePoolPort(leaf, () => null);
});

const value = Buffer.from("new");

describe("TreePoolPort", () => {
  it("sends a set as a client would", async () => {
    const stored = port.add("k", "k", value, 30);
    expect(leaf.sent).toEqual(["set k 0 30 3\r\nnew\r\n"]);
    leaf.answer(0, "STORED\r\n");
    expect(await stored).toEqual({ result: "stored", cas: null });
    const refused = port.add("k", "k", value, 30);
    leaf.answer(1, "NOT_STORED\r\n");
    expect(await refused).toEqual({ result: "notStored" });
  });

  it("treats a meta refusal as a refusal, for binary keys", async () => {
    const refused = port.add("a b", "a b", value, 30);
    expect(leaf.sent).toEqual([`ms ${base64("a b")} 3 F0 T30 MS b\r\nnew\r\n`]);
    leaf.answer(0, "NS\r\n");
    expect(await refused).toEqual({ result: "notStored" });
  });

  it("rejects if the tree fails, and for a key that no server accepts", async () => {
    const failed = port.add("k", "k", value, 30);
    leaf.answer(0, failures.timeout);
    await expect(failed).rejects.toThrow(new BackendError("SERVER_ERROR timeout"));
    await expect(port.get(" ".repeat(250), " ".repeat(250))).rejects.toBeInstanceOf(BackendError);
    await expect(port.add(" ".repeat(250), " ".repeat(250), value, 1)).rejects.toBeInstanceOf(BackendError);
  });

  it("reads values", async () => {
    const [hit, miss] = [port.get("k", "k"), port.get("k", "k")];
    leaf.answer(0, "VALUE k 7 3\r\nold\r\nEND\r\n");
    leaf.answer(1, "END\r\n");
    expect([await hit, await miss]).toEqual([{ value: Buffer.from("old"), flags: 7 }, null]);
  });

  it("refreshes a value that no client has written since it was read", async () => {
    const read = port.read("k");
    leaf.answer(0, "HD\r\n");
    const item = await read;
    expect(item).toMatchObject({ ttlSeconds: null });
    const stored = port.cas("k", "k", value, 30, item!.cas);
    leaf.answer(1, "STORED\r\n");
    expect(await stored).toEqual({ result: "stored", cas: null });
    // Once: what was read then says nothing any more.
    expect(await port.cas("k", "k", value, 30, item!.cas)).toEqual({ result: "exists" });
  });

  it.each([
    ["before it was answered", (key: string) => port.noteWrite(key), true],
    ["after it was answered", (key: string) => port.noteWrite(key), false],
    ["by a flush", () => port.noteFlush(), false],
  ])("does not touch an item that was written since it was read: %s", async (_when, write, isEarly) => {
    const read = port.read("k");
    if (isEarly) write("k");
    leaf.answer(0, "HD\r\n");
    const item = await read;
    if (!isEarly) write("k");
    expect(await port.cas("k", "k", value, 30, item!.cas)).toEqual({ result: "exists" });
    expect(await port.deleteIf("k", "k", item!.cas)).toBe(false);
    expect(leaf.sent.length).toBe(1);
  });

  it("deletes and touches items", async () => {
    const read = port.read("k");
    leaf.answer(0, "HD\r\n");
    const deleted = port.deleteIf("k", "k", (await read)!.cas);
    leaf.answer(1, "DELETED\r\n");
    const [touched, missed] = [port.touch("k", 30), port.touch("k", 30)];
    leaf.answer(2, "HD\r\n");
    leaf.answer(3, "EN\r\n");
    expect([await deleted, await touched, await missed]).toEqual([true, true, false]);
    expect(leaf.sent).toEqual(["mg k\r\n", "delete k\r\n", "mg k T30\r\n", "mg k T30\r\n"]);
  });

  it("reads nothing on a miss", async () => {
    const read = port.read("k");
    leaf.answer(0, "EN\r\n");
    expect(await read).toBeNull();
  });
});
