/**
 * A fleet small enough to be looked at whole: processes with the real Filler and refresh each, one server, one source,
 * clients that follow scripts. Nothing happens by itself: every message, every end of a fetch, every timer and every step of a client
 * is an event that the explorer chooses, and it chooses every order there is.
 *
 * The source has versions. A client that changes it writes to the key afterwards ("change the source, then delete"), so
 * from the moment the write is acknowledged an older version must not be answered to anybody who asks later.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock, Timer } from "../../src/clock.ts";
import type { RuleConfig } from "../../src/config/config.ts";
import type { PoolItem, PoolValue, Reply, WriteResult } from "../../src/proxy/reply.ts";
import { Status } from "../../src/proxy/reply.ts";
import { Filler } from "../../src/refresh/filler.ts";
import type { PoolPort } from "../../src/refresh/pool-port.ts";
import { refreshKey } from "../../src/refresh/refresher.ts";
import { newRuleCounters, newRuleTimings, Rules } from "../../src/refresh/rules.ts";
import { UnsettledWrites } from "../../src/refresh/unsettled-writes.ts";
import type { FetchResult } from "../../src/sources/source.ts";
import { ruleDefaults } from "./test-rules.ts";

const KEY = "k";
const TTL_SECONDS = 60;
/** Timers of those who wait are longer, and do not fire here: a waiter that gives up gets a miss, which is never wrong. */
const LONGEST_LOOK_MS = 200;
/** How often one process may look for another's value. */
const MAX_LOOKS = 2;

/** What a client does, through which process; or that the key falls due there. */
type Step =
  | { readonly does: "get" | "refresh"; readonly via: number }
  /** Changes the source, then writes to the key: a delete, or a set of `value`. */
  | { readonly does: "invalidate"; readonly via: number; readonly value: string | null };

export interface Scenario {
  readonly processes: number;
  readonly clients: readonly (readonly Step[])[];
  /** What the source has by version; null: nothing. Versions behind the list have a value. */
  readonly source?: readonly (string | null)[];
}

interface Item {
  readonly value: string;
  readonly cas: bigint;
}

interface Message {
  readonly text: string;
  readonly run: () => void;
}

/** An answer that a client got though a newer write had been acknowledged when it asked. */
interface Suspect {
  readonly value: string;
  readonly what: string;
}

class Process {
  /** To the server, in order. */
  readonly messages: Message[] = [];
  readonly timers: (() => void)[] = [];
  /** All that this process has been told: two orders with the same told it the same are one state of it. */
  readonly heard: string[] = [];
  /** Values it has read from the pool. */
  readonly read = new Set<string>();
  /** What its leases say: a token is new in each run. */
  readonly tokens = new Map<string, string>();
  looks = 0;
  readonly filler: Filler;
  /** The refresh of a key that is due. */
  readonly refresh: () => Promise<unknown>;

  readonly index: number;

  constructor(world: World, index: number) {
    this.index = index;
    const clock: Clock = {
      nowMs: () => 0,
      unixSeconds: () => 1_700_000_000,
      setTimer: (delayMs, run) => {
        if (delayMs <= LONGEST_LOOK_MS) this.timers.push(run);
        return run as unknown as Timer;
      },
      clearTimer: () => {},
    };
    const config: RuleConfig = { ...ruleDefaults, fillTimeoutMs: 1_000_000 };
    const source = { name: "source", timeoutMs: 5_000, hasRoomForRefresh: true, fetch: () => world.fetch(index) };
    const rules = new Rules([{ config, source, counters: newRuleCounters(), timings: newRuleTimings() }]);
    const port = world.port(this);
    const before = { known: null, expectedMs: TTL_SECONDS * 1000, isServable: true };
    const unsettled = new UnsettledWrites(clock);
    this.refresh = () => refreshKey(KEY, rules.match(KEY)!, before, { port, clock, unsettled });
    this.filler = new Filler({
      rules,
      port,
      clock,
      events: { populated: () => {}, got: () => {}, gotAll: () => {}, isTracked: () => false },
      log: { sourceFailed: fail, poolFailed: fail, observed: () => {} },
      holdBytes: 0,
    });
  }
}

function fail(_rule: unknown, error: unknown): void {
  throw error;
}

/** One run. */
class World {
  readonly suspects: Suspect[] = [];
  private readonly scenario: Scenario;
  private readonly items = new Map<string, Item>();
  private readonly processes: Process[];
  private readonly positions: number[];
  private readonly isBusy: boolean[];
  private readonly fetches: { readonly process: number; readonly version: number; done: (() => void) | null }[] = [];
  private readonly undone = new Set<string>();
  private lastCas = 0n;
  private version = 0;
  /** Version that the last acknowledged write stands for. */
  private acknowledged = 0;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.processes = Array.from({ length: scenario.processes }, (_, index) => new Process(this, index));
    this.positions = scenario.clients.map(() => 0);
    this.isBusy = scenario.clients.map(() => false);
  }

  /** Names of what may happen next. */
  events(): string[] {
    const events: string[] = [];
    this.processes.forEach(({ messages, timers, looks }, index) => {
      if (messages.length > 0) events.push(`m${index}`);
      if (timers.length > 0 && looks < MAX_LOOKS) events.push(`t${index}`);
    });
    this.fetches.forEach(({ done }, index) => {
      if (done !== null) events.push(`f${index}`);
    });
    this.scenario.clients.forEach((steps, index) => {
      if (!this.isBusy[index] && this.positions[index]! < steps.length) events.push(`c${index}`);
    });
    return events;
  }

  /** Lets one of them happen, and all that follows from it within the processes. */
  async take(event: string): Promise<void> {
    const index = Number(event.slice(1));
    if (event[0] === "m") this.processes[index]!.messages.shift()!.run();
    else if (event[0] === "c") this.step(index);
    else if (event[0] === "t") {
      const process = this.processes[index]!;
      process.looks++;
      process.heard.push("timer");
      process.timers.shift()!();
    } else {
      const fetch = this.fetches[index]!;
      const { done } = fetch;
      fetch.done = null;
      done!();
    }
    await turn();
  }

  /** The same for two runs from here on which everything is the same. */
  signature(): string {
    const { items, processes, positions, isBusy, fetches, version, acknowledged } = this;
    return JSON.stringify([
      [...items].map(([key, { value, cas }]) => [key, value, String(cas)]),
      processes.map(({ heard, messages, timers }) => [heard, messages.map(({ text }) => text), timers.length]),
      [positions, isBusy, version, acknowledged],
      fetches.map(({ process, version: fetched, done }) => [process, fetched, done === null]),
      this.suspects,
    ]);
  }

  /** What is wrong when nothing more can happen; null: nothing. */
  verdict(): string | null {
    const item = this.items.get(KEY);
    const isOld = item !== undefined && versionOf(item.value) < this.acknowledged;
    if (isOld) return `the pool keeps ${item.value} though version ${this.acknowledged} was written`;
    const wrong = this.suspects.find(({ value }) => !this.undone.has(value));
    return wrong === undefined ? null : wrong.what;
  }

  fetch(process: number): Promise<FetchResult> {
    const { version } = this;
    const fetch: (typeof this.fetches)[number] = { process, version, done: null };
    this.fetches.push(fetch);
    const id = this.fetches.length;
    const has = this.scenario.source?.[version];
    return new Promise((resolve) => {
      fetch.done = () => {
        this.processes[process]!.heard.push(`fetched ${version}`);
        const value = Buffer.from(`v${version}#${id}`);
        resolve(has === null ? { type: "notThere" } : { type: "value", value, tag: null, freshness: null });
      };
    });
  }

  port(process: Process): PoolPort {
    const { items } = this;
    const call = <T>(text: string, run: () => T): Promise<T> =>
      new Promise((resolve) => {
        process.messages.push({
          text,
          run: () => {
            const result = run();
            process.heard.push(`${text}: ${String(describe(result))}`);
            resolve(result);
          },
        });
      });
    const nameOf = (value: Buffer): string => {
      const text = value.toString();
      if (!text.includes(":")) return text;
      const name = process.tokens.get(text) ?? `token ${process.index} ${process.tokens.size}`;
      process.tokens.set(text, name);
      return name;
    };
    const put = (key: string, value: Buffer): WriteResult => {
      const cas = ++this.lastCas;
      items.set(key, { value: nameOf(value), cas });
      return { result: "stored", cas };
    };
    return {
      isShared: () => true,
      noteWrite: () => {},
      noteFlush: () => {},
      read: (key) =>
        call(`read ${key}`, (): PoolItem | null => {
          const item = items.get(key);
          return item === undefined ? null : { ttlSeconds: TTL_SECONDS, cas: item.cas };
        }),
      get: (_owner, key) =>
        call(`get ${key}`, (): PoolValue | null => {
          const item = items.get(key);
          if (item === undefined) return null;
          process.read.add(item.value);
          return { value: Buffer.from(item.value), flags: 0 };
        }),
      add: (_owner, key, value) =>
        call(`add ${key} ${nameOf(value)}`, () =>
          items.has(key) ? { result: "notStored" as const } : put(key, value),
        ),
      cas: (_owner, key, value, _exptime, cas) =>
        call(`cas ${key}`, (): WriteResult => {
          const item = items.get(key);
          if (item === undefined) return { result: "notFound" };
          return item.cas === cas ? put(key, value) : { result: "exists" };
        }),
      touch: (key) => call(`touch ${key}`, () => items.has(key)),
      deleteIf: (_owner, key, cas) =>
        call(`deleteIf ${key}`, () => {
          const item = items.get(key);
          if (item === undefined || item.cas !== cas) return false;
          if (key === KEY) this.undone.add(item.value);
          return items.delete(key);
        }),
      put: (_owner, key, value) => {
        void call(`put ${key}`, () => put(key, value));
      },
      drop: (_owner, key) => {
        void call(`drop ${key}`, () => items.delete(key));
      },
    };
  }

  private step(client: number): void {
    const step = this.scenario.clients[client]![this.positions[client]!++]!;
    const process = this.processes[step.via]!;
    this.isBusy[client] = true;
    process.heard.push(`client ${client} ${step.does}`);
    if (step.does === "get") this.get(client, process, this.acknowledged);
    else if (step.does === "invalidate") this.invalidate(client, process, step.value);
    else {
      void process.refresh().then(() => {
        this.isBusy[client] = false;
      });
    }
  }

  private get(client: number, process: Process, since: number): void {
    const answered = (reply: Reply | null) => {
      this.isBusy[client] = false;
      if (reply === null || reply.status !== Status.found) return;
      const value = reply.chunk.toString("latin1", reply.valueStart, reply.valueEnd);
      if (versionOf(value) >= since) return;
      const what = `client ${client} was answered ${value} though version ${since} had been written when it asked`;
      // Read from the pool it may have been on its way out again: the verdict looks whether it was undone.
      if (process.read.has(value)) this.suspects.push({ value, what });
      else this.suspects.push({ value: "never undone", what });
    };
    const ask = () => {
      process.messages.push({
        text: `client ${client} reads`,
        run: () => {
          const item = this.items.get(KEY);
          process.heard.push(`client ${client} reads: ${item?.value ?? "nothing"}`);
          if (item !== undefined) {
            process.read.add(item.value);
            answered(valueReply(item.value));
          } else if (!process.filler.fill(KEY, { filled: answered, askAgain: ask })) {
            throw new Error("the rule covers every key");
          }
        },
      });
    };
    ask();
  }

  private invalidate(client: number, process: Process, value: string | null): void {
    this.version++;
    const { version } = this;
    process.filler.beforeWrite(KEY);
    process.messages.push({
      text: `client ${client} writes`,
      run: () => {
        if (value === null) this.items.delete(KEY);
        else this.items.set(KEY, { value: `v${version}#client`, cas: ++this.lastCas });
        process.heard.push(`client ${client} wrote`);
        this.acknowledged = Math.max(this.acknowledged, version);
        this.isBusy[client] = false;
      },
    });
  }
}

function versionOf(value: string): number {
  return Number(/^v(\d+)/.exec(value)![1]);
}

function valueReply(value: string): Reply {
  const chunk = Buffer.from(value);
  return { status: Status.found, chunk, valueStart: 0, valueEnd: chunk.length } as Reply;
}

function describe(result: unknown): string {
  return JSON.stringify(result, (_key, value) => (typeof value === "bigint" ? String(value) : value));
}

/** What the explorer found. */
export interface Exploration {
  /** Different states that were seen. */
  readonly states: number;
  /** Runs that ended because nothing more could happen. */
  readonly ends: number;
  /** The events that lead to something wrong, and what it is; null: there is no such order. */
  readonly failure: { readonly events: readonly string[]; readonly what: string } | null;
}

/** Takes every order of events of a scenario, each state once. */
export async function explore(scenario: Scenario): Promise<Exploration> {
  const seen = new Set<string>();
  const paths: string[][] = [[]];
  let ends = 0;
  while (paths.length > 0) {
    const path = paths.pop()!;
    const world = new World(scenario);
    for (const event of path) await world.take(event);
    for (;;) {
      const signature = world.signature();
      if (path.length > 0 && seen.has(signature)) break;
      seen.add(signature);
      const events = world.events();
      if (events.length === 0) {
        ends++;
        const what = world.verdict();
        if (what !== null) return { states: seen.size, ends, failure: { events: path, what } };
        break;
      }
      for (const event of events.slice(1)) paths.push([...path, event]);
      path.push(events[0]!);
      await world.take(events[0]!);
    }
  }
  return { states: seen.size, ends, failure: null };
}
