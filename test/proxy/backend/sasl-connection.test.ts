import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SaslConnection } from "../../../src/proxy/backend/sasl-connection.ts";
import { type Reply, Status } from "../../../src/proxy/reply.ts";
import { KeyList, Operation, Request } from "../../../src/proxy/request.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { ScriptedSaslServer } from "../../support/servers/scripted-sasl-server.ts";

const SERVER_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 100;
const FLAGS = { extras: "\0\0\0\x07" };

let server: ScriptedSaslServer;
let clock: ManualClock;
let connection: SaslConnection;
let outOfStep: string[];

beforeEach(async () => {
  server = await ScriptedSaslServer.start();
  clock = new ManualClock();
  outOfStep = [];
  const nothing = () => {};
  connection = new SaslConnection(
    {
      address: { type: "tcp", isTls: false, host: "127.0.0.1", port: server.port },
      tls: null,
      prefix: Buffer.from("p:"),
      serverTimeoutMs: SERVER_TIMEOUT_MS,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      login: { kind: "sasl", username: "user", password: "word" },
      connectRetries: 0,
      keepAliveMs: 0,
      maxReplyBytes: 1024 * 1024,
      clock,
      turn: new Turn(() => clock.nowMs()),
    },
    {
      answered: nothing,
      failed: nothing,
      opened: nothing,
      closed: nothing,
      lost: nothing,
      written: nothing,
      read: nothing,
      timedOut: nothing,
      connectFailed: nothing,
      outOfStep: (reason) => outOfStep.push(reason),
      refused: nothing,
      hello: nothing,
      speaksMeta: nothing,
    },
  );
});

afterEach(async () => {
  connection.close();
  await server.stop();
});

function ask(frame: string): Asked {
  return new Asked(frame).by((request) => connection.send(request));
}

/** Asks for `keys` in one retrieval. */
function askMany(...keys: string[]): { list: KeyList; replies: Reply[]; done: Promise<unknown> } {
  const starts = keys.map((_, i) => keys.slice(0, i).join("").length);
  const list = new KeyList(
    Buffer.from(keys.join("")),
    starts,
    starts.map((start, i) => start + keys[i]!.length),
  );
  const replies: Reply[] = [];
  const done = new Promise<void>((resolve) => {
    const request = new Request(
      Operation.get,
      {
        onReply: (_request, reply) => {
          replies.push(reply);
          resolve();
        },
      },
      list.bytes,
    );
    request.keys = list;
    connection.send(request);
  });
  return { list, replies, done };
}

const blockOf = (list: KeyList, i: number) =>
  list.blocks[i]?.toString("latin1", list.blockStarts[i], list.blockEnds[i]) ?? null;

describe("a backend connection with SASL", () => {
  it("gives every reply to its own request, in whatever order they arrive", async () => {
    const asked = ["get a\r\n", "get b\r\n", "get c\r\n"].map(ask);
    const [a, b, c] = await server.requests(3);
    expect([a, b, c].map((request) => request!.key)).toEqual(["p:a", "p:b", "p:c"]);
    c!.reply("3", FLAGS);
    a!.reply("1", FLAGS);
    b!.reply("Not found", { status: 1 });
    expect(await Promise.all(asked.map((each) => each.text()))).toEqual([
      "VALUE a 7 1\r\n1\r\nEND\r\n",
      "END\r\n",
      "VALUE c 7 1\r\n3\r\nEND\r\n",
    ]);
  });

  it("closes without ending the process when it reads a malformed number", async () => {
    const [count, get] = [ask("incr n 1\r\n"), ask("get a\r\n")];
    const [request] = await server.requests(2);
    request!.reply("5");
    expect([await count.status(), await get.status()]).toEqual(["connectionLost", "connectionLost"]);
    expect(outOfStep).toEqual(["a reply that does not answer the request"]);
    const next = ask("incr n 1\r\n");
    (await server.requests(1))[0]!.reply("\0\0\0\0\0\0\0\x06");
    expect(await next.text()).toBe("6\r\n");
  });

  it("survives a fault in the receiver of a reply", async () => {
    const request = new Request(
      Operation.get,
      {
        onReply: (_request, reply) => {
          if (reply.status === Status.found) throw new Error("a fault");
        },
      },
      Buffer.from("get a\r\n"),
    );
    request.keyStart = 4;
    request.keyEnd = 5;
    connection.send(request);
    const other = ask("get b\r\n");
    const [first] = await server.requests(2);
    first!.reply("1", FLAGS);
    expect(await other.status()).toBe("connectionLost");
    expect(outOfStep).toEqual([expect.stringContaining("a fault in Platypus: Error: a fault")]);
  });

  function askFaulty(key: string): void {
    const onReply = () => {
      throw new Error("a fault");
    };
    const request = new Request(Operation.get, { onReply }, Buffer.from(`get ${key}\r\n`));
    request.keyStart = "get ".length;
    request.keyEnd = request.keyStart + key.length;
    connection.send(request);
  }

  it("does not end the process when a request that fails because the server closes throws", async () => {
    askFaulty("a");
    const other = ask("get b\r\n");
    await server.requests(2);
    server.sockets[0]!.end();
    expect(await other.status()).toBe("connectionLost");
    expect(outOfStep).toEqual([expect.stringContaining("a fault in Platypus: Error: a fault")]);
  });

  it("does not end the process when a request that fails because no connection is made in time throws", async () => {
    askFaulty("a");
    const other = ask("get b\r\n");
    clock.advance(CONNECT_TIMEOUT_MS);
    expect(await other.status()).toBe("connectTimeout");
    expect(outOfStep).toEqual([expect.stringContaining("a fault in Platypus: Error: a fault")]);
  });

  it("reports that it has closed even if a request throws", async () => {
    askFaulty("a");
    let hasRetired = false;
    connection.retire(() => {
      hasRetired = true;
    });
    expect(() => connection.close()).toThrow("a fault");
    expect(hasRetired).toBe(true);
  });

  it("completes lost requests once, and sends requests made meanwhile on a new connection", async () => {
    let again: Asked | undefined;
    const lost: string[] = [];
    const first = new Request(
      Operation.get,
      {
        onReply: (_request, reply) => {
          lost.push(reply.chunk.toString("latin1", reply.start, reply.end));
          again = ask("get a\r\n");
        },
      },
      Buffer.from("get a\r\n"),
    );
    first.keyStart = 4;
    first.keyEnd = 5;
    connection.send(first);
    const [request] = await server.requests(1);
    request!.socket.destroy();
    const [next] = await server.requests(1);
    expect([next!.key, next!.socket === request!.socket]).toEqual(["p:a", false]);
    next!.reply("1", FLAGS);
    expect(await again!.text()).toBe("VALUE a 7 1\r\n1\r\nEND\r\n");
    expect(lost).toEqual(["SERVER_ERROR remote error\r\n"]);
  });

  it("answers a retrieval with one late part once, with the other parts, and never writes to it again", async () => {
    const { list, replies, done } = askMany("a", "b");
    const [a, b] = await server.requests(2);
    a!.reply("1", FLAGS);
    const seen = ask("get c\r\n");
    const [c] = await server.requests(1);
    c!.reply("3", FLAGS);
    await seen.answer();
    clock.advance(SERVER_TIMEOUT_MS);
    await done;
    expect([blockOf(list, 0), blockOf(list, 1)]).toEqual(["VALUE a 7 1\r\n1\r\n", null]);
    b!.reply("2", FLAGS);
    const next = ask("get d\r\n");
    (await server.requests(1))[0]!.reply("4", FLAGS);
    expect(await next.text()).toBe("VALUE d 7 1\r\n4\r\nEND\r\n");
    expect(blockOf(list, 1)).toBeNull();
    expect(replies.length).toBe(1);
  });

  it("answers the outstanding requests, then closes, when it is retired", async () => {
    const asked = ask("get a\r\n");
    const [request] = await server.requests(1);
    connection.retire(() => {});
    const closed = once(request!.socket, "close");
    request!.reply("1", FLAGS);
    expect(await asked.text()).toBe("VALUE a 7 1\r\n1\r\nEND\r\n");
    await closed;
    expect(await ask("get a\r\n").status()).toBe("overloaded");
  });
});
