import { describe, expect, it } from "vitest";
import { routeRefusals } from "../../src/mcrouter/config/route-refusals.ts";
import { handles, kindOfNode, routeKinds } from "../../src/mcrouter/handles.ts";

describe("the table of route kinds", () => {
  it("contains each type and each handle once", () => {
    const types = routeKinds.map(({ type }) => type);
    expect(types).toEqual([...new Set(types)]);
    const names = routeKinds.flatMap((kind) => Object.keys(kind.handles));
    expect(names).toEqual(Object.keys(handles));
    for (const { type } of routeKinds) expect(kindOfNode({ type }).type).toBe(type);
  });

  it("contains no refused handle", () => {
    expect(Object.keys(handles).filter((name) => name in routeRefusals)).toEqual([]);
  });
});
