/**
 * Random clients over a fleet whose connections to memcached delay and split bytes. A get is never answered with a value that
 * was fetched before a write that had been acknowledged when the get was sent, and no such value stays in the pool.
 *
 * Every value is a unique number: `base` is the fetch or set that it comes from, and the rest is what incr has added. So a reply
 * shows its origin. All sides are in this process and share one counter of moments.
 */
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { SlowWire } from "../support/servers/slow-wire.ts";
import { seededRandom } from "../support/vectors/seeded-random.ts";

const PROCESSES = 3;
const RUN_FOR_MS = 6_000;
const MAX_FETCH_MS = 120;
const FIRST_BASE = 100_000_000;
const BASE_STEP = 1_000;

/** Gets and deletes of one key make for the most trouble. */
const verbs = ["get", "get", "get", "get", "gets", "mg", "delete", "delete", "delete", "set", "incr", "touch"] as const;
const action = fc.record({
  verb: fc.constantFrom(...verbs),
  via: fc.nat({ max: PROCESSES - 1 }),
  key: fc.constantFrom(0, 0, 0, 1),
  pauseMs: fc.nat({ max: 25 }),
});
/** What each client of a small world does, one thing after the other; worlds have keys of their own. */
const world = fc.array(fc.array(action, { maxLength: 5, size: "max" }), { minLength: 2, maxLength: 4 });
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

interface Write {
  readonly sent: number;
  acknowledged: number;
  /** The base of the value that it set. `null` if it set nothing. */
  readonly base: number | null;
  /** The value after an incr. `null` if there was none. */
  counted: number | null;
}

function baseOf(value: number): number {
  return value - (value % BASE_STEP);
}

describe.skipIf(MemcachedProcess.isMissing)("a fleet with random clients", () => {
  const undo: (() => unknown)[] = [];
  const platypuses: Platypus[] = [];
  let origin: HttpOrigin;
  let wire: SlowWire;
  let direct: TextClient;
  let moment = 0;
  let lastBase = FIRST_BASE;
  let worlds = 0;
  let random: () => number;
  /** When the source was read for a fetch, or a set was acknowledged, by base. */
  let bornAt: Map<number, number>;
  /** When the server last gave a value to anybody. */
  let seenAt: Map<number, number>;
  let writesTo: Map<string, Write[]>;

  beforeAll(async () => {
    const memcached = await MemcachedProcess.start();
    undo.push(() => memcached.stop());
    wire = await SlowWire.to(memcached.port);
    undo.push(() => wire.close());
    wire.onAnswer = (chunk) => {
      for (const [, value] of chunk.toString("latin1").matchAll(/\r\n(\d{9})(?=\r\n)/g)) {
        seenAt.set(Number(value), ++moment);
      }
    };
    origin = await HttpOrigin.start();
    undo.push(() => origin.close());
    origin.handle = (_request, response) => {
      const base = newBase();
      bornAt.set(base, ++moment);
      const luck = random();
      setTimeout(() => {
        if (luck < 0.05) response.writeHead(500).end();
        else if (luck < 0.1) response.writeHead(404).end();
        else response.end(String(base));
      }, random() * MAX_FETCH_MS);
    };
    const config = `
      ${targetOf([wire.port], 'connections = 2\nserver_timeout = "20s"\nconnect_timeout = "5s"')}
      [get.random]
      match = "(w.*)"
      source = "origin"
      fill_timeout = "20s"
      [source.origin]
      type = "http"
      url = "${origin.url}/{1}"
    `;
    for (let i = 0; i < PROCESSES; i++) {
      const platypus = await Platypus.start(nativeConfig(config));
      undo.push(() => platypus.close());
      platypuses.push(platypus);
    }
    direct = await TextClient.connect(memcached.port);
    undo.push(() => direct.close());
  });
  afterAll(async () => {
    for (const step of undo.reverse()) await step();
  });
  beforeEach(() => {
    bornAt = new Map();
    seenAt = new Map();
    writesTo = new Map();
    random = seededRandom(0);
  });

  function newBase(): number {
    lastBase += BASE_STEP;
    return lastBase;
  }

  /** From when on a value is what it is. What an incr has made is the client's own, whatever it was made of. */
  function birthOf(key: string, value: number): number {
    const base = baseOf(value);
    if (value === base) return bornAt.get(base)!;
    const made = (writesTo.get(key) ?? []).filter(({ counted }) => counted !== null && counted <= value);
    const births = made.filter(({ counted }) => baseOf(counted!) === base).map(({ acknowledged }) => acknowledged);
    // An incr whose answer is still on its way.
    return births.length < value - base ? Number.POSITIVE_INFINITY : Math.max(...births);
  }

  /** A write that was acknowledged before `asked` and is newer than the value. `undefined` if there is no such write. */
  function newerWrite(key: string, value: number, asked: number): Write | undefined {
    const birth = birthOf(key, value);
    return writesTo.get(key)?.find(({ sent, acknowledged, counted }) => {
      if (acknowledged >= asked || sent <= birth) return false;
      return counted === null || baseOf(counted) !== baseOf(value) || value < counted;
    });
  }

  async function retrieve(client: TextClient, verb: "get" | "gets" | "mg", key: string): Promise<number | null> {
    let answer = await client.ask(verb === "mg" ? `mg ${key} v c f t` : `${verb} ${key}`, "\r\n");
    if (answer === "END\r\n" || answer === "EN\r\n") return null;
    expect(answer).toMatch(verb === "mg" ? /^VA 9 / : new RegExp(`^VALUE ${key} 0 9`));
    answer = await client.until(verb === "mg" ? "\r\n" : "END\r\n");
    return Number(/^\d{9}(?=\r\n)/.exec(answer)![0]);
  }

  async function read(client: TextClient, verb: "get" | "gets" | "mg", key: string): Promise<void> {
    const asked = ++moment;
    const value = await retrieve(client, verb, key);
    if (value === null) return;
    const newer = newerWrite(key, value, asked);
    if (newer === undefined) return;
    // Between being added and being deleted again it may be read from the pool, and is gone from there a moment later.
    const what = `${verb} ${key} of moment ${asked} was answered ${value}, born at ${birthOf(key, value)}, though a write of moment ${newer.sent} was acknowledged at ${newer.acknowledged}`;
    expect(seenAt.get(value) ?? 0, what).toBeGreaterThan(asked);
  }

  async function write(client: TextClient, verb: "delete" | "set" | "incr", key: string): Promise<void> {
    const base = verb === "set" ? newBase() : null;
    const made: Write = { sent: ++moment, acknowledged: Number.POSITIVE_INFINITY, base, counted: null };
    if (base !== null) bornAt.set(base, Number.POSITIVE_INFINITY);
    const writes = writesTo.get(key) ?? [];
    writesTo.set(key, [...writes, made]);
    const commands = { delete: `delete ${key}`, set: `set ${key} 0 0 9\r\n${base}`, incr: `incr ${key} 1` };
    const answer = await client.ask(commands[verb]);
    expect(answer).toMatch(/^(STORED|DELETED|NOT_FOUND|\d{9})\r\n$/);
    made.acknowledged = ++moment;
    if (base !== null) bornAt.set(base, made.acknowledged);
    if (verb === "incr" && answer !== "NOT_FOUND\r\n") made.counted = Number(answer);
  }

  async function act(clients: readonly TextClient[], name: string, { verb, via, key, pauseMs }: Action): Promise<void> {
    await delay(pauseMs);
    const client = clients[via]!;
    const fullKey = `${name}/${key}`;
    if (verb === "get" || verb === "gets" || verb === "mg") await read(client, verb, fullKey);
    else if (verb !== "touch") await write(client, verb, fullKey);
    else expect(await client.ask(`touch ${fullKey} 100`)).toMatch(/^(TOUCHED|NOT_FOUND)\r\n$/);
  }

  async function live(actions: readonly (readonly Action[])[]): Promise<string[]> {
    const name = `w${++worlds}`;
    const everybody: TextClient[] = [];
    try {
      const lives = actions.map(async (own) => {
        const clients = await Promise.all(platypuses.map((platypus) => connectTo(platypus)));
        everybody.push(...clients);
        for (const one of own) await act(clients, name, one);
      });
      const ends = await Promise.allSettled(lives);
      for (const end of ends) if (end.status === "rejected") throw end.reason;
    } finally {
      for (const client of everybody) client.close();
    }
    return [`${name}/0`, `${name}/1`];
  }

  async function connectTo(platypus: Platypus): Promise<TextClient> {
    const [address] = platypus.addresses;
    return TextClient.connect(address?.type === "tcp" ? address.port : 0);
  }

  /** Resolves when no process has a fetch, a refresh or a request to the pool in flight. */
  async function quiet(): Promise<void> {
    const clients = await Promise.all(platypuses.map(connectTo));
    const underWay = async (client: TextClient) => {
      const stats = await client.ask("stats platypus", "END\r\n");
      return [...stats.matchAll(/(?:in_flight|outstanding) (\d+)\r$/gm)].some(([, count]) => count !== "0");
    };
    while ((await Promise.all(clients.map(underWay))).includes(true));
    for (const client of clients) client.close();
  }

  /** Checks the value of a key in the pool, when nothing is in flight. */
  async function checkPool(key: string): Promise<void> {
    const value = await retrieve(direct, "get", key);
    if (value !== null) {
      const newer = newerWrite(key, value, ++moment);
      const what = `${key} keeps ${value}, born at ${birthOf(key, value)}`;
      expect(newer, what).toBeUndefined();
    }
    const writes = writesTo.get(key) ?? [];
    const last = writes.at(-1);
    const isAlone = writes.every((write) => write === last || write.acknowledged < last!.sent);
    if (last?.base && isAlone) expect(value, `${key} has lost a client's set`).toBe(last.base);
  }

  async function counted(name: string): Promise<number> {
    let sum = 0;
    for (const platypus of platypuses) {
      const client = await connectTo(platypus);
      sum += Number(
        new RegExp(`STAT rule:random:${name} (\\d+)`).exec(await client.ask("stats platypus", "END\r\n"))![1],
      );
      client.close();
    }
    return sum;
  }

  it("returns no value older than the last acknowledged write to a client, and stores none", async () => {
    const worldsOfRun = fc.array(world, { minLength: 1, maxLength: 200, size: "max" });
    const property = fc.asyncProperty(fc.integer(), worldsOfRun, async (seed, lives) => {
      random = seededRandom(seed);
      wire.random = random;
      const keys = await Promise.all(lives.map(live));
      await quiet();
      for (const key of keys.flat()) await checkPool(key);
    });
    // At least one run, however busy the machine is.
    await fc.assert(property, { numRuns: 1 });
    const details = await fc.check(property, { numRuns: 10_000, interruptAfterTimeLimit: RUN_FOR_MS });
    if (details.counterexample !== null) throw new Error(fc.defaultReportMessage(details));
    // Processes waited for one another, and writes came in between.
    expect(await counted("overtaken")).toBeGreaterThan(0);
    expect(await counted("leases_awaited")).toBeGreaterThan(0);
  });
});
