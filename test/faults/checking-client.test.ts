/** The clients that judge Platypus, judged themselves: over servers that answer wrongly. */
import { once } from "node:events";
import net from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Random } from "../fuzz/random.ts";
import { CheckingClient } from "./checking-client.ts";
import type { dialects } from "./dialects.ts";
import { Tally } from "./tally.ts";

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** A server that answers each command of classic text with what `answer` returns; `null` closes the connection. */
async function serve(answer: (command: string[], data: string) => string | null): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      // The client sends one command, and waits.
      const [line, data = ""] = chunk.toString("latin1").split("\r\n");
      const told = answer(line!.split(" "), data);
      if (told === null) socket.destroy();
      else socket.write(Buffer.from(told, "latin1"));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  undo.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

/** What a checking client sees of that server. */
async function seen(answer: Parameters<typeof serve>[0], dialect: keyof typeof dialects = "classic") {
  const tally = new Tally();
  const options = { dialect, name: "0", random: new Random(1), tally, hasPages: false };
  const client = new CheckingClient({ port: await serve(answer), ...options });
  const running = client.run();
  await expect.poll(() => tally.lastTroubleMs > 0 || tally.requests > 100, { timeout: 10_000 }).toBe(true);
  client.stop();
  await running;
  const { wrong, closed, failed, requests } = tally.take();
  return { wrong: wrong > 0, closed: closed > 0, failed: failed > 0, isAnswered: requests > 100 };
}

const stored = new Map<string, string>();

/** A memcached, as far as a client in classic text needs one. `read` may change what a get finds. */
function memcached(read = (key: string) => stored.get(key)) {
  stored.clear();
  return (words: string[], data: string): string => {
    const [verb, key] = words;
    if (verb === "set") {
      stored.set(key!, data);
      return "STORED\r\n";
    }
    if (verb === "delete") return stored.delete(key!) ? "DELETED\r\n" : "NOT_FOUND\r\n";
    const found = words.slice(1).map((name) => {
      const value = read(name);
      return value === undefined ? "" : `VALUE ${name} 0 ${value.length}\r\n${value}\r\n`;
    });
    return `${found.join("")}END\r\n`;
  };
}

const nothing = { wrong: false, closed: false, failed: false, isAnswered: false };

describe("A checking client", () => {
  it("reports nothing about a server that answers correctly", async () => {
    expect(await seen(memcached())).toEqual({ ...nothing, isAnswered: true });
  });

  it("notices the value of another key", async () => {
    const other = (key: string) => [...stored].find(([name]) => name !== key)?.[1] ?? stored.get(key);
    expect(await seen(memcached(other))).toEqual({ ...nothing, wrong: true });
  });

  it("notices a value that an acknowledged write has replaced", async () => {
    const honest = memcached();
    const deaf = (words: string[], data: string) =>
      words[0] === "set" && stored.has(words[1]!) ? "STORED\r\n" : honest(words, data);
    expect(await seen(deaf)).toEqual({ ...nothing, wrong: true });
  });

  it("notices that a stored value is missing", async () => {
    expect(await seen(memcached(() => undefined))).toEqual({ ...nothing, failed: true });
  });

  it("notices an answer that belongs to another command", async () => {
    expect(await seen(() => "TOUCHED\r\n")).toEqual({ ...nothing, wrong: true });
  });

  it("notices an error in place of an answer", async () => {
    expect(await seen(() => "SERVER_ERROR timeout\r\n")).toEqual({ ...nothing, failed: true });
  });

  it("notices a connection that is closed before the answer", async () => {
    expect(await seen(() => null)).toEqual({ ...nothing, closed: true });
  });

  it("notices the opaque of another request", async () => {
    expect(await seen(() => "HD O4711\r\n", "meta")).toEqual({ ...nothing, wrong: true });
  });
});
