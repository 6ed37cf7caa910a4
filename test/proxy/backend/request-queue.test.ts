import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { type Queued, RequestQueue } from "../../../src/proxy/backend/request-queue.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

interface Named extends Queued<Named> {
  readonly name: string;
}

const TIMEOUT_MS = 100;

let clock: ManualClock;
let queue: RequestQueue<Named>;

beforeEach(() => {
  clock = new ManualClock();
  queue = new RequestQueue<Named>(clock, TIMEOUT_MS, () => {});
});

function named(name: string): Named {
  return { name, sentMs: 0, isAbandoned: false, nextOfBackend: null };
}

function append(name: string): Named {
  const request = named(name);
  queue.append(request, clock.nowMs());
  return request;
}

/** Names from the head on. */
function names(first: Named | null = queue.head): string {
  let text = "";
  for (let each = first; each !== null; each = each.nextOfBackend) text += each.name;
  return text;
}

function expired(patient: Named | null = null): string {
  let text = "";
  queue.expire(clock.nowMs(), patient, ({ name }) => {
    text += name;
  });
  return text;
}

describe("RequestQueue", () => {
  it("keeps the order of sending, however requests are removed", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant("append"), fc.nat(9)), { maxLength: 60 }), (steps) => {
        queue = new RequestQueue<Named>(clock, TIMEOUT_MS, () => {});
        let expectation: Named[] = [];
        let count = 0;
        for (const step of steps) {
          const at = typeof step === "number" ? step % Math.max(1, expectation.length) : 0;
          const chosen = expectation[at];
          if (typeof step === "string") {
            expectation.push(append(`${count++},`));
          } else if (chosen === undefined) {
            expect(queue.takeAll()).toBe(null);
          } else if (step === 9) {
            queue.takeFrom(chosen);
            expectation = expectation.slice(0, at);
          } else {
            if (at === 0) queue.shift(chosen);
            else queue.remove(chosen);
            expectation = expectation.filter((each) => each !== chosen);
            expect(chosen.nextOfBackend).toBe(null);
          }
          expect(names()).toBe(expectation.map(({ name }) => name).join(""));
          expect(queue.length).toBe(expectation.length);
          expect(queue.tail).toBe(expectation.at(-1) ?? null);
        }
      }),
    );
  });

  it("hands over the linked requests from a given place on, or all remaining ones", () => {
    append("a");
    const b = append("b");
    append("c");
    queue.takeFrom(b);
    expect(names(b)).toBe("bc");
    expect(names(queue.takeAll())).toBe("a");
    expect([queue.head, queue.tail, queue.length]).toEqual([null, null, 0]);
  });

  it("abandons each request once, in order of sending, when its time is over", () => {
    append("a");
    append("b");
    clock.advance(TIMEOUT_MS / 2);
    append("c");
    clock.advance(TIMEOUT_MS / 2);
    expect(expired()).toBe("ab");
    expect(expired()).toBe("");
    expect(names()).toBe("abc");
    clock.advance(TIMEOUT_MS / 2);
    expect(expired()).toBe("c");
  });

  it("notifies a patient request each time, and does not abandon it", () => {
    const patient = append("a");
    append("b");
    clock.advance(TIMEOUT_MS);
    expect(expired(patient)).toBe("ab");
    expect(expired(patient)).toBe("a");
    expect(patient.isAbandoned).toBe(false);
    expect(queue.firstAwaited(patient)).toBe(null);
    expect(queue.firstAwaited(null)).toBe(patient);
  });

  it("stops expiring requests when a callback of a request empties it", () => {
    append("a");
    append("b");
    clock.advance(TIMEOUT_MS);
    let told = "";
    queue.expire(clock.nowMs(), null, ({ name }) => {
      told += name;
      for (let each = queue.takeAll(); each !== null; ) {
        const next: Named | null = each.nextOfBackend;
        each.nextOfBackend = null;
        each = next;
      }
      append("c");
    });
    expect(told).toBe("a");
    expect(names()).toBe("c");
  });

  it("is past the drop limit when no reply was in time for four timeouts", () => {
    append("a");
    clock.advance(TIMEOUT_MS);
    expired();
    clock.advance(3 * TIMEOUT_MS - 1);
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(false);
    clock.advance(1);
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(true);
  });

  it("extends a run of late replies until one is in time or none is owed", () => {
    const a = append("a");
    const b = append("b");
    clock.advance(TIMEOUT_MS);
    expired();
    const c = append("c");
    clock.advance(4 * TIMEOUT_MS);
    queue.shift(a);
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(true);
    queue.shift(b);
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(true);
    append("d");
    queue.shift(c);
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(false);
  });

  it("measures lateness by the first remaining request when replies name their requests", () => {
    const a = append("a");
    clock.advance(3 * TIMEOUT_MS);
    const b = append("b");
    clock.advance(TIMEOUT_MS);
    expect(expired()).toBe("ab");
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(true);
    queue.remove(a);
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(false);
    clock.advance(3 * TIMEOUT_MS);
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(true);
    queue.remove(b);
    expect(queue.isPastDropLimit(clock.nowMs())).toBe(false);
  });

  it("measures the timeout of requests that waited for the end of a long turn from the write on", () => {
    const a = append("a");
    clock.advance(4);
    queue.restamp(a, clock.nowMs());
    expect(a.sentMs).toBe(0);
    clock.advance(1);
    const b = append("b");
    queue.restamp(a, clock.nowMs());
    expect([a.sentMs, b.sentMs]).toEqual([5, 5]);
  });

  it("runs its check when the first awaited request may have timed out", async () => {
    let checks = 0;
    queue = new RequestQueue<Named>(clock, TIMEOUT_MS, () => {
      checks++;
    });
    append("a");
    clock.advance(TIMEOUT_MS / 2);
    append("b");
    clock.advance(TIMEOUT_MS / 2);
    await new Promise(setImmediate);
    expect(checks).toBe(1);
    expired();
    queue.setDeadline(clock.nowMs(), null);
    clock.advance(TIMEOUT_MS / 2 - 1);
    await new Promise(setImmediate);
    expect(checks).toBe(1);
    clock.advance(1);
    await new Promise(setImmediate);
    expect(checks).toBe(2);
  });

  it("sets no deadline while it is empty", () => {
    queue.setDeadline(clock.nowMs(), null);
    expect(clock.timerCount).toBe(0);
  });
});
