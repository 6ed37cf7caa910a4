/**
 * Explores a model: a world in which nothing happens by itself, and in which each thing that can happen is an event. The
 * explorer takes the events in every possible order.
 */
import type { Clock, Timer } from "../../../src/clock.ts";

/** Checks of unsettled writes have pauses from here on; looks for the value of another process have shorter ones. */
const FIRST_CHECK_MS = 100;
/** Timers of clients that wait are longer, and do not fire: a client that gives up gets a miss, which is never wrong. */
const LONGEST_TIMER_MS = 10_000;

/** The timers of a process of the model. They fire when the explorer says so; no time passes. */
export class HeldTimers {
  /** Looks for the value of another process. */
  readonly looks: (() => void)[] = [];
  /** Checks of unsettled writes. */
  readonly checks: (() => void)[] = [];
  readonly clock: Clock = {
    nowMs: () => 0,
    unixSeconds: () => 1_700_000_000,
    setTimer: (delayMs, run) => {
      if (delayMs < FIRST_CHECK_MS) this.looks.push(run);
      else if (delayMs <= LONGEST_TIMER_MS) this.checks.push(run);
      return run as unknown as Timer;
    },
    clearTimer: () => {},
  };
}

/** Runs what an event has set off: a chain of at most `length` microtasks. */
export async function runChain(length: number): Promise<void> {
  for (let i = 0; i < length; i++) await null;
}

/** What the explorer found. */
export interface Exploration {
  /** Different states that were seen. */
  readonly states: number;
  /** Runs that ended because nothing more could happen. */
  readonly ends: number;
  /** The events that lead to an error, and the error. `null` if no order does. */
  readonly failure: { readonly events: readonly string[]; readonly what: string } | null;
}

/** What an event reads and writes. The order of two events matters only if one of them writes something that both use. */
export interface Footprint {
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

function areIndependent(a: Footprint, b: Footprint): boolean {
  const meets = (one: readonly string[], other: readonly string[]) => one.some((what) => other.includes(what));
  return !meets(a.writes, b.writes) && !meets(a.writes, b.reads) && !meets(a.reads, b.writes);
}

/** A run of a model. */
export interface ModelWorld {
  /** Names of what may happen next. */
  events(): string[];
  take(event: string): Promise<void>;
  footprint(event: string): Footprint;
  /** Equal for two runs that continue in the same way. */
  signature(): string;
  /** The error at the end of a run. `null` if all is right. */
  verdict(): string | null;
}

/**
 * Takes every order of events of a model, and sees each state. Orders that differ only in the order of independent events
 * are taken once: an event sleeps where another order has already taken it. Source: P. Godefroid, "Partial-Order Methods for
 * the Verification of Concurrent Systems", 1996, sleep sets with state matching.
 */
export async function explore(create: () => ModelWorld): Promise<Exploration> {
  /** By state the events that slept there each time. */
  const seen = new Map<string, readonly string[]>();
  const branches: { readonly path: string[]; readonly sleep: readonly string[] }[] = [{ path: [], sleep: [] }];
  let ends = 0;
  while (branches.length > 0) {
    const { path, sleep } = branches.pop()!;
    const world = create();
    for (const event of path) await world.take(event);
    let asleep = sleep;
    for (;;) {
      const signature = world.signature();
      const before = seen.get(signature);
      const events = world.events();
      const todo = (before ?? events).filter((event) => !asleep.includes(event));
      if (before === undefined) {
        // A reload and the loss of a connection may happen, and need not.
        const isEnd = events.every((event) => event.startsWith("r") || event.startsWith("x"));
        if (isEnd) {
          ends++;
          const what = world.verdict();
          if (what !== null) return { states: seen.size, ends, failure: { events: path, what } };
        }
      } else {
        asleep = asleep.filter((event) => before.includes(event));
      }
      seen.set(signature, asleep);
      if (todo.length === 0) break;
      const footprints = new Map(events.map((event) => [event, world.footprint(event)]));
      const next = todo.map((event, index) => {
        const done = [...asleep, ...todo.slice(0, index)];
        const own = footprints.get(event)!;
        return { event, sleep: done.filter((other) => areIndependent(footprints.get(other)!, own)) };
      });
      for (const { event, sleep: slept } of next.slice(1)) branches.push({ path: [...path, event], sleep: slept });
      const [{ event: first, sleep: slept }] = next as [(typeof next)[number]];
      path.push(first);
      asleep = slept;
      await world.take(first);
    }
  }
  return { states: seen.size, ends, failure: null };
}
