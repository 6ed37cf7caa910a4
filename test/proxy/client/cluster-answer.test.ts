import { describe, expect, it } from "vitest";
import { ClusterAnswer } from "../../../src/proxy/client/cluster-answer.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

const address = (host: string, port: number) => ({ type: "tcp", host, port, isTls: false }) as const;

describe("the answer to config get cluster", () => {
  it("has each address as host, IP address and port, with a version that grows when the list changes", () => {
    const clock = new ManualClock();
    const cluster = new ClusterAnswer(clock, () => {});
    const two = [address("10.0.0.1", 1), address("::1", 2)];
    cluster.prepare(two);
    expect(cluster.textOf(two)).toBe("1700000000\n10.0.0.1|10.0.0.1|1 ::1|::1|2\n");
    clock.advance(5_000);
    expect(cluster.textOf(two)).toMatch(/^1700000000\n/);
    expect(cluster.textOf([two[0]!])).toBe("1700000005\n10.0.0.1|10.0.0.1|1\n");
    expect(cluster.textOf(two)).toMatch(/^1700000006\n/);
  });

  it("has the IP address of a name once it is known, and a new one after it has changed", () => {
    let ip = "10.0.0.1";
    const cluster = new ClusterAnswer(new ManualClock(), (_host, found) => found(ip));
    const one = [address("cache.test", 1)];
    cluster.prepare(one);
    expect(cluster.textOf(one)).toBe("1700000000\ncache.test|10.0.0.1|1\n");
    ip = "10.0.0.2";
    cluster.textOf(one);
    expect(cluster.textOf(one)).toBe("1700000001\ncache.test|10.0.0.2|1\n");
  });
});
