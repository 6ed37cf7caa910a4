import { describe, expect, it } from "vitest";
import { HashRoute } from "../../../src/mcrouter/routes/hash-route.ts";
import { buildIndexPlacement } from "../../../src/proxy/hash/build.ts";
import { ask, base64 } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { vectors } from "../../support/vectors/mcrouter-vectors.ts";

describe("HashRoute", () => {
  const setUp = (count: number) => {
    const leaves = Array.from({ length: count }, () => new LeafRoute());
    const placement = { type: "ch3", salt: "" } as const;
    return { leaves, route: new HashRoute(leaves, buildIndexPlacement(placement, count), "ch3") };
  };

  it("asks the child that mcrouter would choose, by the key without its hash stop", () => {
    const at = vectors.sizes.indexOf(8);
    const texts = vectors.keys.filter(
      ({ prefix, hex }) => prefix === "" && /^[!-~]+$/.test(Buffer.from(hex, "hex").toString()),
    );
    expect(texts.length).toBeGreaterThan(50);
    for (const { hex, ch3 } of texts) {
      const { leaves, route } = setUp(8);
      ask(route, `set ${Buffer.from(hex, "hex").toString("latin1")} 0 0 1\r\nx\r\n`);
      expect(leaves.findIndex(({ sent }) => sent.length === 1)).toBe(ch3[at]);
    }
  });

  it("uses the key's bytes, however the client wrote it", () => {
    const { leaves, route } = setUp(8);
    for (const frame of ["get some-key\r\n", `mg ${base64("some-key")} b v\r\n`, "delete some-key noreply\r\n"]) {
      ask(route, frame);
    }
    expect(leaves.filter(({ sent }) => sent.length > 0).map(({ sent }) => sent.length)).toEqual([3]);
    expect(route.name).toBe("selection|Ch3");
  });
});
