/**
 * A fleet small enough to be explored whole: processes with the real Filler and refresh, one server, one source, clients
 * that follow scripts. Nothing happens by itself. Every message, every end of a fetch, every timer, every step of a client,
 * every lost connection and every reload is an event, and the explorer takes the events in every possible order.
 *
 *     m0  the server executes process 0's oldest message and answers     f0.2  process 0's second fetch ends
 *     x0  process 0's connection is lost, with everything on it          t0    process 0 looks for another's value again
 *     g0  the server executes the oldest message of a lost connection    s0    process 0 checks an unsettled write again
 *     d0  the rest of that connection never arrives                      c1    the second client takes its next step
 *     r0  process 0 reloads
 *
 * The source has versions. A client that changes it writes to the key afterwards ("change the source, then delete"). From
 * the moment that the write is acknowledged, a get must not be answered with an older version.
 *
 * A message of a lost connection may be executed late, but before the second check of the write that it carries.
 */
import { hash } from "node:crypto";
import type { RuleConfig } from "../../../src/config/config.ts";
import { type Reply, Status } from "../../../src/proxy/reply.ts";
import { Filler } from "../../../src/refresh/filler.ts";
import type { PoolPort } from "../../../src/refresh/pool/pool-port.ts";
import { refreshKey } from "../../../src/refresh/refresher.ts";
import { newRuleCounters, newRuleTimings, Rules } from "../../../src/refresh/rules.ts";
import { UnsettledWrites } from "../../../src/refresh/unsettled-writes.ts";
import type { FetchResult } from "../../../src/sources/source.ts";
import { type Exploration, explore, type Footprint, HeldTimers, type ModelWorld, runChain } from "./explorer.ts";
import { type Item, type Message, modelPort, TTL_SECONDS } from "./fleet-pool.ts";
import { ruleDefaults } from "./test-rules.ts";

const KEY = "k";
/** Maximum number of looks for another process' value by one process; one where connections are lost. */
const MAX_LOOKS = 2;
const CHECKS = 2;
/** Microtasks that may hang on one event. */
const LONGEST_CHAIN = 20;

/** What a client does, through which process; or that the key falls due there. */
type Step =
  | { readonly does: "get" | "refresh"; readonly via: number }
  /** Changes the source, then writes to the key: a delete, or a set of `value`. */
  | { readonly does: "invalidate"; readonly via: number; readonly value: string | null };

/** What a reload changes: nothing, what the rule fetches from, or the pool. */
type Reload = "nothing" | "the source" | "the pool port";

export interface Scenario {
  readonly processes: number;
  readonly clients: readonly (readonly Step[])[];
  /** The source's value by version. `null` if it has no value. Versions after the list have one. */
  readonly source?: readonly (string | null)[];
  /** The process whose connection is lost once. */
  readonly loses?: number;
  /** One process reloads once. */
  readonly reload?: Reload;
}

/** An answer that a client got though a newer write had been acknowledged when it asked. */
interface Suspect {
  readonly value: string;
  readonly what: string;
}

/** The world that the rules' sources belong to now: rules are compiled once. */
let current: World;

const rulesOf = Array.from({ length: 4 }, (_, index) => {
  const config: RuleConfig = { ...ruleDefaults, fillTimeoutMs: 1_000_000 };
  const make = () => {
    const fetch = () => current.fetch(index % 2);
    const admission = { admitFill: () => null, endAdmission: () => {} };
    const source = {
      name: "source",
      timeoutMs: 5_000,
      admitRefresh: () => true,
      endRefresh: () => {},
      fetch,
      ...admission,
    };
    return new Rules([{ config, source, counters: newRuleCounters(), timings: newRuleTimings() }]);
  };
  return make();
});

class Process {
  readonly index: number;
  /** To the server, in order. */
  messages: Message[] = [];
  /** Messages of a lost connection, in order. */
  late: Message[] = [];
  readonly timers = new HeldTimers();
  /** Everything that this process has been told. Two orders that tell it the same leave it in one state. */
  heard = "";
  /** Values it has read from the pool. */
  readonly read = new Set<string>();
  looks = 0;
  fetches = 0;
  writes = 0n;
  /** Version at which the source last had nothing. */
  emptyVersion = 0;
  readonly port: PoolPort;
  readonly filler: Filler;
  /** The refresh of a key that is due. */
  readonly refresh: () => Promise<unknown>;
  /** What its leases say: a token is new in each run. */
  private readonly tokens = new Map<string, string>();

  constructor(world: World, index: number) {
    this.index = index;
    const { clock } = this.timers;
    const rules = rulesOf[index]!;
    const port = world.port(this);
    this.port = port;
    const before = { known: null, expectedMs: TTL_SECONDS * 1000, isServable: true };
    const unsettled = new UnsettledWrites(clock, CHECKS);
    this.refresh = () => refreshKey(KEY, rules.match(KEY)!, before, { port, portNow: () => port, clock, unsettled });
    this.filler = new Filler({
      rules,
      port,
      clock,
      events: { populated: () => {}, got: () => {}, gotAll: () => {}, isTracked: () => false },
      log: { sourceFailed: fail, poolFailed: () => {}, observed: () => {} },
      holdBytes: 1 << 20,
      unsettled,
    });
  }

  nameOf(value: Buffer): string {
    const text = value.toString();
    if (!text.includes(":")) return text;
    const name = this.tokens.get(text) ?? `token ${this.index} ${this.tokens.size}`;
    this.tokens.set(text, name);
    return name;
  }

  hear(text: string): void {
    this.heard += `${text}\n`;
  }
}

function fail(_rule: unknown, error: unknown): void {
  throw error;
}

/** One run. */
class World implements ModelWorld {
  readonly suspects: Suspect[] = [];
  private readonly scenario: Scenario;
  private readonly items = new Map<string, Item>();
  private readonly processes: Process[];
  private readonly positions: number[];
  private readonly isBusy: boolean[];
  /** Fetches under way, by `process.number`. */
  private readonly fetches = new Map<string, { readonly value: string; readonly end: () => void }>();
  private readonly undone = new Set<string>();
  private version = 0;
  private clientWrites = 0n;
  /** Version that the last acknowledged write stands for. */
  private acknowledged = 0;
  private losses: number;
  private reloads: number;

  constructor(scenario: Scenario) {
    current = this;
    this.scenario = scenario;
    this.losses = scenario.loses === undefined ? 0 : 1;
    this.reloads = scenario.reload === undefined ? 0 : 1;
    this.processes = Array.from({ length: scenario.processes }, (_, index) => new Process(this, index));
    this.positions = scenario.clients.map(() => 0);
    this.isBusy = scenario.clients.map(() => false);
  }

  /** Names of what may happen next. */
  events(): string[] {
    const events: string[] = [];
    const maxLooks = this.scenario.loses === undefined ? MAX_LOOKS : 1;
    this.processes.forEach(({ messages, late, timers, looks }, index) => {
      if (messages.length > 0) events.push(`m${index}`);
      if (timers.looks.length > 0 && looks < maxLooks) events.push(`t${index}`);
      if (late.length > 0) events.push(`g${index}`, `d${index}`);
      else if (timers.checks.length > 0) events.push(`s${index}`);
      if (messages.length > 0 && this.losses > 0 && this.scenario.loses === index) events.push(`x${index}`);
      if (this.reloads > 0) events.push(`r${index}`);
    });
    for (const id of this.fetches.keys()) events.push(`f${id}`);
    this.scenario.clients.forEach((steps, index) => {
      if (!this.isBusy[index] && this.positions[index]! < steps.length) events.push(`c${index}`);
    });
    return events;
  }

  /** Lets one of them happen, and all that follows from it within the processes. */
  async take(event: string): Promise<void> {
    const index = indexOf(event);
    const process = this.processes[index]!;
    switch (event[0]) {
      case "m":
        process.messages.shift()!.run(true);
        break;
      case "g":
        process.late.shift()!.run(false);
        break;
      case "d":
        process.late = [];
        break;
      case "x": {
        this.losses--;
        process.hear("lost");
        process.late.push(...process.messages.filter(({ text }) => !isRead(text)));
        const lost = process.messages;
        process.messages = [];
        for (const message of lost) message.fail();
        break;
      }
      case "t":
        process.looks++;
        process.hear("timer");
        process.timers.looks.shift()!();
        break;
      case "s":
        process.hear("check");
        process.timers.checks.shift()!();
        break;
      case "r":
        this.reload(process);
        break;
      case "c":
        this.step(index);
        break;
      default: {
        const id = event.slice(1);
        const { end } = this.fetches.get(id)!;
        this.fetches.delete(id);
        end();
      }
    }
    await runChain(LONGEST_CHAIN);
  }

  /** The footprint of an event that may happen next. */
  footprint(event: string): Footprint {
    const index = indexOf(event);
    const own = `process ${index}`;
    switch (event[0]) {
      case "m":
      case "g": {
        const { text } = event[0] === "m" ? this.processes[index]!.messages[0]! : this.processes[index]!.late[0]!;
        const isClients = text.startsWith("client");
        const item = isClients || text.includes(` ${KEY}`) ? "value" : "lease";
        const reads = isRead(text) ? ["version", item] : ["version"];
        return { reads, writes: [own, ...(isRead(text) ? [] : [item]), ...(isClients ? ["acknowledged"] : [])] };
      }
      case "c": {
        const step = this.scenario.clients[index]![this.positions[index]!]!;
        const via = `process ${step.via}`;
        if (step.does === "invalidate") return { reads: [], writes: [via, "version"] };
        return { reads: ["acknowledged"], writes: [via] };
      }
      case "x":
        return { reads: ["version"], writes: [own, "losses"] };
      case "r":
        return { reads: ["version"], writes: [own, "reloads"] };
      default:
        return { reads: ["version"], writes: [own] };
    }
  }

  /** Equal for two runs that continue in the same way. */
  signature(): string {
    const { items, processes, positions, isBusy, fetches, version, acknowledged, losses, reloads } = this;
    const ofItems = [...items].map(([key, { value, cas }]) => `${key} ${value} ${cas}`).sort();
    const ofProcesses = processes.map(
      ({ heard, messages, late, timers: { looks, checks } }) =>
        `${heard}|${textsOf(messages)}|${textsOf(late)}|${looks.length} ${checks.length}`,
    );
    const ofFetches = [...fetches.values()].map(({ value }) => value);
    const ofSuspects = this.suspects.map(({ what }) => what).sort();
    const rest = [positions, isBusy, version, acknowledged, losses, reloads, [...this.undone].sort()];
    const text = [ofItems, ofProcesses, ofFetches.sort(), ofSuspects, rest].join("\n\n");
    return hash("sha1", text, "base64");
  }

  /** The error at the end of a run. `null` if all is right. */
  verdict(): string | null {
    for (const [key, { value, version }] of this.items) {
      const isOld =
        key === KEY ? versionOf(value) < this.acknowledged : value === "absent" && version < this.acknowledged;
      if (isOld) return `the pool keeps ${value} though version ${this.acknowledged} was written`;
    }
    const wrong = this.suspects.find(({ value }) => !this.undone.has(value));
    return wrong === undefined ? null : wrong.what;
  }

  fetch(index: number): Promise<FetchResult> {
    const { version } = this;
    const process = this.processes[index]!;
    const id = `${index}.${++process.fetches}`;
    const value = `v${version}#${id}`;
    const has = this.scenario.source?.[version];
    return new Promise((resolve) => {
      const end = () => {
        process.hear(`fetched ${value}`);
        if (has === null) process.emptyVersion = version;
        const found = { type: "value", value: Buffer.from(value), tag: null, freshness: null } as const;
        resolve(has === null ? { type: "notThere" } : found);
      };
      this.fetches.set(id, { value, end });
    });
  }

  port(process: Process): PoolPort {
    return modelPort(process, KEY, this.items, this.undone);
  }

  private reload(process: Process): void {
    this.reloads--;
    process.hear("reload");
    const { reload } = this.scenario;
    // Rules of another source stand two places further.
    const rules = rulesOf[reload === "the source" ? process.index + 2 : process.index]!;
    const port = reload === "the pool port" ? this.port(process) : process.port;
    process.filler.replace(new Rules(rules.list), port, 1 << 20);
  }

  private step(client: number): void {
    const step = this.scenario.clients[client]![this.positions[client]!++]!;
    const process = this.processes[step.via]!;
    this.isBusy[client] = true;
    process.hear(`client ${client} ${step.does}`);
    if (step.does === "get") this.get(client, process, this.acknowledged);
    else if (step.does === "invalidate") this.invalidate(client, process, step.value);
    else {
      const end = () => {
        this.isBusy[client] = false;
      };
      void process.refresh().then(end, end);
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
    const fill = (hasPoolFailed: boolean) => {
      if (!process.filler.fill(KEY, { filled: answered, askAgain: ask }, hasPoolFailed)) {
        throw new Error("the rule covers every key");
      }
    };
    const ask = () => {
      process.messages.push({
        text: `client ${client} reads`,
        run: (isAnswered) => {
          if (!isAnswered) return;
          const item = this.items.get(KEY);
          process.hear(`client ${client} reads: ${item?.value ?? "nothing"}`);
          if (item === undefined) {
            fill(false);
            return;
          }
          process.read.add(item.value);
          answered(valueReply(item.value));
        },
        fail: () => fill(true),
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
      run: (isAnswered) => {
        if (value === null) this.items.delete(KEY);
        else this.items.set(KEY, { value: `v${version}#client`, cas: ++this.clientWrites, version });
        if (!isAnswered) return;
        process.hear(`client ${client} wrote`);
        this.acknowledged = Math.max(this.acknowledged, version);
        this.isBusy[client] = false;
      },
      fail: () => {
        this.isBusy[client] = false;
      },
    });
  }
}

/** The index of the process or client of an event. */
function indexOf(event: string): number {
  return Math.trunc(Number(event.slice(1)));
}

/** It makes no difference whether such a message of a lost connection is executed. */
function isRead(text: string): boolean {
  return text.startsWith("get ") || text.startsWith("read ") || text.endsWith(" reads");
}

function textsOf(messages: readonly Message[]): string {
  return messages.map(({ text }) => text).join(", ");
}

function versionOf(value: string): number {
  return Number(/^v(\d+)/.exec(value)![1]);
}

function valueReply(value: string): Reply {
  const chunk = Buffer.from(value);
  return { status: Status.found, chunk, valueStart: 0, valueEnd: chunk.length } as Reply;
}

/** Takes every order of events of a scenario. */
export function exploreFleet(scenario: Scenario): Promise<Exploration> {
  return explore(() => new World(scenario));
}
