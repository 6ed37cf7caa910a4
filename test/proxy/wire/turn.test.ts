import { describe, expect, it } from "vitest";
import { type Flushable, Turn } from "../../../src/proxy/wire/turn.ts";

const turnOver = () => new Promise((resolve) => setImmediate(resolve));

describe("a turn", () => {
  it("flushes the registered objects once, in the order of registration, when it is over", async () => {
    const flushed: string[] = [];
    const turn = new Turn(() => 0);
    const member = (name: string): Flushable => ({ flush: () => flushed.push(name) });
    turn.join(member("a"));
    turn.join(member("b"));
    expect(flushed).toEqual([]);
    await turnOver();
    expect(flushed).toEqual(["a", "b"]);
    await turnOver();
    expect(flushed).toEqual(["a", "b"]);
  });

  it("leaves objects that register during its flush to the next turn", async () => {
    const flushed: string[] = [];
    const turn = new Turn(() => 0);
    const late: Flushable = { flush: () => flushed.push("late") };
    turn.join({
      flush: () => {
        flushed.push("first");
        turn.join(late);
      },
    });
    await turnOver();
    expect(flushed).toEqual(["first"]);
    await turnOver();
    expect(flushed).toEqual(["first", "late"]);
  });

  it("has a fixed time while an object waits, and the clock's time otherwise", async () => {
    let nowMs = 1;
    const turn = new Turn(() => nowMs);
    expect(turn.nowMs()).toBe(1);
    nowMs = 2;
    expect(turn.nowMs()).toBe(2);
    turn.join({ flush: () => {} });
    expect(turn.nowMs()).toBe(2);
    nowMs = 3;
    expect(turn.nowMs()).toBe(2);
    await turnOver();
    expect(turn.nowMs()).toBe(3);
  });
});
