import { describe, expect, it } from "vitest";
import { Readiness } from "../../../src/observe/admin/readiness.ts";
import type { Backend } from "../../../src/proxy/backend/backend.ts";

const NOT_CONNECTED = "no server has been connected to yet";
const silent = { version: null, isUp: false } as unknown as Backend;

/** `others` is true if a worker has connected to a server. `null` if there are no other workers. */
function readiness(backends: readonly Backend[], others: boolean | null = null): Readiness {
  return new Readiness(() => backends, others === null ? null : () => Promise.resolve(others));
}

describe("readiness", () => {
  it("waits for a server, if there is one to wait for", async () => {
    expect([readiness([]).notReady(), await readiness([]).noneIsReady()]).toEqual([null, null]);
    expect(readiness([silent]).notReady()).toBe(NOT_CONNECTED);
    expect(await readiness([silent]).noneIsReady()).toBe(NOT_CONNECTED);
  });

  it("of all workers begins when one of them has connected", async () => {
    expect(await readiness([silent], false).noneIsReady()).toBe(NOT_CONNECTED);
    expect(await readiness([silent], true).noneIsReady()).toBeNull();
  });

  it("ends with a drain", async () => {
    const ready = readiness([]);
    ready.isDraining = true;
    expect([ready.notReady(), await ready.noneIsReady()]).toEqual(["draining", "draining"]);
    expect(ready.hasConnected()).toBe(true);
  });

  it("of all workers continues if a worker drains that another has replaced", async () => {
    const ready = readiness([]);
    ready.hasSuccessor = true;
    ready.isDraining = true;
    expect([ready.notReady(), await ready.noneIsReady()]).toEqual(["draining", null]);
    const late = readiness([silent], true);
    late.hasSuccessor = true;
    late.isDraining = true;
    expect(await late.noneIsReady()).toBeNull();
  });
});
