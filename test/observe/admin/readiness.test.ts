import { describe, expect, it } from "vitest";
import { Readiness } from "../../../src/observe/admin/readiness.ts";
import { type Siblings, Workers } from "../../../src/observe/siblings.ts";
import type { Backend } from "../../../src/proxy/backend/backend.ts";

const NOT_CONNECTED = "no server has been connected to yet";
const silent = { version: null, isUp: false } as unknown as Backend;

/** Over one server that has said nothing; `others` is what the workers say of theirs, null where there are none. */
function readiness(backends: readonly Backend[], others: readonly boolean[] | null = null): Readiness {
  const siblings: Siblings | null = others && {
    sockets: new Map(),
    ask: (_question, done) => done(others),
    onQuestion: () => {},
    onReplaced: () => {},
    onBeat: () => {},
    connectionsChanged: () => {},
    otherConnections: 0,
  };
  return new Readiness(() => backends, new Workers(siblings, () => true));
}

describe("readiness", () => {
  it("waits for a server, where there is one to wait for", async () => {
    expect([readiness([]).notReady(), await readiness([]).noneIsReady()]).toEqual([null, null]);
    expect(readiness([silent]).notReady()).toBe(NOT_CONNECTED);
    expect(await readiness([silent]).noneIsReady()).toBe(NOT_CONNECTED);
  });

  it("of all workers is had when one of them has connected", async () => {
    expect(await readiness([silent], [false, false]).noneIsReady()).toBe(NOT_CONNECTED);
    expect(await readiness([silent], [false, true]).noneIsReady()).toBeNull();
  });

  it("ends with a drain", async () => {
    const ready = readiness([]);
    ready.isDraining = true;
    expect([ready.notReady(), await ready.noneIsReady()]).toEqual(["draining", "draining"]);
    expect(ready.hasConnected()).toBe(true);
  });

  it("of all does not end when one drains whose place another has taken", async () => {
    const ready = readiness([]);
    ready.hasSuccessor = true;
    ready.isDraining = true;
    expect([ready.notReady(), await ready.noneIsReady()]).toEqual(["draining", null]);
    const late = readiness([silent], [false, true]);
    late.hasSuccessor = true;
    late.isDraining = true;
    expect(await late.noneIsReady()).toBeNull();
  });
});
