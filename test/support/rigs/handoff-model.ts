/**
 * Two servers, of which the second has taken a key over from the first, and processes with the real route of a handoff.
 * Every message, every step of a client, every timer and every lost connection is an event, and the explorer of
 * explorer.ts takes the events in every possible order.
 *
 *     m0.1  server 1 executes process 0's oldest message and answers    t0  process 0 looks for another's copy again
 *     x0    process 0's connection to the new server is lost            s0  process 0 checks an unsettled write again
 *     g0    the server executes the oldest message of that connection   d0  the rest of that connection never arrives
 *     c1    the second client takes its next step
 *
 * From the moment that a client's write is acknowledged, no get is answered with an older value, and no older value is left
 * where a later get would find it.
 */
import { hash } from "node:crypto";
import type { Placement } from "../../../src/proxy/hash/placement.ts";
import { failures } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import { FormerRoute } from "../../../src/proxy/route/former-route.ts";
import type { KeyedBackend } from "../../../src/proxy/route/keyed-backend.ts";
import { PoolRoute } from "../../../src/proxy/route/pool-route.ts";
import { EmbeddedRoute } from "../../../src/proxy/store/embedded-route.ts";
import { ItemStore } from "../../../src/proxy/store/item-store.ts";
import { Copier, newHandoffCounters } from "../../../src/refresh/handoff/copier.ts";
import { HandoffRoute } from "../../../src/refresh/handoff/handoff-route.ts";
import { RoutedPoolPort } from "../../../src/refresh/pool/routed-pool-port.ts";
import { UnsettledWrites } from "../../../src/refresh/unsettled-writes.ts";
import { Asked } from "../fakes/asked.ts";
import { LeafRoute } from "../fakes/leaf-route.ts";
import { type Exploration, explore, type Footprint, HeldTimers, type ModelWorld, runChain } from "./explorer.ts";
import { poolConfig } from "./pool-config.ts";

const KEY = "k";
const OLD = 0;
const NEW = 1;
const MAX_LOOKS = 2;
const CHECKS = 2;
/** Microtasks that may hang on one event. */
const LONGEST_CHAIN = 40;

/** What a client does, through which process. */
type Step = { readonly does: "get" | "gets" | "set" | "delete" | "append" | "touch"; readonly via: number };

export interface HandoffScenario {
  readonly processes: number;
  readonly clients: readonly (readonly Step[])[];
  /** The process whose connection to the new server is lost once. */
  readonly loses?: number;
  /** True if the former server refuses all connections. */
  readonly isFormerDead?: boolean;
  /** True if keys are not copied yet where that is possible. */
  readonly isGrace?: boolean;
}

/** A command on its way to a server. */
interface Message {
  readonly sent: string;
  readonly answer: (text: string | typeof failures.connectionLost) => void;
}

/** A server's store. It executes a command as it arrives on a connection. */
class Server {
  readonly store = new ItemStore(1 << 20, 1 << 16, () => 1_700_000_000);
  private readonly route = new EmbeddedRoute(this.store);

  execute(sent: string): string {
    const isGuarded = sent.endsWith("\r\nmn\r\n");
    const asked = new Asked(isGuarded ? sent.slice(0, -4) : sent);
    asked.by((request) => this.route.route(request));
    return asked.answers[0]!.text + (isGuarded ? "MN\r\n" : "");
  }

  value(key: string): string | null {
    return this.store.peek(key)?.value.toString("latin1") ?? null;
  }
}

class Process {
  readonly messages: [Message[], Message[]] = [[], []];
  /** Messages of the lost connection to the new server. */
  late: Message[] = [];
  readonly timers = new HeldTimers();
  /** Everything that this process has been told. */
  heard = "";
  looks = 0;
  readonly route: HandoffRoute;

  constructor(world: World) {
    const { clock } = this.timers;
    const backends = [OLD, NEW].map((server): KeyedBackend => {
      const leaf = new LeafRoute();
      return {
        name: `server${server}`,
        connectionCount: 1,
        speaksMeta: true,
        mayShare: () => true,
        send: (request: Request) => {
          if (server === OLD && world.isFormerDead) {
            request.complete(failures.tko);
            return;
          }
          leaf.route(request);
          const index = leaf.requests.length - 1;
          this.messages[server]!.push({ sent: leaf.sent[index]!, answer: (text) => leaf.answer(index, text) });
        },
      };
    });
    const at = (index: number): Placement => ({ locate: () => index, keyHash: 0 });
    const pool = new PoolRoute(poolConfig("pool", 2), backends, at(NEW));
    // Checks of a server that never answers end with the handoff.
    const endMs = world.isFormerDead ? 0 : Number.MAX_SAFE_INTEGER;
    const former = FormerRoute.ofList(new PoolRoute(poolConfig("pool", 2), backends, at(OLD)), [], {
      copiesFromMs: world.isGrace ? 1 : 0,
      endMs,
    });
    const unsettled = new UnsettledWrites(clock, CHECKS);
    const copier = new Copier(new RoutedPoolPort(pool, ""), clock, unsettled, newHandoffCounters());
    this.route = new HandoffRoute(pool, [{ servers: former, port: new RoutedPoolPort(former.route, "") }], copier);
  }

  hear(text: string): void {
    this.heard += `${text}\n`;
  }
}

class World implements ModelWorld {
  readonly isFormerDead: boolean;
  readonly isGrace: boolean;
  private readonly scenario: HandoffScenario;
  private readonly servers = [new Server(), new Server()] as const;
  private readonly processes: Process[];
  private readonly positions: number[];
  private readonly isBusy: boolean[];
  private readonly tokens = new Map<string, string>();
  /** Items of the new server that were deleted again because a write had come in between. */
  private readonly undone = new Set<number>();
  private readonly suspects: { readonly cas: number | null; readonly what: string }[] = [];
  private version = 0;
  private acknowledged = 0;
  private losses: number;
  /** The item that the message being executed has read from the new server. */
  private readCas: number | null = null;

  constructor(scenario: HandoffScenario) {
    this.scenario = scenario;
    this.isFormerDead = scenario.isFormerDead ?? false;
    this.isGrace = scenario.isGrace ?? false;
    this.losses = scenario.loses === undefined ? 0 : 1;
    this.servers[OLD].store.store("set", KEY, Buffer.from("v0"), 7, 0);
    this.processes = Array.from({ length: scenario.processes }, () => new Process(this));
    this.positions = scenario.clients.map(() => 0);
    this.isBusy = scenario.clients.map(() => false);
  }

  events(): string[] {
    const events: string[] = [];
    this.processes.forEach(({ messages, late, timers, looks }, index) => {
      for (const server of [OLD, NEW]) if (messages[server]!.length > 0) events.push(`m${index}.${server}`);
      if (timers.looks.length > 0 && looks < MAX_LOOKS) events.push(`t${index}`);
      if (late.length > 0) events.push(`g${index}`, `d${index}`);
      else if (timers.checks.length > 0) events.push(`s${index}`);
      if (messages[NEW].length > 0 && this.losses > 0 && this.scenario.loses === index) events.push(`x${index}`);
    });
    this.scenario.clients.forEach((steps, index) => {
      if (!this.isBusy[index] && this.positions[index]! < steps.length) events.push(`c${index}`);
    });
    return events;
  }

  async take(event: string): Promise<void> {
    const [index, server] = event.slice(1).split(".").map(Number) as [number, number];
    const process = this.processes[index]!;
    switch (event[0]) {
      case "m": {
        const message = process.messages[server]!.shift()!;
        const text = this.execute(server, message.sent);
        process.hear(`${server} ${this.plain(message.sent)}: ${this.plain(text)}`);
        message.answer(text);
        this.readCas = null;
        break;
      }
      case "g":
        this.execute(NEW, process.late.shift()!.sent);
        this.readCas = null;
        break;
      case "d":
        process.late = [];
        break;
      case "x": {
        this.losses--;
        process.hear("lost");
        const lost = process.messages[NEW].splice(0);
        process.late.push(...lost.filter(({ sent }) => !isRead(sent)));
        for (const { answer } of lost) answer(failures.connectionLost);
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
      default:
        this.step(index);
    }
    await runChain(LONGEST_CHAIN);
  }

  footprint(event: string): Footprint {
    const [index, server] = event.slice(1).split(".").map(Number) as [number, number];
    const own = `process ${index}`;
    switch (event[0]) {
      case "m": {
        const isReading = isRead(this.processes[index]!.messages[server]![0]!.sent);
        const item = `server ${server}`;
        return { reads: [item], writes: [own, "acknowledged", ...(isReading ? [] : [item])] };
      }
      case "g":
        return { reads: [], writes: [own, `server ${NEW}`] };
      case "x":
        return { reads: [], writes: [own, "losses", "acknowledged"] };
      case "c": {
        const { via } = this.scenario.clients[index]![this.positions[index]!]!;
        return { reads: ["acknowledged"], writes: [`process ${via}`, "version"] };
      }
      default:
        return { reads: [], writes: [own] };
    }
  }

  signature(): string {
    const { processes, positions, isBusy, version, acknowledged, losses, undone, suspects } = this;
    const items = this.servers.map(({ store }) =>
      [KEY, ...this.tokens.keys()].map((key) => {
        const item = store.peek(key);
        return item === undefined ? "" : `${item.cas} ${item.value.toString("latin1")}`;
      }),
    );
    const leases = this.servers[NEW].store.count;
    const ofProcesses = processes.map(({ heard, messages, late, timers: { looks, checks } }) => {
      const [toOld, toNew] = messages.map((all) => all.map(({ sent }) => this.plain(sent)).join("|"));
      return [heard, toOld, toNew, late.map(({ sent }) => this.plain(sent)).join("|"), looks.length, checks.length];
    });
    const rest = [positions, isBusy, version, acknowledged, losses, [...undone], suspects, leases];
    return hash("sha1", JSON.stringify([items, ofProcesses, rest]), "base64");
  }

  verdict(): string | null {
    for (const server of [OLD, NEW]) {
      const value = this.servers[server]!.value(KEY);
      if (value !== null && versionOf(value) < this.acknowledged) {
        // No client can read from a server that refuses all connections.
        if (server === OLD && this.isFormerDead) continue;
        return `server ${server} keeps ${value} though version ${this.acknowledged} was written`;
      }
    }
    return this.suspects.find(({ cas }) => cas === null || !this.undone.has(cas))?.what ?? null;
  }

  private execute(server: number, sent: string): string {
    const { store } = this.servers[server]!;
    const before = store.peek(KEY);
    const text = this.servers[server]!.execute(sent);
    if (server === NEW) {
      const isUndo = /^md k C/.test(sent) && before !== undefined && store.peek(KEY) === undefined;
      if (isUndo) this.undone.add(before.cas);
      if (isRead(sent)) this.readCas = before?.cas ?? null;
    }
    return text;
  }

  /** A text with tokens of leases, which are new in each run, by number. */
  private plain(text: string): string {
    return text.replace(/[\w-]{16}:\d+/g, (token) => {
      const name = this.tokens.get(token) ?? `token${this.tokens.size}`;
      this.tokens.set(token, name);
      return name;
    });
  }

  private step(client: number): void {
    const { does, via } = this.scenario.clients[client]![this.positions[client]!++]!;
    const process = this.processes[via]!;
    process.hear(`client ${client} ${does}`);
    this.isBusy[client] = true;
    const since = this.acknowledged;
    if (does === "set" || does === "delete") this.version++;
    const { version } = this;
    const value = `v${version}`;
    const commands = {
      get: `get ${KEY}\r\n`,
      gets: `gets ${KEY}\r\n`,
      set: `set ${KEY} 0 0 ${value.length}\r\n${value}\r\n`,
      delete: `delete ${KEY}\r\n`,
      append: `append ${KEY} 0 0 1\r\n+\r\n`,
      touch: `touch ${KEY} 100\r\n`,
    } as const;
    const asked = new Asked(commands[does]);
    asked.onAnswer = ({ text }) => {
      this.isBusy[client] = false;
      const isDone = !text.startsWith("SERVER_ERROR");
      if (isDone && (does === "set" || does === "delete")) this.acknowledged = Math.max(this.acknowledged, version);
      const [, found] = /^VALUE .*\r\n(.*)\r\nEND/.exec(text) ?? [];
      if (found === undefined || versionOf(found) >= since) return;
      const what = `client ${client} was answered ${found} though version ${since} had been written when it asked`;
      this.suspects.push({ cas: this.readCas, what });
    };
    asked.by((request) => process.route.route(request));
  }
}

/** It makes no difference whether such a message of a lost connection is executed. */
function isRead(sent: string): boolean {
  return /^gets? |^mg /.test(sent);
}

function versionOf(value: string): number {
  return Number(/^v(\d+)/.exec(value)?.[1] ?? Number.MAX_SAFE_INTEGER);
}

/** Takes every order of events of a scenario. */
export function exploreHandoff(scenario: HandoffScenario): Promise<Exploration> {
  return explore(() => new World(scenario));
}
