import { describe, expect, it } from "vitest";
import { DevNullRoute, ErrorRoute, NullRoute } from "../../../src/proxy/route/null-route.ts";
import { newRouteCounters } from "../../../src/proxy/route/route-counters.ts";
import { ask, binaryGet, told } from "../../support/fakes/ask.ts";

describe("NullRoute and DevNullRoute", () => {
  it("answer every command as if the item did not exist, and DevNullRoute counts requests", () => {
    const counters = newRouteCounters();
    const devNull = new DevNullRoute(counters);
    for (const route of [new NullRoute(), devNull]) {
      expect(["get k\r\n", "set k 0 0 1\r\nx\r\n", "delete k\r\n"].map((frame) => told(ask(route, frame)))).toEqual([
        "END\r\n",
        "NOT_STORED\r\n",
        "NOT_FOUND\r\n",
      ]);
    }
    expect(counters.devNullRequests).toBe(3);
    expect([new NullRoute().name, devNull.name]).toEqual(["null", "devnull"]);
  });
});

describe("ErrorRoute", () => {
  it("answers everything with its error, and gets with a miss", () => {
    const route = new ErrorRoute("local_error", "go away", true);
    expect(told(ask(route, "set k 0 0 1\r\nx\r\n"))).toBe("SERVER_ERROR go away\r\n");
    expect(told(ask(route, "ms k 1 q\r\nx\r\n"))).toBe("SERVER_ERROR go away\r\n");
    expect(told(ask(route, "get k\r\n"))).toBe("END\r\n");
    expect(told(ask(route, "mg k v k\r\n"))).toBe("EN kk\r\n");
    expect(Buffer.from(told(ask(route, binaryGet("k")))!, "latin1").readUInt16BE(6)).toBe(1);
  });

  it("uses the standard text of its result if it has no text", () => {
    expect(told(ask(new ErrorRoute("timeout", "", true), "delete k\r\n"))).toBe("SERVER_ERROR timeout\r\n");
    expect(told(ask(new ErrorRoute("bad_key", "", true), "delete k\r\n"))).toBe("CLIENT_ERROR bad key\r\n");
  });

  it("shows its result and text in its name", () => {
    expect([new ErrorRoute("timeout", "", true).name, new ErrorRoute("local_error", "no", false).name]).toEqual([
      "error|log|mc_res_timeout",
      "error|no-log|mc_res_local_error|no",
    ]);
  });
});
