import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../src/config/address.ts";
import { KetamaRing, ketamaLabel, type RingMember } from "../../../src/proxy/hash/ketama.ts";

interface Vectors {
  readonly server_sets: Record<string, readonly { server: string; weight: number; name: string | null }[]>;
  readonly placements: readonly {
    servers: string;
    distribution: string;
    hash: string;
    hash_tag?: string;
    keys?: readonly string[];
    keys_hex?: readonly string[];
    index: readonly number[];
  }[];
  readonly libmemcached: readonly {
    servers: readonly string[];
    weights?: readonly number[];
    index: readonly number[];
  }[];
  readonly keys_hex: readonly string[];
}

const file = new URL("../../vectors/twemproxy.json", import.meta.url);
const vectors: Vectors = JSON.parse(readFileSync(file, "utf8"));

function member(server: string, weight: number, name: string | null = null): RingMember {
  return { label: name ?? ketamaLabel({ address: parseAddress(server, "/")!, weight }), weight };
}

/** Server indexes of the keys. */
function place(members: readonly RingMember[], keysHex: readonly string[]): number[] {
  const ring = new KetamaRing(members);
  return keysHex.map((hex) => {
    const key = Buffer.from(hex, "hex");
    return ring.locate(ring.hash(key, 0, key.length));
  });
}

describe("ketama places keys", () => {
  const placements = vectors.placements.filter(({ distribution, hash }) => distribution === "ketama" && hash === "md5");

  it("with vectors to compare with", () => {
    expect(placements.length).toBeGreaterThanOrEqual(6);
    expect(vectors.libmemcached.length).toBeGreaterThanOrEqual(15);
  });

  for (const { servers, keys_hex: own, index } of placements) {
    it(`as twemproxy does over ${servers}`, () => {
      const members = vectors.server_sets[servers]!.map(({ server, weight, name }) => member(server, weight, name));
      expect(place(members, own ?? vectors.keys_hex)).toEqual(index);
    });
  }

  for (const { servers, weights, index } of vectors.libmemcached) {
    const weightText = weights === undefined ? "" : ` of weights ${weights.join(", ")}`;
    it(`as libmemcached does over ${servers.length} servers${weightText}`, () => {
      const members = servers.map((server, i) => member(server, weights?.[i] ?? 1));
      expect(place(members, vectors.keys_hex)).toEqual(index);
    });
  }

  it("so that one more server moves only keys that become its own, about one in n", () => {
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

  it("on a server for every hash there is", () => {
    const ring = new KetamaRing(["a:1", "b:1", "c:1"].map((server) => member(server, 1)));
    const hashes = fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff));
    fc.assert(fc.property(hashes, (hash) => [0, 1, 2].includes(ring.locate(hash))));
  });
});

describe("the name of a server on the ring", () => {
  it("leaves the default port out, and is the path of a socket", () => {
    const label = (server: string) => ketamaLabel({ address: parseAddress(server, "/")!, weight: 1 });
    expect(label("10.0.0.1:11211")).toBe("10.0.0.1");
    expect(label("10.0.0.1:11212")).toBe("10.0.0.1:11212");
    expect(label("unix:/run/a.sock")).toBe("/run/a.sock");
  });
});
