import type dns from "node:dns";
import { beforeEach, describe, expect, it } from "vitest";
import { NameCache } from "../src/name-cache.ts";
import { ManualClock } from "./support/manual-clock.ts";
import { settled } from "./support/settled.ts";

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
  it("looks a name up once for all who ask meanwhile", async () => {
    const answers = [await ask("a"), await ask("a"), await ask("b")];
    expect(lookUps.map(({ host }) => host)).toEqual(["a", "b"]);
    lookUps[0]!.found("1.1.1.1", "::1");
    expect(answers.map((answer) => answer())).toEqual(["1.1.1.1 ::1", "1.1.1.1 ::1", null]);
  });

  it("answers with the last known addresses, and has new ones for the next connection", async () => {
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

  it("has the result of a lookup after its last connection has given up", async () => {
    await ask("a");
    clock.advance(10_000);
    lookUps[0]!.found("1.1.1.1");
    expect((await ask("a"))()).toBe("1.1.1.1");
  });

  it("leaves a name that is not found alone for a while, 1 s at first and 5 s at last", async () => {
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

  it("is answered with an error where the resolver finds nothing and says no more", async () => {
    const answer = await ask("a");
    lookUps[0]!.found();
    expect(answer()).toBe("ENOTFOUND");
    expect((await ask("a"))()).toBe("ENOTFOUND");
  });

  it("gives one address, or those of a family, where that is asked for", async () => {
    await ask("a");
    lookUps[0]!.found("1.1.1.1", "::1");
    expect((await ask("a", {}))()).toBe("1.1.1.1");
    expect((await ask("a", { family: 6 }))()).toBe("::1");
    expect((await ask("a", { family: 6, all: true }))()).toBe("::1");
  });
});
