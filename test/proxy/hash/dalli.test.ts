import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { DalliRing } from "../../../src/proxy/hash/dalli.ts";
import { located } from "../../support/fakes/located.ts";
import { seededRandom } from "../../support/vectors/seeded-random.ts";
import { poolServer, vectors } from "../../support/vectors/twemproxy-vectors.ts";

const RUBY = "/usr/bin/ruby";
const SCRIPT = fileURLToPath(new URL("../../support/clients/dalli-ring.rb", import.meta.url));
const isDalliMissing = spawnSync(RUBY, ["-e", "require 'dalli'"]).status !== 0;

/** As Dalli writes a server, and as Platypus does. */
type Server = readonly [dalli: string, address: string, weight: number];

const tcp = (host: string, port: number, weight = 1): Server => [
  `${host}:${port}:${weight}`,
  `${host}:${port}`,
  weight,
];

const random = seededRandom(7);
const sets: Record<string, readonly Server[]> = {
  "2 servers": [tcp("10.0.0.1", 11211), tcp("10.0.0.2", 11211)],
  "weighted servers": [tcp("a.example", 11211, 1), tcp("b.example", 11212, 2), tcp("c.example", 11211, 7)],
  "a socket and IPv6": [
    ["/run/a.sock:2", "unix:/run/a.sock", 2],
    ["[::1]:11213", "[::1]:11213", 1],
    tcp("localhost", 1),
  ],
  ...Object.fromEntries(
    [3, 7, 14, 60].map((count) => {
      const servers = Array.from({ length: count }, (_, i) =>
        tcp(`cache-${i}`, 11211 + i, 1 + Math.floor(random() * 9)),
      );
      return [`${count} servers of any weight`, servers];
    }),
  ),
};

describe.skipIf(isDalliMissing)("DalliRing", () => {
  const many = Array.from({ length: 2_000 }, (_, i) => Buffer.from(`views/${i}/é`).toString("hex"));
  const keys = [...vectors.keys_hex, ...many];
  const input = JSON.stringify(Object.values(sets).map((set) => ({ servers: set.map(([dalli]) => dalli), keys })));
  const answers: number[][] = isDalliMissing
    ? []
    : JSON.parse(spawnSync(RUBY, [SCRIPT], { input, encoding: "utf8", maxBuffer: 2 ** 26 }).stdout);

  for (const [i, [name, set]] of Object.entries(sets).entries()) {
    it(`places keys as Dalli does over ${name}`, () => {
      const ring = new DalliRing(set.map(([, address, weight]) => poolServer(address, weight)));
      expect(keys.map((hex) => located(ring, Buffer.from(hex, "hex")))).toEqual(answers[i]);
    });
  }
});
