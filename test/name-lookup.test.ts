import { beforeEach, describe, expect, it } from "vitest";
import type { LookUpAll } from "../src/name-cache.ts";
import { lookUpBothWays } from "../src/name-lookup.ts";
import { ManualClock } from "./support/fakes/manual-clock.ts";

type Done = Parameters<LookUpAll>[1];

let clock: ManualClock;
let system: Map<string, Done>;
let direct: Map<string, Done>;
let lookUp: LookUpAll;
let results: string[];

const four = (address: string) => [{ address, family: 4 }];
const failure = Object.assign(new Error("not found"), { code: "ENOTFOUND" });

beforeEach(() => {
  clock = new ManualClock();
  system = new Map();
  direct = new Map();
  results = [];
  lookUp = lookUpBothWays({
    system: (host, done) => system.set(host, done),
    direct: (host, done) => direct.set(host, done),
    clock,
  });
});

function ask(host: string): void {
  lookUp(host, (error, addresses) => results.push(`${host} ${error?.code ?? addresses[0]?.address}`));
}

describe("lookUpBothWays", () => {
  it("asks only the system if it answers soon", () => {
    ask("a");
    system.get("a")!(null, four("1.1.1.1"));
    clock.advance(1_000);
    expect(results).toEqual(["a 1.1.1.1"]);
    expect(direct.size).toBe(0);
  });

  it("answers from DNS while names hang in the system's lookup", () => {
    for (const host of ["hangs1", "hangs2", "healthy"]) ask(host);
    clock.advance(100);
    direct.get("healthy")!(null, four("1.1.1.1"));
    expect(results).toEqual(["healthy 1.1.1.1"]);
  });

  it("uses the first result, and answers once", () => {
    ask("a");
    clock.advance(100);
    direct.get("a")!(failure, []);
    expect(results).toEqual([]);
    system.get("a")!(null, four("1.1.1.1"));
    expect(results).toEqual(["a 1.1.1.1"]);
    ask("b");
    clock.advance(100);
    direct.get("b")!(null, four("2.2.2.2"));
    system.get("b")!(null, four("3.3.3.3"));
    expect(results).toEqual(["a 1.1.1.1", "b 2.2.2.2"]);
  });

  it("fails when both ways have failed", () => {
    ask("a");
    clock.advance(100);
    system.get("a")!(failure, []);
    expect(results).toEqual([]);
    direct.get("a")!(failure, []);
    expect(results).toEqual(["a ENOTFOUND"]);
  });
});
