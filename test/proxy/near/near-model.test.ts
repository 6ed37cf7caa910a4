/**
 * Any order of commands, of their execution by the servers and of their replies: a client never reads a value that is
 * older than a write which this process had answered before, nor one that another process replaced longer ago than
 * `near`. Each request is answered once.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NearCache } from "../../../src/proxy/near/near-cache.ts";
import { NearRoute } from "../../../src/proxy/near/near-route.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { Operation, type Request } from "../../../src/proxy/request.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { DelayedPool } from "../../support/fakes/delayed-pool.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

const NEAR_MS = 1_000;
const keys = ["a", "b"];

const key = fc.constantFrom(...keys);
const read = fc.oneof(
  { weight: 6, arbitrary: key.map((k) => `get ${k}`) },
  { weight: 2, arbitrary: fc.constantFrom("get a b", "get b a a", "get a other", "get other b a") },
  { weight: 2, arbitrary: key.map((k) => `mg ${k} v f`) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(key, fc.constantFrom("v", "v k O1", "v c", "v f t", "v T100"))
      .map((words) => `mg ${words.join(" ")}`),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom("gets", "gat 100"), key).map((words) => words.join(" ")) },
);
const write = fc.tuple(fc.constantFrom("set", "set", "ms", "delete", "md", "add", "append", "flush_all"), key);
const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant("read" as const), line: read, times: fc.constantFrom(1, 1, 4) }),
  },
  { weight: 3, arbitrary: write.map(([verb, of]) => ({ type: "write" as const, verb, key: of })) },
  { weight: 1, arbitrary: key.map((of) => ({ type: "foreign" as const, key: of })) },
  { weight: 3, arbitrary: fc.nat(20).map((index) => ({ type: "carryOut" as const, index })) },
  { weight: 7, arbitrary: fc.nat(20).map((index) => ({ type: "answer" as const, index })) },
  { weight: 1, arbitrary: fc.nat(20).map((index) => ({ type: "fail" as const, index })) },
  { weight: 1, arbitrary: fc.constant({ type: "answerAll" as const }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(true, true, false).map((isDelaying) => ({ type: "delay" as const, isDelaying })),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(1, 100, 200, 400, 800, 1_000).map((ms) => ({ type: "advance" as const, ms })),
  },
  { weight: 1, arbitrary: fc.constant({ type: "reload" as const }) },
);
type Action = typeof action extends fc.Arbitrary<infer Value> ? Value : never;

/** The values of a key in the pool, in their order; `null`: no item. */
class History {
  readonly values: { readonly value: string | null; endMs: number }[] = [
    { value: null, endMs: Number.POSITIVE_INFINITY },
  ];
  /** Index of the newest value that a client knows to be stored. */
  known = 0;

  get last(): number {
    return this.values.length - 1;
  }

  note(value: string | null, nowMs: number): void {
    const last = this.values.at(-1)!;
    if (last.value === value) return;
    last.endMs = nowMs;
    this.values.push({ value, endMs: Number.POSITIVE_INFINITY });
  }

  /** Index of the last value with this text, which another client may have read. */
  indexOf(value: string | null): number {
    return this.values.findLastIndex((each) => each.value === value);
  }
}

class World {
  private readonly clock = new ManualClock();
  private readonly pool = new DelayedPool(() => this.clock.unixSeconds());
  readonly cache = new NearCache();
  private route!: NearRoute;
  private readonly histories = new Map([...keys, "other"].map((each) => [each, new History()]));
  private readonly all: Asked[] = [];
  private writes = 0;
  /** True while a request fails: its keys without a value in memory are left out of the reply. */
  private isFailing = false;
  /** Requests of routes that a reload has replaced. */
  private readonly holds: Asked[][] = [];

  constructor() {
    this.pool.onCarriedOut = (request) => this.carryOut(request);
    this.use();
    for (const each of keys) {
      this.write("set", each);
      for (let i = 0; i < 60; i++) this.read(`get ${each}`);
    }
    this.pool.isDelaying = true;
  }

  run(each: Action): void {
    const { pool, clock } = this;
    switch (each.type) {
      case "read":
        for (let i = 0; i < each.times; i++) this.read(each.line);
        break;
      case "write":
        this.write(each.verb, each.key);
        break;
      case "foreign": {
        const value = `f${++this.writes}`;
        pool.store.store("set", each.key, Buffer.from(value), 0, 0);
        this.look();
        break;
      }
      case "carryOut":
        pool.carryOut(each.index % pool.pending.length);
        this.look();
        break;
      case "answer":
        pool.answer(each.index % pool.pending.length);
        this.look();
        break;
      case "fail":
        this.isFailing = true;
        if (pool.pending.length > 0) pool.fail(each.index % pool.pending.length, failures.timeout);
        this.isFailing = false;
        break;
      case "answerAll":
        while (pool.pending.length > 0) pool.answer(0);
        break;
      case "delay":
        pool.isDelaying = each.isDelaying;
        break;
      case "advance":
        clock.advance(each.ms);
        break;
      case "reload":
        this.reload();
        break;
    }
    this.look();
    this.endHolds();
  }

  end(): void {
    while (this.pool.pending.length > 0) this.pool.answer(0);
    for (const { answers } of this.all) expect(answers).toHaveLength(1);
  }

  private use(): void {
    const { clock, cache } = this;
    this.route = new NearRoute(this.pool, cache, new Turn(() => clock.nowMs()), null);
    cache.configure({ maxBytes: 1 << 20, nearMsOf: () => NEAR_MS });
  }

  private reload(): void {
    this.cache.hold();
    this.use();
    this.holds.push(this.all.filter(({ answers }) => answers.length === 0));
  }

  private endHolds(): void {
    while (this.holds[0]?.every(({ answers }) => answers.length > 0)) {
      this.holds.shift();
      this.cache.release();
    }
  }

  private send(frame: string): Asked {
    const asked = new Asked(frame);
    this.all.push(asked);
    return asked;
  }

  private begin(asked: Asked): void {
    const isFlush = asked.request.operation === Operation.flushAll;
    asked.by((request) => (isFlush ? this.route.broadcast(request) : this.route.route(request)));
  }

  private read(line: string): void {
    const names = line.startsWith("mg") ? [line.split(" ")[1]!] : line.replace("gat 100", "gat").split(" ").slice(1);
    const startMs = this.clock.nowMs();
    const known = names.map((name) => this.histories.get(name)!.known);
    const asked = this.send(`${line}\r\n`);
    asked.onAnswer = ({ text, status }) => {
      if (status === failures.timeout.status) return;
      // The pool may have carried out the request in this moment.
      this.look();
      const values = valuesIn(line, names, text);
      for (const [i, name] of names.entries()) {
        if (values[i] === null && this.isFailing) continue;
        const history = this.histories.get(name)!;
        const index = history.indexOf(values[i]!);
        const context = `${line} → ${JSON.stringify(text)}, known: ${JSON.stringify(history.values[known[i]!])}`;
        expect(index, context).toBeGreaterThanOrEqual(known[i]!);
        expect(history.values[index]!.endMs, context).toBeGreaterThanOrEqual(startMs - NEAR_MS);
      }
    };
    this.begin(asked);
  }

  private write(verb: string, of: string): void {
    const value = `w${++this.writes}`;
    const { length } = value;
    const frames: Record<string, string> = {
      ms: `ms ${of} ${length}\r\n${value}\r\n`,
      delete: `delete ${of}\r\n`,
      md: `md ${of}\r\n`,
      flush_all: "flush_all\r\n",
    };
    const asked = this.send(frames[verb] ?? `${verb} ${of} 0 0 ${length}\r\n${value}\r\n`);
    asked.onAnswer = ({ status }) => {
      this.look();
      if (status === failures.timeout.status) return;
      for (const name of verb === "flush_all" ? keys : [of]) {
        const history = this.histories.get(name)!;
        const executed = this.executed.get(asked.request)?.get(name) ?? history.last;
        history.known = Math.max(history.known, executed);
      }
    };
    this.begin(asked);
  }

  /** For each write, the index of the value after it. */
  private readonly executed = new Map<Request, Map<string, number>>();
  private carriedOut: Request | null = null;

  private carryOut(request: Request): void {
    this.look();
    this.carriedOut = request;
  }

  /** Notes what has changed in the pool. */
  private look(): void {
    for (const [name, history] of this.histories) {
      history.note(this.pool.store.get(name)?.value.toString() ?? null, this.clock.nowMs());
    }
    const request = this.carriedOut;
    this.carriedOut = null;
    if (request === null) return;
    this.executed.set(request, new Map([...this.histories].map(([name, history]) => [name, history.last])));
  }
}

/** The values in a reply, in the order of the keys; `null`: no value. */
function valuesIn(line: string, names: readonly string[], text: string): (string | null)[] {
  const lines = text.split("\r\n");
  if (line.startsWith("mg")) return [text.startsWith("VA") ? lines[1]! : null];
  let at = 0;
  return names.map((name) => {
    if (!lines[at]!.startsWith(`VALUE ${name} `)) return null;
    at += 2;
    return lines[at - 1]!;
  });
}

describe("gets of hot keys", () => {
  it("are never older than an answered write of this process, nor older than `near` than one of another process", () => {
    let hits = 0;
    fc.assert(
      fc.property(fc.array(action, { minLength: 60, maxLength: 150 }), (actions) => {
        const world = new World();
        const before = world.cache.counters.hits;
        for (const each of actions) world.run(each);
        world.end();
        hits += world.cache.counters.hits - before;
      }),
      { numRuns: 150 },
    );
    // The property is about values from memory.
    expect(hits).toBeGreaterThan(1_000);
  });
});
