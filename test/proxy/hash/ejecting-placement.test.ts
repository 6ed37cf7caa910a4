import { describe, expect, it } from "vitest";
import { buildPlacement } from "../../../src/proxy/hash/build.ts";
import { EjectingPlacement } from "../../../src/proxy/hash/ejecting-placement.ts";
import { located } from "../../support/fakes/located.ts";
import { poolServer } from "../../support/vectors/twemproxy-vectors.ts";

const servers = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map((host) => poolServer(host));
const keys = Array.from({ length: 200 }, (_, i) => Buffer.from(`key:${i}`));

function placementOf(some: readonly (typeof servers)[number][]) {
  const config = { type: "ketama", keyHash: "fnv1a_64", hashTag: "" } as const;
  return buildPlacement(config, some, { prefix: Buffer.alloc(0), random: () => 0 });
}

const owners = (placement: ReturnType<typeof placementOf>) => keys.map((key) => located(placement, key));

describe("keys of servers that are down", () => {
  it("are placed on the other servers while the servers are down, and return with them", () => {
    const down = new Set<number>();
    const placement = new EjectingPlacement(servers, (i) => !down.has(i), placementOf);
    const all = owners(placementOf(servers));
    expect(owners(placement)).toEqual(all);
    down.add(1);
    const rest = [0, 2, 3];
    const without = owners(placementOf(rest.map((i) => servers[i]!))).map((owner) => rest[owner]);
    expect(owners(placement)).toEqual(without);
    expect(placement.keyHash).toBeGreaterThan(0);
    down.add(3);
    expect(new Set(owners(placement))).toEqual(new Set([0, 2]));
    down.add(0);
    expect(new Set(owners(placement))).toEqual(new Set([2]));
    down.clear();
    expect(owners(placement)).toEqual(all);
  });

  it("stay on their server if all servers are down", () => {
    const down = new Set<number>([1]);
    const placement = new EjectingPlacement(servers, (i) => !down.has(i), placementOf);
    const before = owners(placement);
    for (let i = 0; i < servers.length; i++) down.add(i);
    expect(owners(placement)).toEqual(before);
  });
});
