import type dns from "node:dns";
import { beforeEach, describe, expect, it } from "vitest";
import { NameCache } from "../src/name-cache.ts";
import { ManualClock } from "./support/fakes/manual-clock.ts";
import { settled } from "./support/fakes/settled.ts";

interface LookUp {
  readonly host: string;
  found(...addresses: string[]): void;
  fail(): void;
}

let clock: ManualClock;
let lookUps: LookUp[];
let names: NameCache;

beforeEach(() => {
  clock = new ManualClock();
  lookUps = [];
  names = new NameCache((host, done) => {
    const of = (address: string) => ({ address, family: address.includes(":") ? 6 : 4 });
    lookUps.push({
      host,
      found: (...addresses) => done(null, addresses.map(of)),
      fail: () => done(Object.assign(new Error("not found"), { code: "ENOTFOUND" }), []),
    });
  }, clock);
});

/** What the name is answered with: its addresses, or the code of the error. */
async function ask(host: string, options: dns.LookupOptions = { all: true }): Promise<() => string | null> {
  let text: string | null = null;
  names.lookup(host, options, (error, address) => {
    const list = Array.isArray(address) ? address.map((each) => each.address).join(" ") : address;
    text = error === null ? list : error.code!;
  });
  expect(text).toBeNull();
  await settled();
  return () => text;
}

describe("NameCache", () => {
  it("resolves a name once for all concurrent callers", async () => {
    const answers = [await ask("a"), await ask("a"), await ask("b")];
    expect(lookUps.map(({ host }) => host)).toEqual(["a", "b"]);
    lookUps[0]!.found("1.1.1.1", "::1");
    expect(answers.map((answer) => answer())).toEqual(["1.1.1.1 ::1", "1.1.1.1 ::1", null]);
  });

  it("answers with the last known addresses, and has new addresses for the next connection", async () => {
    await ask("a");
    lookUps[0]!.found("1.1.1.1");
    expect((await ask("a"))()).toBe("1.1.1.1");
    expect(lookUps).toHaveLength(1);
    clock.advance(1_000);
    expect((await ask("a"))()).toBe("1.1.1.1");
    lookUps[1]!.found("2.2.2.2");
    expect((await ask("a"))()).toBe("2.2.2.2");
  });

  it("keeps the last known addresses while the resolver fails or is slow", async () => {
    await ask("a");
    lookUps[0]!.found("1.1.1.1");
    clock.advance(1_000);
    await ask("a");
    expect((await ask("a"))()).toBe("1.1.1.1");
    lookUps[1]!.fail();
    clock.advance(60_000);
    expect((await ask("a"))()).toBe("1.1.1.1");
    expect(lookUps).toHaveLength(3);
  });

  it("keeps the result of a lookup that ends after its last connection was abandoned", async () => {
    await ask("a");
    clock.advance(10_000);
    lookUps[0]!.found("1.1.1.1");
    expect((await ask("a"))()).toBe("1.1.1.1");
  });

  it("delays lookups of a name that is not found, 1 s at first and 5 s at most", async () => {
    const triedAt: number[] = [];
    for (let second = 0; second < 20; second++) {
      const answer = await ask("a");
      const last = lookUps.splice(0)[0];
      if (last !== undefined) triedAt.push(second);
      last?.fail();
      expect(answer()).toBe("ENOTFOUND");
      clock.advance(1_000);
    }
    expect(triedAt).toEqual([0, 1, 3, 7, 12, 17]);
  });

  it("answers with an error if the resolver finds nothing and gives no reason", async () => {
    const answer = await ask("a");
    lookUps[0]!.found();
    expect(answer()).toBe("ENOTFOUND");
    expect((await ask("a"))()).toBe("ENOTFOUND");
  });

  it("returns one address, or the addresses of a family, as requested", async () => {
    await ask("a");
    lookUps[0]!.found("1.1.1.1", "::1");
    expect((await ask("a", {}))()).toBe("1.1.1.1");
    expect((await ask("a", { family: 6 }))()).toBe("::1");
    expect((await ask("a", { family: 6, all: true }))()).toBe("::1");
  });
});
