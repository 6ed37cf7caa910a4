import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { ConnectionOptions } from "../../../src/proxy/backend/backend-link.ts";
import type { BackendConnection } from "../../../src/proxy/backend/connection.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { backendConnection, CONNECT_TIMEOUT_MS, SERVER_TIMEOUT_MS } from "../../support/rigs/backend-connection.ts";
import { freePort } from "../../support/servers/memcached-process.ts";
import { ScriptedBackend } from "../../support/servers/scripted-backend.ts";
import { cutAt, everyCut } from "../../support/vectors/parts.ts";

let clock: ManualClock;
let backend: ScriptedBackend;
let happened: string[];
let connection: BackendConnection;

function connect(port: number, changes: Partial<ConnectionOptions> = {}): BackendConnection {
  return backendConnection(port, clock, happened, changes);
}

function ask(frame: string): Asked {
  return new Asked(frame).by((request) => connection.send(request));
}

/** A deadline that has passed is checked in the next turn. */
const checked = () => new Promise((done) => setImmediate(done));

beforeEach(async () => {
  clock = new ManualClock();
  backend = await ScriptedBackend.start();
  happened = [];
  connection = connect(backend.port);
});

afterEach(async () => {
  connection.close();
  await backend.stop();
});

describe("a backend connection", () => {
  it("asks for the version before anything else", async () => {
    backend.script = () => "END\r\n";
    expect(await ask("get a\r\n").text()).toBe("END\r\n");
    expect(happened).toEqual(["VERSION 1.6.18"]);
  });

  it("gives each request its own reply, in the order of sending", async () => {
    const asked = [
      ask("get a\r\n"),
      ask("set b 5 0 3\r\nabc\r\n"),
      ask("get c d\r\n"),
      ask("incr n 1\r\n"),
      ask("delete a\r\n"),
      ask("gets a\r\n"),
    ];
    const commands = await backend.commands(6);
    expect(commands.map(({ line, data }) => [line, data])).toEqual([
      ["get a", null],
      ["set b 5 0 3", "abc"],
      ["get c d", null],
      ["incr n 1", null],
      ["delete a", null],
      ["gets a", null],
    ]);
    const replies = [
      "VALUE a 0 1\r\n1\r\nEND\r\n",
      "STORED\r\n",
      "VALUE c 0 5\r\nEND\r\n\r\nVALUE d 0 1\r\n2\r\nEND\r\n",
      "12\r\n",
      "NOT_FOUND\r\n",
      "VALUE a 0 1 99\r\n1\r\nEND\r\n",
    ];
    commands[0]!.reply(replies.slice(0, 2).join(""));
    expect(await asked[1]!.text()).toBe("STORED\r\n");
    expect(asked[2]!.answers).toEqual([]);
    commands[0]!.reply(replies.slice(2).join(""));
    expect(await Promise.all(asked.map((each) => each.answer().then(({ status }) => status > 0)))).not.toContain(false);
    expect(asked.map(({ answers }) => answers.length)).toEqual([1, 1, 1, 1, 1, 1]);
    const texts = await Promise.all([0, 1, 3, 4, 5].map((i) => asked[i]!.text()));
    expect(texts).toEqual([0, 1, 3, 4, 5].map((i) => replies[i]));
  });

  it("sends a noreply command in the form that has a reply", async () => {
    const quiet = ask("set a 0 0 1 noreply\r\n1\r\n");
    const loud = ask("get a\r\n");
    const [first, second] = await backend.commands(2);
    expect([first!.line, second!.line]).toEqual(["set a 0 0 1", "get a"]);
    first!.reply("STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    expect(await quiet.text()).toBe("STORED\r\n");
    expect(await loud.text()).toBe("VALUE a 0 1\r\n1\r\nEND\r\n");
  });

  it("reads replies the same way wherever they are split", async () => {
    const replies = [
      "VALUE a 0 6\r\nEND\r\na\r\nEND\r\n",
      "STORED\r\n",
      "END\r\n",
      "VALUE c 7 0 1\r\n\r\nEND\r\n",
      "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
    ];
    const plainBytes = replies.join("").length;
    const places = [...everyCut(plainBytes).filter((_, i) => i < 2 || i % 3 === 0), [5, 17, 30, 31, 50]];
    for (const cut of places) {
      const asked = ["get a", "set b 0 0 1\r\n1", "get zz", "gets c", "incr n 1"].map((frame) => ask(`${frame}\r\n`));
      const [first] = await backend.commands(5);
      const { connection: server } = first!;
      const sent = server.sendInPieces(cutAt(Buffer.from(server.face.answer(replies.join("")), "latin1"), cut));
      expect(await Promise.all(asked.map((each) => each.text()))).toEqual(replies);
      await sent;
    }
    expect(happened).toEqual(["VERSION 1.6.18"]);
  });

  it("keeps the keys of the requests that it has sent, however many there are", async () => {
    const keys = Array.from({ length: 300 }, (_, i) => `${i}:`.padEnd(250, "k"));
    for (let round = 0; round < 3; round++) {
      // A delete between them: gets in a row are one command.
      const asked = keys.flatMap((key) => [ask(`get ${key}\r\n`), ask("delete d\r\n")]);
      const commands = await backend.commands(asked.length);
      commands[0]!.reply(keys.map((key) => `VALUE ${key} 0 1\r\n1\r\nEND\r\nDELETED\r\n`).join(""));
      expect(await Promise.all(asked.map((each) => each.status()))).toEqual(keys.flatMap(() => ["found", "deleted"]));
    }
    expect(happened).toEqual(["VERSION 1.6.18"]);
  });

  it("sends and reads values of several megabytes whole", async () => {
    const value = "0123456789".repeat(100_000);
    const stored = ask(`set a 0 0 ${value.length}\r\n${value}\r\n`);
    const got = ask("get a\r\n");
    const [set] = await backend.commands(2);
    expect(set!.data === value).toBe(true);
    const reply = `VALUE a 0 ${value.length}\r\n${value}\r\nEND\r\n`;
    set!.reply(`STORED\r\n${reply}`);
    expect(await stored.text()).toBe("STORED\r\n");
    expect((await got.text()) === reply).toBe(true);
  });

  it("fails only the one command when a command without data gets a CLIENT_ERROR", async () => {
    const refused = ask("incr a 1\r\n");
    const fine = ask("get a\r\n");
    const [first] = await backend.commands(2);
    first!.reply("CLIENT_ERROR cannot increment or decrement non-numeric value\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    expect(await refused.status()).toBe("clientError");
    expect(await fine.text()).toBe("VALUE a 0 1\r\nx\r\nEND\r\n");
    expect(happened).toEqual(["VERSION 1.6.18"]);
  });

  it("closes after a server refuses a data block", async () => {
    const refused = ask("set a 0 0 1\r\n1\r\n");
    const behind = ask("get a\r\n");
    const [first] = await backend.commands(2);
    first!.reply("CLIENT_ERROR bad data chunk\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    expect(await refused.status()).toBe("clientError");
    // The marker behind both has shown that this is its answer.
    expect(await behind.status()).toBe("found");
    await first!.connection.closed;
  });

  it("fails only the requests that the server answers with SERVER_ERROR", async () => {
    const refused = ask("set a 0 0 1\r\n1\r\n");
    const fine = ask("get b\r\n");
    const [first] = await backend.commands(2);
    first!.reply("SERVER_ERROR out of memory storing object\r\nEND\r\n");
    expect(await refused.text()).toBe("SERVER_ERROR out of memory storing object\r\n");
    expect(await fine.text()).toBe("END\r\n");
  });
});

describe("a timeout of a backend connection", () => {
  it("fails the request and discards its late reply", async () => {
    const slow = ask("get a\r\n");
    const first = await backend.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await slow.status()).toBe("timeout");
    const next = ask("get b\r\n");
    await backend.command();
    first.reply("VALUE a 0 4\r\nlate\r\nEND\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    expect(await next.text()).toBe("VALUE b 0 1\r\n2\r\nEND\r\n");
    expect(slow.answers.length).toBe(1);
    expect(happened).toContain("timed out");
    expect(backend.connections.length).toBe(1);
  });

  it("discards the rest of a reply when it occurs in the middle of that reply", async () => {
    const slow = ask("get a b\r\n");
    const first = await backend.command();
    await first.connection.sendInPieces(["VALUE a 0 10\r\n01234"]);
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await slow.text()).toBe("END\r\n");
    const next = ask("get b\r\n");
    await backend.command();
    first.reply("56789\r\nVALUE b 0 3\r\nold\r\nEND\r\nVALUE b 0 3\r\nnew\r\nEND\r\n");
    expect(await next.text()).toBe("VALUE b 0 3\r\nnew\r\nEND\r\n");
    expect(slow.answers.length).toBe(1);
  });

  it("applies to each request separately", async () => {
    const first = ask("get a\r\n");
    await backend.command();
    clock.advance(SERVER_TIMEOUT_MS - 1);
    const second = ask("get b\r\n");
    await backend.command();
    clock.advance(1);
    expect(await first.status()).toBe("timeout");
    expect(second.answers).toEqual([]);
    clock.advance(SERVER_TIMEOUT_MS - 2);
    expect(second.answers).toEqual([]);
    clock.advance(1);
    expect(await second.status()).toBe("timeout");
  });

  it("does not affect requests that are answered in time", async () => {
    backend.script = () => "END\r\n";
    const asked = ask("get a\r\n");
    await asked.answer();
    clock.advance(SERVER_TIMEOUT_MS * 10);
    expect(asked.answers.length).toBe(1);
    expect(await ask("get b\r\n").text()).toBe("END\r\n");
    expect(happened).toEqual(["VERSION 1.6.18"]);
  });

  it("closes the connection past the drop limit, and the next request opens another", async () => {
    const slow = ask("get a\r\n");
    const first = await backend.command();
    clock.advance(SERVER_TIMEOUT_MS * 3);
    const behind = ask("set b 0 0 1\r\n1\r\n");
    await backend.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await slow.status()).toBe("timeout");
    expect(await behind.status()).toBe("timeout");
    await first.connection.closed;
    const next = ask("get c\r\n");
    (await backend.command()).reply("END\r\n");
    expect(await next.text()).toBe("END\r\n");
    expect(backend.connections.length).toBe(2);
    expect(happened.filter((what) => what.startsWith("out of step")).length).toBe(1);
  });

  it("past the drop limit, a request that is less than one timeout old has timed out too", async () => {
    const slow = ask("get a\r\n");
    const first = await backend.command();
    for (let i = 1; i < 4; i++) {
      clock.advance(SERVER_TIMEOUT_MS);
      await checked();
    }
    expect(await slow.status()).toBe("timeout");
    clock.advance(SERVER_TIMEOUT_MS / 2);
    const young = ask("get b\r\n");
    await backend.command();
    clock.advance(SERVER_TIMEOUT_MS / 2);
    expect(await young.status()).toBe("timeout");
    await first.connection.closed;
    expect(happened.filter((what) => what === "timed out").length).toBe(2);
  });

  it("does not send a request to a connection past the drop limit that no other request waits for", async () => {
    const slow = ask("get a\r\n");
    const first = await backend.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await slow.status()).toBe("timeout");
    const behind = ask("get b\r\n");
    await backend.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await behind.status()).toBe("timeout");
    // The deadline has passed, but its check comes after this request.
    clock.advance(SERVER_TIMEOUT_MS * 2);
    const next = ask("get c\r\n");
    await first.connection.closed;
    (await backend.command()).reply("END\r\n");
    expect(await next.text()).toBe("END\r\n");
  });

  it("closes the connection when a lost reply makes each reply late by one request", async () => {
    ask("get a\r\n");
    await backend.command();
    for (let i = 0; i < 10 && backend.connections.length === 1; i++) {
      const behind = ask("get a\r\n");
      (await backend.command()).reply("END\r\n");
      clock.advance(SERVER_TIMEOUT_MS);
      await behind.answer();
    }
    expect(backend.connections.length).toBe(2);
    const next = ask("get a\r\n");
    (await backend.command()).reply("END\r\n");
    expect(await next.text()).toBe("END\r\n");
  });

  it("leaves the connection open if timeouts are rare, however long ago the last one was", async () => {
    for (let i = 0; i < 6; i++) {
      const slow = ask("get a\r\n");
      const late = await backend.command();
      clock.advance(SERVER_TIMEOUT_MS);
      expect(await slow.status()).toBe("timeout");
      const next = ask("get b\r\n");
      late.reply("END\r\n");
      (await backend.command()).reply("END\r\n");
      expect(await next.text()).toBe("END\r\n");
    }
    expect(backend.connections.length).toBe(1);
  });
});

describe("a backend connection that cannot be trusted", () => {
  const lies: Record<string, string> = {
    "a value of another key": "VALUE b 0 1\r\nx\r\nEND\r\n",
    "an answer to another command": "STORED\r\n",
    "no memcached": "HTTP/1.1 400 Bad Request\r\n\r\n",
    "a malformed value": "VALUE a 0 1\r\nxyz\r\nEND\r\n",
  };
  for (const [name, lie] of Object.entries(lies)) {
    it(`closes on ${name} and fails all outstanding requests`, async () => {
      const asked = ["get a", "gets a", "set k 0 0 1\r\n1", "get a b"].map((frame) => ask(`${frame}\r\n`));
      const [first] = await backend.commands(4);
      first!.reply(`${lie}VALUE a 0 1\r\nx\r\nEND\r\n`);
      expect(await Promise.all(asked.map((each) => each.status()))).toEqual(asked.map(() => "connectionLost"));
      await first!.connection.closed;
      expect(happened.length).toBe(2);
      const next = ask("get a\r\n");
      (await backend.command()).reply("VALUE a 0 3\r\nnew\r\nEND\r\n");
      expect(await next.text()).toBe("VALUE a 0 3\r\nnew\r\nEND\r\n");
      expect(asked.map(({ answers }) => answers.length)).toEqual([1, 1, 1, 1]);
    });
  }

  it("closes when bytes arrive without a request", async () => {
    backend.script = () => "END\r\nEND\r\n";
    expect(await ask("get a\r\n").text()).toBe("END\r\n");
    const first = await backend.connection(0);
    await first.closed;
    backend.script = () => "END\r\n";
    expect(await ask("get b\r\n").text()).toBe("END\r\n");
    expect(happened).toEqual(["VERSION 1.6.18", "out of step: bytes that answer no request", "VERSION 1.6.18"]);
  });

  it("closes when bytes arrive before the request that they would answer is sent", async () => {
    const other = connect(backend.port);
    backend.script = (line) => (line === "get a" ? "VALUE a 0 1\r\n1\r\nEND\r\n" : null);
    await ask("get a\r\n").answer();
    const first = new Asked("get b\r\n").by((request) => other.send(request));
    const { reply } = await backend.command();
    let second: Asked | null = null;
    first.onAnswer = () => {
      second = ask("get a\r\n");
    };
    // Both arrive in one turn of the event loop: the answer, then the bytes that no request asked for.
    reply("END\r\n");
    (await backend.connection(0)).send("END\r\n");
    await first.answer();
    expect(await second!.status()).not.toBe("missing");
    expect(happened).toContain("out of step: bytes that answer no request");
    other.close();
  });

  it("gives none of its bytes to requests that are sent while it fails", async () => {
    const first = ask("get a\r\n");
    let second: Asked | null = null;
    first.onAnswer = () => {
      second = ask("get b\r\n");
    };
    const command = await backend.command();
    // The reply's length is known, so that it is joined and read apart from what comes behind it in the same read.
    await command.connection.sendInPieces(["VALUE a 0 100\r\n"]);
    const broken = `${"x".repeat(100)}xxEND\r\n`;
    command.reply(`${broken}VERSION 1.6.18\r\nVALUE b 0 6\r\nforged\r\nEND\r\n`);
    expect(await first.status()).toBe("connectionLost");
    (await backend.command()).reply("VALUE b 0 4\r\nreal\r\nEND\r\n");
    expect(await second!.text()).toBe("VALUE b 0 4\r\nreal\r\nEND\r\n");
    expect(happened.filter((what) => what.startsWith("out of step")).length).toBe(1);
  });
});

describe("a backend connection that is lost", () => {
  it("fails the outstanding requests in the middle of a reply, and the next connection starts afresh", async () => {
    const asked = ["get a", "gets b"].map((frame) => ask(`${frame}\r\n`));
    const [first] = await backend.commands(2);
    await first!.connection.sendInPieces(["VALUE a 0 10\r\n01234"]);
    first!.connection.socket.destroy();
    expect(await Promise.all(asked.map((each) => each.status()))).toEqual(["connectionLost", "connectionLost"]);
    const next = ask("get a\r\n");
    (await backend.command()).reply("VALUE a 0 3\r\nnew\r\nEND\r\n");
    expect(await next.text()).toBe("VALUE a 0 3\r\nnew\r\nEND\r\n");
  });

  it("fails the outstanding requests at the end of the server's stream", async () => {
    const asked = ask("delete a\r\n");
    (await backend.command()).connection.socket.end();
    expect(await asked.text()).toBe("SERVER_ERROR remote error\r\n");
  });

  it("fails the outstanding requests on a reset", async () => {
    const asked = ask("delete a\r\n");
    (await backend.command()).connection.socket.resetAndDestroy();
    expect(await asked.text()).toBe("SERVER_ERROR remote error\r\n");
  });

  it("affects no request when nothing is outstanding", async () => {
    backend.script = () => "END\r\n";
    await ask("get a\r\n").answer();
    const first = await backend.connection(0);
    first.socket.destroy();
    await first.closed;
    expect(await ask("get b\r\n").status()).toMatch(/missing|connectionLost/);
    expect(await ask("get c\r\n").status()).toBe("missing");
  });
});

describe("a backend connection that is being opened", () => {
  it("fails the waiting requests at once if there is no server", async () => {
    connection = connect(await freePort());
    const asked = [ask("set a 0 0 1\r\n1\r\n"), ask("get a\r\n")];
    expect(await asked[0]!.text()).toBe("SERVER_ERROR connection error\r\n");
    expect(await asked[1]!.text()).toBe("END\r\n");
    expect(happened).toEqual(["connect failed"]);
  });

  it("is tried again by the next request", async () => {
    const port = await freePort();
    connection = connect(port);
    expect(await ask("get a\r\n").status()).toBe("connectError");
    const server = await ScriptedBackend.start(port);
    server.script = () => "END\r\n";
    expect(await ask("get a\r\n").status()).toBe("missing");
    connection.close();
    await server.stop();
  });

  it("fails the waiting requests if connecting takes too long", async () => {
    const asked = ask("set a 0 0 1\r\n1\r\n");
    // Nothing has been connected within this turn.
    clock.advance(CONNECT_TIMEOUT_MS);
    expect(await asked.text()).toBe("SERVER_ERROR connection timeout\r\n");
    expect(happened).toEqual(["connect failed"]);
  });

  it("fails the sent requests if the server closes at once", async () => {
    backend.version = "ERROR Too many open connections\r\n";
    const asked = ask("set a 0 0 1\r\n1\r\n");
    (await backend.connection(0)).socket.end();
    expect(await asked.text()).toBe("SERVER_ERROR remote error\r\n");
  });
});

describe("a backend connection of a process that was busy", () => {
  /** Keeps the event loop from turning. */
  function stall(ms: number): void {
    const endMs = performance.now() + ms;
    while (performance.now() < endMs);
  }

  it("treats a connection that was made while the process was busy as made in time", async () => {
    connection.close();
    connection = connect(backend.port, { clock: systemClock, connectTimeoutMs: 20, serverTimeoutMs: 10_000 });
    backend.script = () => "END\r\n";
    const asked = ask("get a\r\n");
    stall(50);
    expect(await asked.status()).toBe("missing");
    expect(happened).toEqual(["VERSION 1.6.18"]);
  });

  it("treats a reply that arrived while the process was busy as in time", async () => {
    connection.close();
    connection = connect(backend.port, { clock: systemClock, serverTimeoutMs: 1_000 });
    const asked = ask("get a\r\n");
    const command = await backend.command();
    command.reply("END\r\n");
    stall(1_100);
    expect(await asked.status()).toBe("missing");
  });

  it("measures a request's timeout from the moment the request was sent", async () => {
    connection.close();
    connection = connect(backend.port, { clock: systemClock, serverTimeoutMs: 1_000, connectTimeoutMs: 10_000 });
    backend.script = () => "END\r\n";
    const asked = ask("get a\r\n");
    stall(1_100);
    expect(await asked.status()).toBe("missing");
  });
});

describe("closing a backend connection", () => {
  it("answers the outstanding requests first when the connection is retired", async () => {
    const asked = ask("get a\r\n");
    const command = await backend.command();
    connection.retire(() => {});
    command.reply("END\r\n");
    expect(await asked.text()).toBe("END\r\n");
    await command.connection.closed;
  });

  it("happens at once when a retired connection has nothing outstanding", async () => {
    backend.script = () => "END\r\n";
    await ask("get a\r\n").answer();
    connection.retire(() => {});
    await (await backend.connection(0)).closed;
  });

  it("fails the outstanding requests and refuses new ones", async () => {
    const asked = ask("delete a\r\n");
    await backend.command();
    connection.close();
    expect(await asked.status()).toBe("connectionLost");
    expect(await ask("delete a\r\n").status()).toBe("overloaded");
  });

  it("does not lift the limit of 100,000 waiting requests", async () => {
    for (let i = 0; i < 99_999; i++) ask("get a\r\n");
    expect(await ask("set a 0 0 1\r\n1\r\n").text()).toBe("SERVER_ERROR busy\r\n");
  });
});
