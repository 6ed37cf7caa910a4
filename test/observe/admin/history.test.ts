import { beforeEach, describe, expect, it } from "vitest";
import { History } from "../../../src/observe/admin/history.ts";
import { clientNumbers } from "../../../src/observe/own-snapshot.ts";
import { newClientCounters } from "../../../src/proxy/client/client-counters.ts";
import { Status } from "../../../src/proxy/reply.ts";
import { Operation, Request } from "../../../src/proxy/request.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

let clock: ManualClock;
let clients: ReturnType<typeof newClientCounters>;
let history: History;

beforeEach(() => {
  clock = new ManualClock();
  clients = newClientCounters();
  history = new History(clock, () => ({ clients: clientNumbers(clients), rules: [], sources: [] }));
});

function ask(count: number, micros: number, status: Status = Status.found): void {
  const request = new Request(Operation.get, { onReply: () => {} }, Buffer.alloc(0));
  for (let i = 0; i < count; i++) clients.requests.record(request, status, micros);
}

describe("the history", () => {
  it("has a sample of each second, with the activity of that second", () => {
    ask(99, 200);
    ask(1, 50_000, Status.timeout);
    clients.getHits += 99;
    clock.advance(1_000);
    clock.advance(1_000);
    const [first, second] = history.all();
    expect(first).toMatchObject({ requests: 100, errors: 1, hits: 99, misses: 0 });
    // Of 200 µs.
    expect(first!.p50Ms).toBeGreaterThan(0.19);
    expect(first!.p50Ms).toBeLessThan(0.225);
    expect(first!.p99Ms).toBeLessThan(50);
    expect(second).toMatchObject({ requests: 0, hits: 0, p50Ms: null, p99Ms: null });
    expect(history.last()).toBe(second);
  });

  it("keeps one hour, oldest first", () => {
    for (let i = 1; i <= 3_700; i++) {
      clients.getMisses += i;
      clock.advance(1_000);
    }
    const all = history.all();
    expect(all).toHaveLength(3_600);
    expect([all[0]!.misses, all.at(-1)!.misses]).toEqual([101, 3_700]);
    expect(history.last()).toBe(all.at(-1));
  });

  it("takes no more samples after it is stopped", () => {
    history.stop();
    clock.advance(5_000);
    expect(history.all()).toEqual([]);
  });
});
