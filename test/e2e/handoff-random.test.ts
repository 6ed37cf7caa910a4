/**
 * Clients that set, delete, read and count at random, while servers are added and removed all the time: no get is answered
 * with a value that is older than an acknowledged write, and keys that no client deletes are never missed.
 *
 * The time between adding a copy and deleting it again is excepted, after a delete that came in between: what is read then
 * is gone at the next look.
 */
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { seededRandom } from "../support/vectors/seeded-random.ts";

const SERVERS = 5;
const CHANGES = 40;
const WRITERS = 8;
const KEYS_OF_WRITER = 40;
const GONE_MS = 2_000;
const COPIES_FROM_MS = 1_200;

const memcacheds: MemcachedProcess[] = [];
const clients: TextClient[] = [];
const platypuses: Platypus[] = [];

beforeEach(async () => {
  for (let i = 0; i < SERVERS; i++) memcacheds.push(await MemcachedProcess.start());
});

afterEach(async () => {
  for (const each of clients.splice(0)) each.close();
  for (const each of platypuses.splice(0)) await each.close();
  for (const each of memcacheds.splice(0)) await each.stop();
});

function config(servers: readonly number[]) {
  return nativeConfig(
    targetOf(
      servers.map((server) => memcacheds[server]!.port),
      'handoff = "1h"\nconnections = 2\nserver_timeout = "5s"',
    ),
  );
}

async function connect(platypus: Platypus): Promise<TextClient> {
  const address = platypus.addresses[0]!;
  const client = await TextClient.connect(address.type === "tcp" ? address.port : 0);
  clients.push(client);
  return client;
}

async function ask(client: TextClient, command: string, end = "\r\n"): Promise<string> {
  client.send(command);
  return client.until(end);
}

/** What is known of a key: the version of the last acknowledged write, and the numbers of writes that began and ended. */
interface Known {
  version: number;
  isDeleted: boolean;
  begun: number;
  ended: number;
}

const known = new Map<string, Known>();
let reads = 0;
let misses = 0;
let isOver = false;
/** Operations in progress, and the gate before them. */
let busy = 0;
let gate: Promise<void> = Promise.resolve();

/** Reads any key; what is read is at least as new as the last write that was acknowledged before. */
async function check(client: TextClient, key: string): Promise<void> {
  const before = { ...known.get(key)! };
  const text = await ask(client, `get ${key}\r\n`, "END\r\n");
  const version = Number(/\r\n(\d+)\r\nEND/.exec(text)?.[1] ?? Number.NaN);
  reads++;
  if (Number.isNaN(version)) {
    // While a key is being written, it may be on neither server.
    if (!before.isDeleted && before.ended === before.begun && known.get(key)!.begun === before.begun) misses++;
    return;
  }
  const isOld = version < before.version || (before.isDeleted && version === before.version);
  if (!isOld) return;
  if (!before.isDeleted) throw new Error(`${key}: read ${version} after ${before.version} was written`);
  const endMs = performance.now() + GONE_MS;
  while ((await ask(client, `get ${key}\r\n`, "END\r\n")).includes(`\r\n${version}\r\n`)) {
    if (known.get(key)!.version !== before.version) return;
    if (performance.now() > endMs) throw new Error(`${key}: ${version} stays after it was deleted`);
  }
}

async function write(client: TextClient, key: string, random: () => number): Promise<void> {
  const one = known.get(key)!;
  const version = one.version + 1;
  const dice = random();
  const mayDelete = key.endsWith("0");
  one.begun++;
  if (mayDelete && dice < 0.3) {
    await ask(client, `delete ${key}\r\n`);
    one.isDeleted = true;
  } else if (dice < 0.6) {
    expect(await ask(client, `incr ${key} 1\r\n`)).toMatch(one.isDeleted ? /^(NOT_FOUND|\d+)\r\n$/ : `${version}\r\n`);
    if (!one.isDeleted) one.version = version;
  } else {
    expect(await ask(client, `set ${key} 0 0 ${String(version).length}\r\n${version}\r\n`)).toBe("STORED\r\n");
    Object.assign(one, { version, isDeleted: false });
  }
  one.ended++;
}

async function run(keys: readonly string[], random: () => number): Promise<void> {
  const own = await Promise.all(platypuses.map(connect));
  const all = [...known.keys()];
  while (!isOver) {
    const client = own[Math.floor(random() * own.length)]!;
    await gate;
    busy++;
    if (random() < 0.3) await write(client, keys[Math.floor(random() * keys.length)]!, random);
    else await check(client, all[Math.floor(random() * all.length)]!);
    busy--;
  }
}

/** Changes the list of all processes. Several ones need the same list: then no operation is in progress meanwhile. */
async function changeTo(servers: readonly number[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (platypuses.length > 1) {
    gate = promise;
    await expect.poll(() => busy, { interval: 1 }).toBe(0);
  }
  for (const platypus of platypuses) platypus.reload(config(servers));
  resolve();
}

async function leavesNothingOld(processes: number): Promise<void> {
  known.clear();
  [reads, misses, isOver, busy, gate] = [0, 0, false, 0, Promise.resolve()];
  const random = seededRandom(Number(process.env.PLATYPUS_TEST_SEED ?? 1));
  for (let i = 0; i < processes; i++) platypuses.push(await Platypus.start(config([0, 1, 2])));
  const first = await connect(platypuses[0]!);
  const keysOf = Array.from({ length: WRITERS }, (_, writer) =>
    Array.from({ length: KEYS_OF_WRITER }, (_, i) => `w${writer}:${i}`),
  );
  for (const key of keysOf.flat()) {
    known.set(key, { version: 1, isDeleted: false, begun: 0, ended: 0 });
    await ask(first, `set ${key} 0 0 1\r\n1\r\n`);
  }
  const runs = keysOf.map((keys) => run(keys, random));
  const used = new Set([0, 1, 2]);
  for (let i = 0; i < CHANGES; i++) {
    const server = Math.floor(random() * SERVERS);
    if (used.has(server) && used.size > 2) used.delete(server);
    else used.add(server);
    await Promise.race([changeTo([...used].sort()), ...runs]);
    const until = reads + 300;
    // Some lists stay so long that keys are copied for gets as well.
    if (i % 6 === 5) await Promise.race([delay(COPIES_FROM_MS), ...runs]);
    await Promise.race([expect.poll(() => reads, { timeout: 20_000 }).toBeGreaterThan(until), ...runs]);
  }
  isOver = true;
  await Promise.all(runs);
  expect(reads).toBeGreaterThan(CHANGES * 300);
  expect(misses).toBe(0);
}

describe.skipIf(MemcachedProcess.isMissing)("a handoff under load", () => {
  it.each([1, 2])("leaves no stale value and misses nothing, with %i processes", leavesNothingOld, 120_000);
});
