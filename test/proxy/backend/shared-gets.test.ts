/** Gets of one turn that leave as one command: each must be answered as if it had been alone. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ConnectionOptions } from "../../../src/proxy/backend/backend-link.ts";
import type { BackendConnection } from "../../../src/proxy/backend/connection.ts";
import type { Request } from "../../../src/proxy/request.ts";
import { routeKeys } from "../../../src/proxy/route/multi-get.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { backendConnection, SERVER_TIMEOUT_MS } from "../../support/rigs/backend-connection.ts";
import { ScriptedBackend } from "../../support/servers/scripted-backend.ts";
import { cutAt, cutFractions, everyCut, placesOf } from "../../support/vectors/parts.ts";

const MAX_KEYS = 64;

let clock: ManualClock;
let backend: ScriptedBackend;
let happened: string[];
let connection: BackendConnection;

beforeEach(async () => {
  clock = new ManualClock();
  backend = await ScriptedBackend.start();
  happened = [];
  connect();
});

afterEach(async () => {
  connection.close();
  await backend.stop();
});

function connect(changes: Partial<ConnectionOptions> = {}): void {
  connection = backendConnection(backend.port, clock, happened, changes);
}

function ask(line: string): Asked {
  const asked = new Asked(`${line}\r\n`);
  return asked.by((request) => {
    if (request.keys === null) connection.send(request);
    else routeKeys(request, request.keys, { route: () => {}, lanes: oneLane }, false);
  });
}

const oneLane = {
  mayShare: () => connection.mayShare,
  lane: () => 0,
  sendTo: (_lane: number, request: Request) => connection.send(request),
};

type Values = Readonly<Record<string, string>>;

/** What memcached answers to a line of these. */
function answerTo(line: string, values: Values, prefix = ""): string {
  const [verb, ...keys] = line.split(" ");
  if (verb !== "get" && verb !== "gets") return "STORED\r\n";
  const cas = verb === "gets" ? " 7" : "";
  const blocks = keys.map((key) => {
    const value = values[key.slice(prefix.length)];
    return value === undefined ? "" : `VALUE ${key} 5 ${value.length}${cas}\r\n${value}\r\n`;
  });
  return `${blocks.join("")}END\r\n`;
}

const VALUES: Values = { a: "1", aa: "END", b: "", c: "VALUE a 0 1\r\nx\r\nEND\r\n", big: "v".repeat(300) };

describe("shared gets of one turn", () => {
  it("form one command, and each get has the same reply as alone", async () => {
    backend.script = (line) => answerTo(line, VALUES);
    const lines = ["get a", "get none", "get a", "get b c nothing", "get aa", "get none"];
    const asked = lines.map(ask);
    expect(await Promise.all(asked.map((each) => each.text()))).toEqual(lines.map((line) => answerTo(line, VALUES)));
    expect(backend.lines).toEqual(["get a none a b c nothing aa none"]);
  });

  it("are sent as separate commands, in their order, if other commands stand between them", async () => {
    backend.script = (line) => answerTo(line, VALUES);
    const asked = ["get a", "get b", "set k 0 0 1\r\n1", "get a", "gets a", "gets b", "get c"].map(ask);
    await Promise.all(asked.map((each) => each.answer()));
    expect(backend.lines).toEqual(["get a b", "set k 0 0 1", "get a", "gets a b", "get c"]);
  });

  it("form several commands if there are many", async () => {
    backend.script = (line) => answerTo(line, VALUES);
    const asked = Array.from({ length: 2 * MAX_KEYS + 1 }, (_, i) => ask(i % 2 === 0 ? "get a" : "get none"));
    const texts = await Promise.all(asked.map((each) => each.text()));
    expect(texts).toEqual(asked.map((_, i) => answerTo(i % 2 === 0 ? "get a" : "get none", VALUES)));
    expect(backend.lines.map((line) => line.split(" ").length - 1)).toEqual([MAX_KEYS, MAX_KEYS, 1]);
  });

  it("do not share a command with gets of the next turn", async () => {
    const first = ask("get a");
    await backend.command().then(({ reply }) => reply("END\r\n"));
    await first.answer();
    backend.script = (line) => answerTo(line, VALUES);
    expect(await ask("get b").text()).toBe(answerTo("get b", VALUES));
    expect(backend.lines).toEqual(["get a", "get b"]);
  });

  it("wait for a connection together", async () => {
    backend.script = (line) => answerTo(line, VALUES);
    const first = ask("get a");
    await new Promise((resolve) => setImmediate(resolve));
    const second = ask("get b");
    expect(await Promise.all([first.text(), second.text()])).toEqual([
      answerTo("get a", VALUES),
      answerTo("get b", VALUES),
    ]);
    expect(backend.lines).toEqual(["get a b"]);
  });

  it("can fill a block to its last byte", async () => {
    backend.script = (line) => answerTo(line, VALUES);
    // A block has 16 KiB: in one of these the end of a line stands at its end.
    for (let length = 1; length < 200; length++) {
      const filler = ask(`set k 0 0 ${16_384 - 200}\r\n${"x".repeat(16_384 - 200)}`);
      const asked = [`get ${"k".repeat(length)}`, "get a", "get b"].map(ask);
      await filler.answer();
      expect(await asked[1]!.text()).toBe(answerTo("get a", VALUES));
      expect(await asked[2]!.text()).toBe(answerTo("get b", VALUES));
    }
    expect(happened).toEqual(["VERSION 1.6.18"]);
  });

  it.each(["", "app:"])("are read the same way wherever the reply is split, under the prefix '%s'", async (prefix) => {
    connection.close();
    connect({ prefix: Buffer.from(prefix, "latin1") });
    const lines = ["get a", "get x", "get b aa y", "get aa", "get z w", "get c", "get a"];
    const expected = lines.map((line) => answerTo(line, VALUES));
    const command = `get ${lines
      .flatMap((line) =>
        line
          .split(" ")
          .slice(1)
          .map((key) => prefix + key),
      )
      .join(" ")}`;
    const answer = answerTo(command, VALUES, prefix);
    for (const cut of everyCut(answer.length)) {
      const asked = lines.map(ask);
      const got = await backend.command();
      expect(got.line).toBe(command);
      const sent = got.connection.sendInPieces(cutAt(Buffer.from(got.connection.face.answer(answer), "latin1"), cut));
      expect(await Promise.all(asked.map((each) => each.text()))).toEqual(expected);
      await sent;
    }
    expect(happened.filter((what) => what.startsWith("out of step"))).toEqual([]);
  });

  it("get the same replies as alone, for any requested keys, stored items and cuts", async () => {
    const key = fc.constantFrom("a", "aa", "ab", "b", "c", "big", "n", "nn");
    const line = fc.oneof(
      { weight: 4, arbitrary: fc.array(key, { minLength: 1, maxLength: 5 }).map((keys) => `get ${keys.join(" ")}`) },
      fc.array(key, { minLength: 1, maxLength: 2 }).map((keys) => `gets ${keys.join(" ")}`),
      key.map((name) => `set ${name} 0 0 1\r\n1`),
    );
    const value = fc.oneof(
      fc.constantFrom("", "END\r\n", "VALUE b 0 1\r\nx\r\nEND\r\n", "\r\n", "y".repeat(20_000), "z".repeat(70_000)),
      fc.string({ maxLength: 12 }).map((text) => text.replaceAll(/[^ -~]/g, "?")),
    );
    const property = fc.asyncProperty(
      fc.array(line, { minLength: 1, maxLength: 12 }),
      fc.dictionary(key, value),
      cutFractions,
      async (lines, values, cuts) => {
        // A set does not change what is there: what counts is whose answer is whose.
        backend.script = (command) => {
          const answer = Buffer.from(backend.connections[0]!.face.answer(answerTo(command, values)), "latin1");
          const pieces = cutAt(answer, placesOf(cuts, answer.length));
          void backend.connections[0]!.sendInPieces(pieces);
          return "";
        };
        const asked = lines.map(ask);
        const texts = await Promise.all(asked.map((each) => each.text()));
        expect(texts).toEqual(lines.map((each) => answerTo(each, values)));
        expect(asked.map(({ answers }) => answers.length)).toEqual(asked.map(() => 1));
      },
    );
    await fc.assert(property, { numRuns: 150 });
    expect(happened.filter((what) => what.startsWith("out of step"))).toEqual([]);
  });
});

describe("a reply to shared gets", () => {
  it.each(["SERVER_ERROR no c", "CLIENT_ERROR bad command line format", "ERROR"])(
    "fails all remaining gets as lost on %s and closes the connection, and later gets are sent alone",
    async (error) => {
      const asked = ["get a", "get b c", "get d", "get e"].map(ask);
      const command = await backend.command();
      // memcached's proxy goes on behind an error; what a server refuses of one key is not the answer to the others.
      command.reply(`VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\n${error}\r\nVALUE d 0 3\r\nold\r\nEND\r\n`);
      expect(await asked[0]!.text()).toBe("VALUE a 0 1\r\n1\r\nEND\r\n");
      expect(await asked[1]!.text()).toBe("END\r\n");
      expect(await asked[2]!.status()).toBe("connectionLost");
      expect(await asked[3]!.status()).toBe("connectionLost");
      await command.connection.closed;
      const next = ["get d", "get e"].map(ask);
      const alone = await backend.commands(2);
      expect(alone.map(({ line }) => line)).toEqual(["get d", "get e"]);
      alone[0]!.reply(`VALUE d 0 3\r\nnew\r\nEND\r\n${error}\r\n`);
      expect(await next[0]!.text()).toBe("VALUE d 0 3\r\nnew\r\nEND\r\n");
      // To a get of one key it is the answer, and nothing follows.
      expect(await next[1]!.status()).toBe(error.startsWith("SERVER") ? "serverError" : "clientError");
      expect(backend.connections.length).toBe(2);
    },
  );

  it("closes the connection once after an error, if several keys are requested by one client", async () => {
    const asked = ask("get a b");
    const command = await backend.command();
    command.reply("SERVER_ERROR no a\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    expect(await asked.text()).toBe("END\r\n");
    await command.connection.closed;
    backend.script = (line) => (line === "get a" ? "SERVER_ERROR no a\r\n" : answerTo(line, VALUES));
    expect(await ask("get a b c").text()).toBe(answerTo("get b c", VALUES));
    expect(backend.lines.slice(1)).toEqual(["get a", "get b", "get c"]);
    expect(backend.connections.length).toBe(2);
  });

  it("fails the get of the last value too when it breaks off right after that value", async () => {
    const asked = ["get a", "get b"].map(ask);
    (await backend.command()).reply("VALUE a 0 1\r\n1\r\nSERVER_ERROR out of memory\r\n");
    expect(await Promise.all(asked.map((each) => each.status()))).toEqual(["connectionLost", "connectionLost"]);
  });

  it("fails the get of the last value as lost when it ends with an error after that value", async () => {
    const asked = ["get a", "get b"].map(ask);
    const command = await backend.command();
    command.reply("VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nSERVER_ERROR out of memory\r\n");
    expect(await asked[0]!.text()).toBe("VALUE a 0 1\r\n1\r\nEND\r\n");
    expect(await asked[1]!.status()).toBe("connectionLost");
    await command.connection.closed;
  });

  it("is forgotten when its connection is lost in the middle of it", async () => {
    const asked = ["get a", "get b", "get c"].map(ask);
    const { connection: server } = await backend.command();
    // The name shows that the first missed, and whose value comes next.
    await server.sendInPieces(["VALUE b 0 1\r\n"]);
    expect(await asked[0]!.status()).toBe("missing");
    backend.version = "ERROR no version today\r\n";
    server.socket.destroy();
    expect(await asked[1]!.status()).toBe("connectionLost");
    backend.script = (line) => answerTo(line, VALUES);
    expect(await ask("get c").text()).toBe(answerTo("get c", VALUES));
    expect(backend.connections.length).toBe(2);
  });

  it("is discarded, each part of it, when it arrives after the timeout", async () => {
    const late = ["get a", "get b c", "get d"].map(ask);
    const command = await backend.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await Promise.all(late.map((each) => each.text()))).toEqual(["END\r\n", "END\r\n", "END\r\n"]);
    const next = ["get a", "get b"].map(ask);
    command.reply("VALUE a 0 3\r\nold\r\nVALUE c 0 3\r\nold\r\nVALUE d 0 3\r\nold\r\nEND\r\n");
    (await backend.command()).reply("VALUE b 0 3\r\nnew\r\nEND\r\n");
    expect(await Promise.all(next.map((each) => each.text()))).toEqual(["END\r\n", "VALUE b 0 3\r\nnew\r\nEND\r\n"]);
    expect(late.map(({ answers }) => answers.length)).toEqual([1, 1, 1]);
  });

  it.each([
    ["names a key that none of them asked for", "VALUE x 0 1\r\n1\r\nEND\r\n"],
    ["has an unknown word in it", "VALUE a 0 1\r\n1\r\nVALUF b 0 1\r\n2\r\nEND\r\n"],
    ["has a value whose end is not where it should be", "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n234\r\nEND\r\n"],
  ])("closes the connection and fails the unanswered gets when it %s", async (_, answer) => {
    const asked = ["get a", "get b", "get c"].map(ask);
    const command = await backend.command();
    command.reply(answer);
    await command.connection.closed;
    expect(await asked[1]!.status()).toBe("connectionLost");
    expect(await asked[2]!.status()).toBe("connectionLost");
    expect(happened).toContain("out of step: a reply that does not answer the request");
  });

  it("closes the connection if it is in another order than the keys, and later gets are sent one by one", async () => {
    const asked = ["get a", "get b"].map(ask);
    (await backend.command()).reply("VALUE b 0 1\r\n2\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    expect(await asked[1]!.status()).toBe("connectionLost");
    expect(await asked[0]!.text()).toBe("END\r\n");
    backend.script = (line) => answerTo(line, VALUES);
    const next = ["get a", "get b"].map(ask);
    expect(await Promise.all(next.map((each) => each.text()))).toEqual([
      answerTo("get a", VALUES),
      answerTo("get b", VALUES),
    ]);
    expect(backend.lines.slice(1)).toEqual(["get a", "get b"]);
  });

  it("can have its connection closed by the receiver of a part", async () => {
    const asked = ["get a", "get b", "get c"].map(ask);
    asked[0]!.onAnswer = () => connection.close();
    (await backend.command()).reply(answerTo("get a b c", VALUES));
    expect(await asked[0]!.text()).toBe(answerTo("get a", VALUES));
    expect(await asked[1]!.status()).toBe("connectionLost");
    expect(await asked[2]!.status()).toBe("connectionLost");
  });

  it("lends a buffer only to the receiver of its last part, because the others use theirs only for a moment", async () => {
    const large = "L".repeat(100_000);
    const lent: boolean[] = [];
    const asked = ["get a", "get b"].map((line) => {
      const each = new Asked(`${line}\r\n`);
      const onReply = each.onReply.bind(each);
      each.onReply = (request, reply) => {
        lent.push(reply.lease !== null || reply.isKept);
        onReply(request, reply);
      };
      return each.by((request) => connection.send(request));
    });
    const values: Values = { a: large, b: large };
    const all = answerTo("get a b", values);
    const { connection: server } = await backend.command();
    await server.sendInPieces([all.slice(0, 20), all.slice(20)]);
    expect(await Promise.all(asked.map((each) => each.text()))).toEqual(
      ["get a", "get b"].map((line) => answerTo(line, values)),
    );
    expect(lent).toEqual([false, true]);
  });

  it.each(["a", "none"])(
    "is forgotten together with its connection if the receiver of one of its parts throws on key %s",
    async (key) => {
      const faulty = ask(`get ${key}`);
      ask("get b");
      faulty.onAnswer = () => {
        throw new Error("a fault");
      };
      (await backend.command()).reply(answerTo(`get ${key} b`, VALUES));
      await (await backend.connection(0)).closed;
      const lines = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? "get c" : "gets c"));
      const asked = lines.map(ask);
      const commands = await backend.commands(lines.length);
      commands[0]!.reply(lines.map((line) => answerTo(line, VALUES)).join(""));
      expect(await Promise.all(asked.map((each) => each.text()))).toEqual(lines.map((line) => answerTo(line, VALUES)));
    },
  );
});

describe("gets that are not shared", () => {
  it("include those on a connection with large values", async () => {
    const values: Values = { ...VALUES, large: "L".repeat(200_000) };
    backend.script = (line) => answerTo(line, values);
    expect(await ask("get large").text()).toBe(answerTo("get large", values));
    await Promise.all(["get large", "get large"].map((line) => ask(line).answer()));
    expect(backend.lines).toEqual(["get large", "get large", "get large"]);
    // Until they are small again.
    for (let i = 0; i < 60; i++) await ask("get a").answer();
    await Promise.all(["get a", "get b"].map((line) => ask(line).answer()));
    expect(backend.lines.at(-1)).toBe("get a b");
  });

  it("include those whose key a server would refuse, while the others share a command", async () => {
    connection.close();
    connect({ prefix: Buffer.from("prefix:", "latin1") });
    backend.script = (line) => answerTo(line, VALUES, "prefix:");
    const long = "k".repeat(244);
    await Promise.all(["get a", `get ${long}`, "get b"].map((line) => ask(line).answer()));
    expect(backend.lines).toEqual(["get prefix:a", `get prefix:${long}`, "get prefix:b"]);
  });

  it("do not include gets in another spelling, which are sent in canonical form", async () => {
    backend.script = (line) => answerTo(line, VALUES);
    const asked = ["get a", "bget b", " get c", "get  aa ", "get a\0z"].map(ask);
    expect(await Promise.all(asked.map((each) => each.text()))).toEqual(
      ["get a", "get b", "get c", "get aa", "get a"].map((line) => answerTo(line, VALUES)),
    );
    expect(backend.lines).toEqual(["get a b c aa a"]);
  });
});
