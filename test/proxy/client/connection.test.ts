import { once } from "node:events";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { failures, fixedReply, gatheredReply, MetaCode, Status } from "../../../src/proxy/reply.ts";
import { Operation } from "../../../src/proxy/request.ts";
import { TextClient } from "../../support/clients/text-client.ts";
import { RecordingRoute, valueText } from "../../support/fakes/recording-route.ts";
import { type ListenerSettings, type StartedListener, startListener } from "../../support/rigs/client-listener.ts";

let route: RecordingRoute;
let started: StartedListener;
const clients: TextClient[] = [];

async function listen(changes: Partial<ListenerSettings> = {}): Promise<void> {
  started?.listener.close();
  started = await startListener(route, changes);
}

async function connect(): Promise<TextClient> {
  const client = await TextClient.connect(started.port);
  clients.push(client);
  return client;
}

/** A client of which is known that its answers are small: only then many of its requests are under way. */
async function connectKnown(): Promise<TextClient> {
  const client = await connect();
  const from = route.requests.length;
  client.send("get known\r\n".repeat(16));
  await route.asked(from + 16);
  for (let i = 0; i < 16; i++) route.reply(from + i, Status.missing, "END\r\n");
  for (let i = 0; i < 16; i++) await client.until("END\r\n");
  route.requests.length = from;
  return client;
}

/** Lets the event loop turn until `isReached`; the test's time-out bounds it. */
async function turnsUntil(isReached: () => boolean): Promise<void> {
  while (!isReached()) await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(async () => {
  route = new RecordingRoute();
  await listen();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  started.listener.close();
});

describe("replies of a client connection", () => {
  it("arrive in the order of the requests, whatever order they are completed in", async () => {
    const sizes = fc.oneof(fc.nat(50), fc.nat(20_000));
    const property = async (all: { size: number; turn: number; isKept: boolean; isQuiet: boolean }[]) => {
      const client = await connect();
      const from = route.requests.length;
      const lines = all.map(({ isQuiet }, i) => (isQuiet ? `delete k${i} noreply\r\n` : `get k${i}\r\n`));
      client.send(`${lines.join("")}version\r\n`);
      await route.asked(from + all.length);
      const order = all.map((_, i) => i).sort((a, b) => all[a]!.turn - all[b]!.turn || a - b);
      for (const i of order) {
        const { size, isKept, isQuiet } = all[i]!;
        const text = isQuiet ? "NOT_FOUND" : valueText(`k${i}`, String(i).padEnd(size, "x")).slice(0, -2);
        const status = isQuiet ? Status.notFound : Status.found;
        if (isKept) route.requests[from + i]!.complete(fixedReply(status, text));
        else route.reply(from + i, status, `${text}\r\n`);
        if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      const expected = all.map(({ size, isQuiet }, i) => {
        return isQuiet ? "" : valueText(`k${i}`, String(i).padEnd(size, "x"));
      });
      expect((await client.until("VERSION 1.6.45\r\n")) === `${expected.join("")}VERSION 1.6.45\r\n`).toBe(true);
      client.close();
    };
    const request = fc.record({ size: sizes, turn: fc.nat(5), isKept: fc.boolean(), isQuiet: fc.boolean() });
    await fc.assert(fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 30 }), property), { numRuns: 60 });
  });

  it("wait for their turn if Platypus itself makes them", async () => {
    const client = await connect();
    client.send("get a\r\nversion\r\nbogus\r\nget b\r\nverbosity 1\r\n");
    await route.asked(2);
    route.reply(1, Status.missing, "END\r\n");
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.received.length).toBe(0);
    route.replyValue(0, "1");
    expect(await client.until("OK\r\n")).toBe(`${valueText("a", "1")}VERSION 1.6.45\r\nERROR\r\nEND\r\nOK\r\n`);
  });

  it("are put together from blocks in several places for a multi-key get", async () => {
    const client = await connect();
    client.send("get first\r\nget a b c\r\n");
    await route.asked(2);
    const { keys } = route.requests[1]!;
    for (const [i, text] of ["VALUE a 0 1\r\n1\r\n", null, "VALUE c 0 2\r\n33\r\n"].entries()) {
      if (text === null) continue;
      keys!.blocks[i] = Buffer.from(`..${text}..`);
      keys!.blockStarts[i] = 2;
      keys!.blockEnds[i] = 2 + text.length;
    }
    route.requests[1]!.complete(gatheredReply);
    route.reply(0, Status.missing, "END\r\n");
    expect(await client.until("33\r\nEND\r\n")).toBe("END\r\nVALUE a 0 1\r\n1\r\nVALUE c 0 2\r\n33\r\nEND\r\n");
  });

  it("are misses for failed gets and the error for all other commands", async () => {
    const client = await connect();
    client.send("get a\r\nget a b\r\nset a 0 0 1\r\n1\r\nincr a 1\r\n");
    await route.asked(4);
    route.requests[0]!.complete(failures.timeout);
    route.requests[1]!.complete(failures.tko);
    route.requests[2]!.complete(failures.tko);
    route.reply(3, Status.clientError, "CLIENT_ERROR no number\r\n");
    expect(await client.until("number\r\n")).toBe(
      "END\r\nEND\r\nSERVER_ERROR unavailable\r\nCLIENT_ERROR no number\r\n",
    );
  });

  it("are withheld for noreply commands, including errors", async () => {
    const client = await connect();
    client.send("set a 0 0 1 noreply\r\n1\r\nincr a 1 noreply\r\nset a 0 0 x noreply\r\nversion\r\n");
    await route.asked(2);
    route.requests[0]!.complete(failures.tko);
    route.reply(1, Status.clientError, "CLIENT_ERROR no number\r\n");
    expect(await client.until("\r\n")).toBe("VERSION 1.6.45\r\n");
  });
});

describe("a client connection whose client leaves", () => {
  it("executes nothing for half a command, and is forgotten", async () => {
    for (const half of ["set a 0 0 10\r\nhalf", "get a", "set a 0 0 1\r\nx\r", "s"]) {
      const client = await connect();
      client.send(half);
      await turnsUntil(() => started.counters.bytesRead >= half.length);
      client.close();
      await turnsUntil(() => started.counters.connections === 0);
      started.counters.bytesRead = 0;
    }
    expect(route.requests).toEqual([]);
  });

  it("discards the replies to requests in flight", async () => {
    const client = await connect();
    client.send("get a\r\nget b\r\nset c 0 0 1\r\n1\r\n");
    await route.asked(3);
    client.socket.resetAndDestroy();
    await turnsUntil(() => started.counters.connections === 0);
    for (const i of [1, 0, 2]) route.reply(i, Status.missing, "END\r\n");
    const other = await connect();
    expect(await other.ask("version")).toBe("VERSION 1.6.45\r\n");
  });

  it("answers the received requests at the end of the stream, then closes", async () => {
    const client = await connect();
    client.send("get a\r\nget b\r\nset half 0 0 10\r\n");
    client.socket.end();
    await route.asked(2);
    route.replyValue(1, "2");
    route.replyValue(0, "1");
    expect(await client.end()).toBe(valueText("a", "1") + valueText("b", "2"));
    await turnsUntil(() => started.counters.connections === 0);
  });

  it("answers the requests before quit, and executes nothing after it", async () => {
    const client = await connect();
    client.send("get a\r\nquit\r\nset b 0 0 1\r\n1\r\n");
    await route.asked(1);
    route.replyValue(0, "1");
    expect(await client.end()).toBe(valueText("a", "1"));
    expect(route.requests.length).toBe(1);
  });

  it("closes if the client speaks HTTP", async () => {
    const client = await connect();
    client.send("GET /index.html HTTP/1.1\r\nHost: cache\r\n\r\n");
    expect(await client.end()).toBe("");
    expect(route.requests).toEqual([]);
  });

  it("closes on a line without an end", async () => {
    const client = await connect();
    client.send("x".repeat(5_000));
    expect(await client.end()).toBe("");
  });
});

describe("a value that is too large", () => {
  it("is discarded as it arrives, and none of it is read as commands", async () => {
    await listen({ maxValueBytes: 1_000 });
    for (const [line, answers] of [
      ["add a 0 0 100000", "SERVER_ERROR object too large for cache\r\n"],
      ["add a 0 0 100000 noreply", ""],
      ["cas a 0 0 100000 1 noreply", ""],
    ]) {
      const client = await connect();
      const data = "delete victim\r\n".repeat(10_000).slice(0, 100_000);
      client.send(`${line}\r\n${data}\r\nversion\r\n`);
      expect(await client.until("VERSION 1.6.45\r\n")).toBe(`${answers}VERSION 1.6.45\r\n`);
    }
    expect(route.requests).toEqual([]);
  });

  it("deletes the item that the set would have replaced", async () => {
    await listen({ maxValueBytes: 1_000 });
    const client = await connect();
    client.send(`set a 0 0 2000\r\n${"x".repeat(2_000)}\r\nversion\r\n`);
    await route.asked(1);
    expect([route.requests[0]!.operation, route.requests[0]!.keyText()]).toEqual([Operation.delete, "a"]);
    route.reply(0, Status.notFound, "NOT_FOUND\r\n");
    expect(await client.until("VERSION 1.6.45\r\n")).toBe(
      "SERVER_ERROR object too large for cache\r\nVERSION 1.6.45\r\n",
    );
  });
});

describe("backpressure of a client connection", () => {
  const MIB = 1024 * 1024;

  it("disconnects a client that never reads at its limit, and does not delay other clients", async () => {
    await listen({ clientOutputLimitBytes: 8 * MIB });
    const value = "x".repeat(MIB);
    const [lazy, other] = [await connect(), await connect()];
    lazy.socket.pause();
    // More than the limit and what the kernel holds on both sides.
    lazy.send("get a\r\n".repeat(40));
    await route.asked(40);
    for (let i = 0; i < 40; i++) {
      route.replyValue(i, value);
      other.send("get b\r\n");
      await route.asked(40 + i + 1);
      route.replyValue(40 + i, value);
      expect((await other.until("END\r\n")).length).toBe(valueText("b", value).length);
    }
    await turnsUntil(() => started.counters.connections === 1);
    expect(started.counters.cutOff).toBe(1);
  });

  it("stops reading from a client that does not read, and answers when it does", async () => {
    await listen({ clientOutputLimitBytes: 8 * MIB });
    const value = fixedReply(Status.found, valueText("a", "x".repeat(MIB)).slice(0, -2));
    route.answerWith = () => value;
    const lazy = await connect();
    lazy.socket.pause();
    lazy.send("get a\r\n".repeat(100));
    const other = await connect();
    for (let i = 0; i < 20; i++) expect((await other.ask("get a", "END\r\n")).length).toBe(value.end);
    const asked = route.requests.length - 20;
    expect(asked).toBeLessThan(100);
    let bytes = 0;
    lazy.socket.removeAllListeners("data").on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    lazy.socket.resume();
    await turnsUntil(() => bytes === 100 * value.end);
    expect(started.counters.cutOff).toBe(0);
  });

  it("limits a fault in requests that waited for a slow reader to that client", async () => {
    const faults: Error[] = [];
    started.listener.close();
    started = await startListener(route, {}, (error) => faults.push(error));
    const value = fixedReply(Status.found, valueText("a", "x".repeat(MIB)).slice(0, -2));
    route.answerWith = (request) => {
      if (request.keyText() === "fault") throw new Error("a fault");
      return value;
    };
    const [lazy, other] = [await connect(), await connect()];
    lazy.socket.pause();
    lazy.send(`${"get a\r\n".repeat(40)}get fault\r\n`);
    expect((await other.ask("get a", "END\r\n")).length).toBe(value.end);
    lazy.socket.removeAllListeners("data").resume();
    await turnsUntil(() => started.counters.connections === 1);
    expect(faults.map(({ message }) => message)).toEqual(["a fault"]);
    expect((await other.ask("get a", "END\r\n")).length).toBe(value.end);
  });

  it("lets a client that reads request more than the limit at once", async () => {
    await listen({ clientOutputLimitBytes: 4 * MIB });
    const value = fixedReply(Status.found, valueText("a", "x".repeat(MIB)).slice(0, -2));
    route.answerWith = () => value;
    const client = await connect();
    let bytes = 0;
    client.socket.removeAllListeners("data").on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    client.send("get a\r\n".repeat(50));
    client.socket.end();
    await once(client.socket, "close");
    expect(bytes).toBe(value.end * 50);
    expect(started.counters.cutOff).toBe(0);
  });

  it("allows at most 10,000 requests of a client in flight, and reads the rest when they are answered", async () => {
    const client = await connect();
    const count = 35_000;
    client.send(Array.from({ length: count }, (_, i) => `get k${i}\r\n`).join(""));
    client.send("version\r\n");
    let answered = 0;
    while (answered < count) {
      await turnsUntil(() => route.requests.length > answered);
      expect(route.requests.length - answered).toBeLessThanOrEqual(10_000);
      // From the last to the first, so that all but one are held.
      const upTo = route.requests.length;
      for (let i = upTo - 1; i >= answered; i--) route.replyValue(i, String(i));
      answered = upTo;
    }
    const text = await client.until("VERSION 1.6.45\r\n");
    const expected = Array.from({ length: count }, (_, i) => valueText(`k${i}`, String(i))).join("");
    expect(text === `${expected}VERSION 1.6.45\r\n`).toBe(true);
  });

  it("delivers values of 1 MiB from and to many clients at once whole", async () => {
    const all = await Promise.all(Array.from({ length: 20 }, connect));
    const values = all.map((_, i) => String.fromCharCode(97 + i).repeat(MIB));
    for (const [i, client] of all.entries()) client.send(`set k${i} 0 0 ${MIB}\r\n${values[i]}\r\nget k${i}\r\n`);
    await route.asked(40);
    for (const [at, request] of route.requests.entries()) {
      const i = Number(request.keyText().slice(1));
      if (request.operation === Operation.set) {
        const { chunk, dataStart, frameEnd } = request;
        expect(chunk.toString("latin1", dataStart, frameEnd - 2) === values[i]).toBe(true);
        route.reply(at, Status.stored, "STORED\r\n");
      } else {
        route.replyValue(at, values[i]!);
      }
    }
    for (const [i, client] of all.entries()) {
      expect((await client.until("END\r\n")) === `STORED\r\n${valueText(`k${i}`, values[i]!)}`).toBe(true);
    }
  });
});

describe("a client's share of a turn", () => {
  /** The largest number by which `read` grows from one turn to the next, until it is `end`. */
  async function largestStep(read: () => number, end: number): Promise<number> {
    let largest = 0;
    for (let before = read(); before < end; ) {
      await new Promise((resolve) => setImmediate(resolve));
      largest = Math.max(largest, read() - before);
      before = read();
    }
    return largest;
  }

  it.each([
    ["commands", Array.from({ length: 2_000 }, (_, i) => `get k${i}\r\n`).join(""), 2_000, 256],
    ["keys of gets of many", `get ${"k ".repeat(59)}k\r\n`.repeat(200), 200, 5],
    ["quiet commands", "delete k noreply\r\n".repeat(2_000), 2_000, 256],
  ])("limits its %s, however many it sends at once", async (_what, text, count, bound) => {
    const client = await connectKnown();
    client.send(text);
    expect(await largestStep(() => route.requests.length, count)).toBeLessThanOrEqual(bound);
  });

  it("limits its commands when a server answers at once", async () => {
    route.answerWith = () => failures.tko;
    const client = await connect();
    client.send("get k\r\n".repeat(2_000));
    expect(await largestStep(() => route.requests.length, 2_000)).toBeLessThanOrEqual(256);
  });

  it("lets the commands of other clients run between its own", async () => {
    const [greedy, modest] = [await connectKnown(), await connect()];
    greedy.send("get greedy\r\n".repeat(5_000));
    modest.send("get modest\r\n");
    await route.asked(5_001);
    expect(route.requests.findIndex((request) => request.keyText() === "modest")).toBeLessThan(1_000);
  });

  it("starts anew when reading was stopped, and does not read within the replies that resume it", async () => {
    await listen({ maxOutstanding: 10 });
    const client = await connect();
    client.send(Array.from({ length: 20 }, (_, i) => `get k${i}\r\n`).join(""));
    await route.asked(10);
    for (let i = 0; i < 10; i++) route.replyValue(i, String(i));
    expect(route.requests).toHaveLength(10);
    await route.asked(20);
    for (let i = 10; i < 20; i++) route.replyValue(i, String(i));
    const expected = Array.from({ length: 20 }, (_, i) => valueText(`k${i}`, String(i))).join("");
    expect(await client.until("19\r\nEND\r\n")).toBe(expected);
  });

  it("keeps the replies in the order of the commands, even if the client ends its stream meanwhile", async () => {
    route.answerWith = (request) => fixedReply(Status.found, valueText(request.keyText(), "v").slice(0, -2));
    const client = await connect();
    client.send(Array.from({ length: 3_000 }, (_, i) => `get k${i}\r\n`).join(""));
    client.socket.end("version\r\n");
    const expected = Array.from({ length: 3_000 }, (_, i) => valueText(`k${i}`, "v")).join("");
    expect((await client.until("VERSION 1.6.45\r\n")) === `${expected}VERSION 1.6.45\r\n`).toBe(true);
    await once(client.socket, "close");
  });

  it("limits its bytes", async () => {
    const client = await connect();
    const bytes = 8 * 1024 * 1024;
    client.send(`set k 0 0 1000000\r\n${"x".repeat(1_000_000)}\r\n`.repeat(8));
    const largest = await largestStep(() => started.counters.bytesRead, 8_000_000);
    expect(largest).toBeLessThan(bytes / 8);
    await route.asked(8);
  });
});

describe("a drain of client connections", () => {
  it("answers the received requests, then ends the stream, and reads nothing that arrives later", async () => {
    const client = await connectKnown();
    const count = 10_000;
    client.send(Array.from({ length: count }, (_, i) => `get k${i}\r\n`).join(""));
    await route.asked(count);
    started.listener.drain();
    client.send("set late 0 0 1\r\n1\r\n");
    for (let i = 0; i < count; i++) route.replyValue(i, String(i));
    const expected = Array.from({ length: count }, (_, i) => valueText(`k${i}`, String(i))).join("");
    expect((await client.end()) === expected).toBe(true);
    expect(route.requests.length).toBe(count);
    await turnsUntil(() => started.listener.clientCount === 0);
  });

  it("also answers requests that were received but not yet parsed", async () => {
    const client = await connectKnown();
    const count = 15_000;
    const { bytesRead } = started.counters;
    client.send("get a\r\n".repeat(count));
    await route.asked(10_000);
    await turnsUntil(() => started.counters.bytesRead === bytesRead + count * 7);
    started.listener.drain();
    for (let answered = 0; answered < count; answered++) {
      await turnsUntil(() => route.requests.length > answered);
      route.reply(answered, Status.missing, "END\r\n");
    }
    expect((await client.end()).length).toBe(count * 5);
  });

  it("closes clients that have nothing in flight, and accepts no new ones", async () => {
    const idle = await connect();
    await idle.ask("version");
    const { bytesRead } = started.counters;
    const half = await connect();
    half.send("set a 0 0 10\r\nhalf");
    await turnsUntil(() => started.counters.bytesRead > bytesRead);
    started.listener.drain();
    expect(await idle.end()).toBe("");
    expect(await half.end()).toBe("");
    await expect(TextClient.connect(started.port)).rejects.toThrow("ECONNREFUSED");
  });
});

describe("a drain of clients that have sent nothing yet", () => {
  it("answers the first command of a client, then closes its connection", async () => {
    const client = await connect();
    await turnsUntil(() => started.counters.connections > 0);
    started.listener.drain();
    client.send("ver");
    await turnsUntil(() => started.counters.bytesRead === 3);
    client.send("sion\r\n");
    expect(await client.end()).toMatch(/^VERSION .*\r\n$/);
  });

  it("closes a client's connection when the wait is over", async () => {
    const client = await connect();
    await turnsUntil(() => started.counters.connections > 0);
    started.listener.drain();
    started.listener.finish();
    expect(await client.end()).toBe("");
  });
});

describe("hit and miss counts of gets", () => {
  it("are updated when a get is answered, so that a get in flight is neither hit nor miss", async () => {
    const client = await connect();
    client.send("get a\r\nget b\r\nmg c v\r\nmg d v\r\n");
    await route.asked(4);
    expect(started.counters).toMatchObject({ getHits: 0, getMisses: 0 });
    route.replyValue(0, "x");
    route.reply(1, Status.missing, "END\r\n");
    expect(started.counters).toMatchObject({ getHits: 1, getMisses: 1 });
    const hit = fixedReply(Status.meta, "HD");
    hit.code = MetaCode.HD;
    const miss = fixedReply(Status.meta, "EN");
    miss.code = MetaCode.EN;
    route.requests[2]!.complete(hit);
    route.requests[3]!.complete(miss);
    expect(started.counters).toMatchObject({ getHits: 2, getMisses: 2 });
    await client.until("EN\r\n");
    client.send("get a b c\r\n");
    await route.asked(5);
    const keys = route.requests[4]!.keys!;
    keys.blocks[1] = Buffer.from("VALUE b 0 1\r\nx\r\n");
    keys.blockEnds[1] = keys.blocks[1]!.length;
    route.requests[4]!.complete(gatheredReply);
    expect(started.counters).toMatchObject({ getHits: 3, getMisses: 4 });
  });
});
