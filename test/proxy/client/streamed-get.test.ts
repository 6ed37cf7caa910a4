import { once } from "node:events";
import type { Socket } from "node:net";
import { connect } from "node:net";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { failures, fixedReply, gatheredReply, missReply, Reply, Status } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import { RecordingRoute } from "../../support/fakes/recording-route.ts";
import { type StartedListener, startListener } from "../../support/rigs/client-listener.ts";

/** Answers are written here, and overwritten as soon as they were handled. */
const readBuffer = Buffer.alloc(256 * 1024 * 1024);

const MAX_IDLE_TURNS = 100_000;

let route: RecordingRoute;
let started: StartedListener;
let socket: Socket;
/** What the client has received since the last command. */
let received: Buffer[] = [];
let tail = "";

const values = new Map<string, string>();
const block = (key: string) => `VALUE ${key} 0 ${values.get(key)!.length}\r\n${values.get(key)!}\r\n`;
const turn = () => new Promise((resolve) => setImmediate(resolve));

function keysOf(request: Request): string[] {
  const { keys } = request;
  if (keys === null) return [request.keyText()];
  return keys.starts.map((start, i) => keys.bytes.toString("latin1", start, keys.ends[i]!));
}

/** Answers a request of one key or of a group from `values`, with bytes that are good during the call only. */
function answer(request: Request): void {
  const { keys } = request;
  const names = keysOf(request);
  let end = 10;
  const found = names.map((name) => {
    if (!values.has(name)) return null;
    const start = end;
    end += readBuffer.write(block(name), start, "latin1");
    return { start, end };
  });
  if (keys === null) {
    const reply = new Reply();
    reply.status = found[0] === null ? Status.missing : Status.found;
    reply.chunk = readBuffer;
    reply.start = 10;
    reply.end = end + readBuffer.write("END\r\n", end, "latin1");
    end = reply.end;
    request.complete(reply);
  } else {
    for (const [i, at] of found.entries()) {
      if (at === null) continue;
      keys.blocks[i] = readBuffer;
      keys.blockStarts[i] = at.start;
      keys.blockEnds[i] = at.end;
    }
    request.complete(found.some((at) => at !== null) ? gatheredReply : missReply);
  }
  readBuffer.fill(0xff, 0, end);
}

/** Answers what has been asked, in an order of `pick`'s, until all of `client`'s answers have come. */
async function serve(pick: (count: number) => number, isDone: () => boolean, fails: (key: string) => boolean) {
  let seen = 0;
  let idleTurns = 0;
  const waiting: Request[] = [];
  while (!isDone()) {
    waiting.push(...route.requests.slice(seen));
    seen = route.requests.length;
    if (waiting.length === 0) {
      if (++idleTurns > MAX_IDLE_TURNS) throw new Error("nothing is asked, and the answer has not ended");
      await turn();
      continue;
    }
    idleTurns = 0;
    const [request] = waiting.splice(pick(waiting.length) % waiting.length, 1);
    if (keysOf(request!).some(fails)) request!.complete(failures.timeout);
    else answer(request!);
    if (pick(4) === 0) await turn();
  }
}

function send(text: string): void {
  received = [];
  tail = "";
  socket.write(text);
}

const hasEnd = (end: string) => tail.endsWith(end);

/** True if the client has received `text`, once something has come that ends as it does. */
async function receives(text: string): Promise<boolean> {
  while (!hasEnd(text.slice(-8))) await turn();
  return Buffer.concat(received).toString("latin1") === text;
}

beforeEach(async () => {
  values.clear();
  route = new RecordingRoute();
  started = await startListener(route);
  socket = connect(started.port, "127.0.0.1");
  socket.on("data", (chunk) => {
    received.push(chunk);
    tail = (tail + chunk.subarray(-32).toString("latin1")).slice(-32);
  });
  await once(socket, "connect");
});

afterEach(() => {
  socket.destroy();
  started.listener.close();
});

describe("a streamed get of many keys", () => {
  it("is answered in the order of its keys, whatever order, sizes, misses and failures its parts have", async () => {
    const property = async (sizes: (number | null)[], picks: number[], failing: number) => {
      values.clear();
      for (const [i, size] of sizes.entries()) if (size !== null) values.set(`k${i}`, `${i}:`.padEnd(size, "x"));
      values.set("first", "1");
      values.set("last", "2");
      const names = sizes.map((_, i) => `k${i}`);
      let at = 0;
      route.requests.length = 0;
      send(`get first\r\nget ${names.join(" ")}\r\nget last\r\nversion\r\n`);
      const fails = (key: string) => failing > 0 && key === `k${failing}`;
      const asked = new Map<string, number>();
      await serve(
        (count) => (picks.length === 0 ? 0 : picks[at++ % picks.length]! % count),
        () => hasEnd("VERSION 1.6.45\r\n"),
        fails,
      );
      for (const request of route.requests)
        for (const key of keysOf(request)) asked.set(key, (asked.get(key) ?? 0) + 1);
      // Keys that share a command with one that failed may be missing.
      const lost = route.requests.filter((request) => keysOf(request).some(fails)).flatMap(keysOf);
      const there = names.filter((name) => values.has(name) && !lost.includes(name)).map(block);
      expect(
        await receives(`${block("first")}END\r\n${there.join("")}END\r\n${block("last")}END\r\nVERSION 1.6.45\r\n`),
      ).toBe(true);
      expect(names.every((name) => (asked.get(name) ?? 0) > 0)).toBe(true);
    };
    const size = fc.option(fc.oneof({ weight: 12, arbitrary: fc.nat(200) }, fc.nat(40_000), fc.nat(300_000)), {
      freq: 8,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 65, maxLength: 200, size: "max" }),
        fc.array(fc.nat(300), { maxLength: 50 }),
        fc.nat(60),
        property,
      ),
      { numRuns: 25 },
    );
  });

  it("holds back the commands after it until all its keys are answered", async () => {
    send(`get ${Array.from({ length: 70 }, (_, i) => `k${i}`).join(" ")}\r\nset k69 0 0 1\r\n1\r\n`);
    await route.asked(32);
    for (let i = 0; i < 70; i++) {
      await route.asked(i + 1);
      expect(route.requests.some(({ hasData }) => hasData)).toBe(false);
      // Single keys only: nothing is known of the client's values yet.
      if (route.requests[i]!.keys !== null) break;
      route.requests[i]!.complete(missReply);
    }
    for (const request of route.requests.filter(({ keys }) => keys !== null)) request.complete(missReply);
    while (!route.requests.some(({ hasData }) => hasData)) await turn();
    route.requests.at(-1)!.complete(fixedReply(Status.stored, "STORED"));
    expect(await receives("END\r\nSTORED\r\n")).toBe(true);
  });

  it("requests no more values than its client has room for, and the rest when the client reads", async () => {
    values.set("k", "x".repeat(1_000_000));
    route.answerWith = () => {
      const text = `${block("k")}END`;
      const reply = fixedReply(Status.found, text);
      return reply;
    };
    socket.pause();
    const count = 200;
    send(`get${" k".repeat(count)}\r\n`);
    let asked = -1;
    // The kernel's buffers of both sides take some.
    for (let quiet = 0; quiet < 50; quiet++) {
      await turn();
      if (route.requests.length !== asked) quiet = 0;
      asked = route.requests.length;
    }
    expect(asked).toBeLessThan(32);
    socket.resume();
    expect(await receives(`${block("k").repeat(count)}END\r\n`)).toBe(true);
    expect(started.counters).toMatchObject({ getHits: count, getMisses: 0, cutOff: 0 });
  });

  it("drops values for which there is no room, and requests their keys again", async () => {
    const names = Array.from({ length: 100 }, (_, i) => `k${i}`);
    for (const name of names) values.set(name, name.padEnd(400_000, "."));
    send(`get ${names.join(" ")}\r\n`);
    await route.asked(32);
    // The last first: only 8 MiB of them are held.
    await serve(
      (count) => count - 1,
      () => hasEnd("\nEND\r\n"),
      () => false,
    );
    expect(await receives(`${names.map(block).join("")}END\r\n`)).toBe(true);
    expect(route.requests.length).toBeGreaterThan(100);
  });

  it("is counted once, with its hits and misses, even if its client leaves before its end", async () => {
    const names = Array.from({ length: 100 }, (_, i) => `k${i}`);
    values.set("k0", "1");
    send(`get ${names.join(" ")}\r\n`);
    await route.asked(32);
    for (let i = 0; i < 10; i++) answer(route.requests[i]!);
    socket.resetAndDestroy();
    while (started.counters.connections > 0) await turn();
    const asked = route.requests.length;
    for (const request of route.requests.slice(10)) answer(request);
    await turn();
    expect(route.requests.length).toBe(asked);
    expect(started.counters).toMatchObject({ getHits: 1, getMisses: 99 });
  });

  it("requests its other keys through the new routes after a reload, once none is in flight", async () => {
    const names = Array.from({ length: 100 }, (_, i) => `k${i}`);
    for (const name of names) values.set(name, name);
    send(`get ${names.join(" ")}\r\n`);
    await route.asked(32);
    const old = route;
    route = new RecordingRoute();
    started.replaceRoot(route);
    let isQuiet = false;
    started.listener.waitForAll(() => {
      isQuiet = true;
    });
    for (const [i, request] of [...old.requests].entries()) {
      expect(isQuiet).toBe(false);
      answer(request);
      if (i % 8 === 0) await turn();
    }
    expect(isQuiet).toBe(true);
    await serve(
      () => 0,
      () => hasEnd("\nEND\r\n"),
      () => false,
    );
    expect(await receives(`${names.map(block).join("")}END\r\n`)).toBe(true);
    expect(old.requests).toHaveLength(32);
  });

  it("does not delay a reload while its client does not read", async () => {
    values.set("k", "x".repeat(1_000_000));
    route.answerWith = () => fixedReply(Status.found, `${block("k")}END`);
    socket.pause();
    send(`get${" k".repeat(200)}\r\n`);
    await route.asked(3);
    for (let i = 0; i < 50; i++) await turn();
    expect(started.listener.waitForAll(() => {})).toBe(0);
  });

  it("is answered whole if the client ends its stream after it", async () => {
    values.set("k", "x".repeat(100_000));
    route.answerWith = () => fixedReply(Status.found, `${block("k")}END`);
    socket.end(`get${" k".repeat(100)}\r\n`);
    expect(await receives(`${block("k").repeat(100)}END\r\n`)).toBe(true);
    await once(socket, "close");
  });

  it("requests a few keys at once while values are small, and key by key after a large value", async () => {
    const names = Array.from({ length: 40 }, (_, i) => `k${i}`);
    send(`get ${names.join(" ")}\r\n`);
    await route.asked(1);
    expect(keysOf(route.requests[0]!)).toEqual(names);
    answer(route.requests[0]!);
    expect(await receives("END\r\n")).toBe(true);
    send(`set large 0 0 300000\r\n${"x".repeat(300_000)}\r\n`);
    await route.asked(2);
    route.requests[1]!.complete(fixedReply(Status.stored, "STORED"));
    const other = connect(started.port, "127.0.0.1");
    other.write(`get ${names.join(" ")}\r\n`);
    await route.asked(3);
    for (let i = 0; i < 50; i++) await turn();
    expect(route.requests.slice(2).map(keysOf)).toEqual([["k0"], ["k1"]]);
    other.destroy();
  });

  it("gathers a few keys only for a limited number of new clients, whose values may be large", async () => {
    const names = Array.from({ length: 50 }, (_, i) => `k${i}`);
    const others = Array.from({ length: 10 }, () => connect(started.port, "127.0.0.1"));
    for (const other of others) other.write(`get ${names.join(" ")}\r\n`);
    while (route.requests.filter(({ keys }) => keys === null).length < 5 * 32) await turn();
    const gathered = route.requests.filter(({ keys }) => keys !== null);
    expect(gathered).toHaveLength(5);
    for (const request of gathered) request.complete(missReply);
    send(`get ${names.join(" ")}\r\n`);
    while (route.requests.filter(({ keys }) => keys !== null).length < 6) await turn();
    for (const other of others) other.destroy();
  });

  it("is held back after a large value, as are the first gets of any client", async () => {
    const other = connect(started.port, "127.0.0.1");
    await once(other, "connect");
    send(`set large 0 0 300000\r\n${"x".repeat(300_000)}\r\n`);
    await route.asked(1);
    other.write("get k\r\n".repeat(20));
    await route.asked(5);
    for (let i = 0; i < 50; i++) await turn();
    expect(route.requests).toHaveLength(5);
    other.destroy();
  });
});
