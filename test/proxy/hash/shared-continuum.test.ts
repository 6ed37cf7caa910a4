import { describe, expect, it } from "vitest";
import { Continuum } from "../../../src/proxy/hash/continuum.ts";
import { KetamaRing } from "../../../src/proxy/hash/ketama.ts";
import { md5Word } from "../../../src/proxy/hash/md5.ts";
import { sharedContinuum } from "../../../src/proxy/hash/shared-continuum.ts";
import { located } from "../../support/fakes/located.ts";

describe("a shared continuum", () => {
  it("is built once, and again if other continuums were requested meanwhile", () => {
    let built = 0;
    const build = () => {
      built++;
      return new Continuum(Float64Array.of(1));
    };
    expect(sharedContinuum("a", build)).toBe(sharedContinuum("a", build));
    expect(built).toBe(1);
    for (let i = 0; i < 7; i++) sharedContinuum(`other ${i}`, build);
    sharedContinuum("a", build);
    expect(built).toBe(8);
    for (let i = 0; i < 8; i++) sharedContinuum(`another ${i}`, build);
    sharedContinuum("a", build);
    expect(built).toBe(17);
  });

  it("differs for another order, weight or name of servers", () => {
    const key = Buffer.from("key");
    const owners = (...members: [string, number][]) => {
      const ring = new KetamaRing(
        members.map(([label, weight]) => ({ label, weight })),
        md5Word,
      );
      return Array.from({ length: 200 }, (_, i) => members[located(ring, Buffer.from(`${key}${i}`))]![0]).join();
    };
    const plain = owners(["a", 1], ["b", 1], ["c", 1]);
    expect(owners(["c", 1], ["a", 1], ["b", 1])).toBe(plain);
    expect(owners(["a", 1], ["b", 5], ["c", 1])).not.toBe(plain);
    expect(owners(["a", 1], ["b", 1], ["d", 1])).not.toBe(plain);
  });
});
