import { describe, expect, it } from "vitest";
import { KetamaRing, ketamaLabel, type RingMember } from "../../../src/proxy/hash/ketama.ts";
import { keyHashes } from "../../../src/proxy/hash/key-hash.ts";
import { md5Word } from "../../../src/proxy/hash/md5.ts";
import { located } from "../../support/fakes/located.ts";
import { poolServer, vectors } from "../../support/vectors/twemproxy-vectors.ts";

function member(server: string, weight: number): RingMember {
  return { label: ketamaLabel(poolServer(server, weight)), weight };
}

/** Server indexes of the keys. */
function place(members: readonly RingMember[], keysHex: readonly string[]): number[] {
  const ring = new KetamaRing(members, md5Word);
  return keysHex.map((hex) => located(ring, Buffer.from(hex, "hex")));
}

describe("ketama", () => {
  it("has vectors to compare with", () => {
    expect(vectors.libmemcached.length).toBeGreaterThanOrEqual(15);
  });

  for (const { servers, weights, index } of vectors.libmemcached) {
    const weightText = weights === undefined ? "" : ` of weights ${weights.join(", ")}`;
    it(`places keys as libmemcached does over ${servers.length} servers${weightText}`, () => {
      const members = servers.map((server, i) => member(server, weights?.[i] ?? 1));
      expect(place(members, vectors.keys_hex)).toEqual(index);
    });
  }

  it.each(["md5", "fnv1a_64"] as const)("places many keys at once as one by one, with %s", (hash) => {
    const members = Array.from({ length: 5 }, (_, i) => member(`10.0.0.${i + 1}:12000`, 1));
    const ring = new KetamaRing(members, keyHashes[hash]);
    const keys = vectors.keys_hex.map((hex) => Buffer.from(hex, "hex"));
    const ends = keys.map((_, i) => keys.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0));
    const owners = new Uint32Array(keys.length);
    ring.locateAll(
      Buffer.concat(keys),
      keys.map(({ length }, i) => ends[i]! - length),
      ends,
      owners,
    );
    expect([...owners]).toEqual(keys.map((key) => located(ring, key)));
  });

  it("moves only keys to an added server, about one in n", () => {
    const keys = Array.from({ length: 2_000 }, (_, i) => Buffer.from(`key:${i}`).toString("hex"));
    for (const count of [1, 3, 10]) {
      const members = Array.from({ length: count + 1 }, (_, i) => member(`10.0.0.${i + 1}:12000`, 1));
      const [before, after] = [place(members.slice(0, count), keys), place(members, keys)];
      const moved = keys.filter((_, i) => before[i] !== after[i]);
      expect(keys.every((_, i) => before[i] === after[i] || after[i] === count)).toBe(true);
      expect(moved.length / keys.length).toBeGreaterThan(0.5 / (count + 1));
      expect(moved.length / keys.length).toBeLessThan(1.6 / (count + 1));
    }
  });
});

describe("the name of a server on the ketama ring", () => {
  it("is the configured name, else the address without the default port, or the path of the socket", () => {
    const label = (server: string, name: string | null = null) => ketamaLabel(poolServer(server, 1, name));
    expect(label("10.0.0.1:11211")).toBe("10.0.0.1");
    expect(label("10.0.0.1:11212")).toBe("10.0.0.1:11212");
    expect(label("unix:/run/a.sock")).toBe("/run/a.sock");
    expect(label("10.0.0.1:11212", "alpha")).toBe("alpha");
  });
});
