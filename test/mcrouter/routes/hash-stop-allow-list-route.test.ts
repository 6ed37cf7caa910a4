import { describe, expect, it } from "vitest";
import { HashStopAllowListRoute } from "../../../src/mcrouter/routes/hash-stop-allow-list-route.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

describe("HashStopAllowListRoute", () => {
  it("refuses a key with a hash stop, unless it has one of the allowed prefixes", () => {
    const leaf = new LeafRoute();
    leaf.script = () => "STORED\r\n";
    const route = new HashStopAllowListRoute(leaf, ["ok:", "fine"]);
    for (const key of ["plain", "ok:a|#|b", "fine|#|x", "a|#b"]) {
      expect(told(ask(route, `set ${key} 0 0 1\r\n1\r\n`))).toBe("STORED\r\n");
    }
    for (const key of ["a|#|b", "ok|#|b"]) {
      expect(told(ask(route, `set ${key} 0 0 1\r\n1\r\n`))).toBe("SERVER_ERROR Hash stop not permited\r\n");
    }
    expect(leaf.sent.length).toBe(4);
  });
});
