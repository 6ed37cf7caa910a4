/**
 * Real memcacheds that hang, die and come back under Platypus, and clients that do their worst. A reply that reaches the
 * wrong request is looked for everywhere: each value says whose it is.
 */
import { afterEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

/** What the memcached that is installed answers `version` with; it comes behind the answers that are looked at. */
const VERSION = `VERSION ${MemcachedProcess.version}\r\n`;

describe.skipIf(MemcachedProcess.isMissing)("Platypus over real memcacheds", () => {
  const servers: MemcachedProcess[] = [];
  const platypuses: Platypus[] = [];
  const clients: TextClient[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await Promise.all(platypuses.splice(0).map((platypus) => platypus.close()));
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  /** Starts `count` memcacheds and a Platypus over them; returns its port. */
  async function start(count: number, settings: string): Promise<number> {
    const started = await Promise.all(Array.from({ length: count }, () => MemcachedProcess.start()));
    servers.push(...started);
    const ports = started.map(({ port }) => port);
    const platypus = await Platypus.start(nativeConfig(targetOf(ports, settings)));
    platypuses.push(platypus);
    const [address] = platypus.addresses;
    const port = address?.type === "tcp" ? address.port : 0;
    // From here on `version` is answered with that of the servers: a mark behind what is asked for.
    const client = await connect(port);
    await client.ask("get a", "END\r\n");
    return port;
  }

  async function connect(port: number): Promise<TextClient> {
    const client = await TextClient.connect(port);
    clients.push(client);
    return client;
  }

  /** A key for each server, in the order of the servers: set through Platypus, found by asking the servers. */
  async function keyOfEach(port: number): Promise<string[]> {
    const client = await connect(port);
    const keys: (string | undefined)[] = servers.map(() => undefined);
    for (let i = 0; keys.includes(undefined); i++) {
      await client.ask(`set key${i} 0 0 1\r\n${i % 10}`);
      for (const [at, server] of servers.entries()) {
        const direct = await connect(server.port);
        if ((await direct.ask(`get key${i}`, "END\r\n")) !== "END\r\n") keys[at] = `key${i}`;
      }
    }
    return keys as string[];
  }

  it("answers a noreply set and a get of its key, pipelined 10,000 times over four connections, with the value", async () => {
    const client = await connect(await start(2, 'connections = 4\nserver_timeout = "20s"'));
    const pairs = Array.from({ length: 10_000 }, (_, i) => ({ key: `k${i % 37}`, value: `value ${i}` }));
    client.send(
      pairs
        .map(({ key, value }) => `set ${key} 0 0 ${value.length} noreply\r\n${value}\r\nget ${key}\r\n`)
        .join("")
        .concat("version\r\n"),
    );
    const expected = pairs.map(({ key, value }) => `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`).join("");
    const answers = await client.until(VERSION);
    expect(answers.slice(0, -VERSION.length) === expected).toBe(true);
  });

  it("does not delay other keys because a memcached hangs, and answers late when it continues", async () => {
    const port = await start(3, 'server_timeout = "60s"');
    const [hung, ...others] = await keyOfEach(port);
    servers[0]!.pause();
    const waiting = await connect(port);
    waiting.send(`get ${hung}\r\nget ${others[0]}\r\n`);
    for (let i = 0; i < 100; i++) {
      for (const key of others) {
        const client = await connect(port);
        expect(await client.ask(`get ${key}`, "END\r\n")).toContain(`VALUE ${key} `);
      }
    }
    // A client's replies keep their order, so this one waits.
    expect(waiting.received.length).toBe(0);
    servers[0]!.resume();
    expect(await waiting.until("END\r\n")).toContain(`VALUE ${hung} `);
    expect(await waiting.until("END\r\n")).toContain(`VALUE ${others[0]} `);
  });

  it("leaves a memcached that hangs past its timeout out of a get of many keys", async () => {
    const port = await start(3, 'server_timeout = "100ms"');
    const keys = await keyOfEach(port);
    servers[1]!.pause();
    const client = await connect(port);
    const answer = await client.ask(`get ${keys.join(" ")}`, "END\r\n");
    expect(keys.map((key) => answer.includes(`VALUE ${key} `))).toEqual([true, false, true]);
    expect(await client.ask(`set ${keys[1]} 0 0 1\r\n1`)).toMatch(/^SERVER_ERROR (timeout|unavailable)\r\n$/);
    servers[1]!.resume();
    let answered = "";
    while (answered !== "STORED\r\n") answered = await client.ask(`set ${keys[1]} 0 0 1\r\n1`);
    expect(await client.ask(`get ${keys.join(" ")}`, "END\r\n")).toContain(`VALUE ${keys[1]} `);
  });

  it("fails writes and misses gets while a memcached is down, and uses it again when it is back", async () => {
    const port = await start(1, "");
    const client = await connect(port);
    expect(await client.ask("set a 0 0 1\r\n1")).toBe("STORED\r\n");
    await servers[0]!.stop();
    expect(await client.ask("set a 0 0 1\r\n1")).toMatch(/^SERVER_ERROR /);
    expect(await client.ask("get a", "END\r\n")).toBe("END\r\n");
    expect(await client.ask("set a 0 0 1\r\n1")).toMatch(/^SERVER_ERROR (connection error|unavailable)\r\n$/);
    expect(await client.ask("version")).toBe(VERSION);
    servers[0] = await MemcachedProcess.start({ port: servers[0]!.port });
    let answered = "";
    while (answered !== "STORED\r\n") answered = await client.ask("set a 0 0 1\r\n2");
    expect(await client.ask("get a", "END\r\n")).toBe("VALUE a 0 1\r\n2\r\nEND\r\n");
  });

  it("returns a CLIENT_ERROR to incr only to its client, even if other clients share the connection", async () => {
    const port = await start(1, "");
    const [one, other] = [await connect(port), await connect(port)];
    await one.ask("set text 0 0 4\r\nabcd");
    one.send("incr text 1\r\n".repeat(500));
    other.send("set x 0 0 1\r\n1\r\n".repeat(500));
    const refusal = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    one.send("version\r\n");
    other.send("version\r\n");
    expect(await one.until(VERSION)).toBe(`${refusal.repeat(500)}${VERSION}`);
    expect(await other.until(VERSION)).toBe(`${"STORED\r\n".repeat(500)}${VERSION}`);
  });

  const blank = " ".repeat(4_000);
  const offences: Record<string, string> = {
    "a set line of 4 KB": `set${blank}a 0 0 1\r\n1\r\n`,
    "an incr line of 4 KB": `incr a${blank}1\r\n`,
    "a delete line of 4 KB": `delete a${blank}\r\n`,
    "a touch line of 4 KB": `touch${blank}a 0\r\n`,
    "a noreply set line of 4 KB": `set a 0 0 1${blank}noreply\r\n1\r\n`,
    "a key that is too long": `touch missing 0\r\nget ${"k".repeat(251)}\r\n`,
    "a value of another length": "set a 0 0 5\r\nabcdefgh\r\n",
    "an exptime of 20 digits": "set a 0 99999999999999999999 1\r\n1\r\n",
    "an exptime beyond 32 bits": "set a 0 4102444800 1\r\n1\r\n",
    "numbers with tabs": "set a 99999999999999999999\t1 0 1\r\n1\r\n",
    "a length beyond 32 bits": "set a 0 0 4294967297\r\n1\r\n",
  };
  for (const [name, offence] of Object.entries(offences)) {
    it(`fails no other client's request because of ${name}`, async () => {
      const port = await start(1, 'server_timeout = "20s"');
      const [one, other] = [await connect(port), await connect(port)];
      const set = "set x 0 0 1\r\n1\r\n";
      // A read of the server's, of 16 KiB, ends within the offending line in some of the rounds.
      for (let count = 780; count <= 900; count += 40) {
        const offender = await connect(port);
        offender.send(set.repeat(count) + offence);
        for (const client of [one, other]) client.send(`${set.repeat(10)}version\r\n`);
        const expected = `${"STORED\r\n".repeat(10)}${VERSION}`;
        expect(await one.until(VERSION)).toBe(expected);
        expect(await other.until(VERSION)).toBe(expected);
        const stored = "STORED\r\n".repeat(count);
        expect((await offender.until(stored)) === stored).toBe(true);
      }
    });
  }

  it("never sends a value to the wrong client, whatever hangs, dies and recovers", async () => {
    const port = await start(3, 'connections = 2\nserver_timeout = "15ms"\ntimeouts_until_tko = 1000');
    // Numbers that look random and are the same every time.
    let seed = 1;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return (seed >>> 8) % below;
    };
    const valueFor = (key: string, length: number) => `${key}=`.padEnd(length, key);
    let batches = 0;
    let values = 0;
    let troubles = 0;
    const isOver = () => troubles >= 40 && values >= 4_000;

    async function clientLife(number: number): Promise<void> {
      while (!isOver()) {
        const client = await connect(port);
        const expected: { verb: string; keys: string[] }[] = [];
        let text = "";
        for (let i = 0; i < 40; i++) {
          const key = `c${number}k${random(20)}`;
          const kind = random(10);
          if (kind < 3) {
            const value = valueFor(key, random(40) === 0 ? 200_000 : random(3_000));
            const isQuiet = random(3) === 0;
            text += `set ${key} 0 0 ${value.length}${isQuiet ? " noreply" : ""}\r\n${value}\r\n`;
            if (!isQuiet) expected.push({ verb: "set", keys: [key] });
          } else if (kind < 5) {
            const keys = Array.from({ length: 1 + random(6) }, () => `c${number}k${random(20)}`);
            text += `gets ${keys.join(" ")}\r\n`;
            expected.push({ verb: "get", keys });
          } else if (kind === 5) {
            text += `delete ${key}\r\n`;
            expected.push({ verb: "delete", keys: [key] });
          } else {
            text += `get ${key}\r\n`;
            expected.push({ verb: "get", keys: [key] });
          }
        }
        client.send(`${text}version\r\n`);
        const answer = await client.until(VERSION);
        values += checkAnswers(answer, expected, valueFor);
        client.close();
        batches++;
      }
    }

    async function passBatches(count: number): Promise<void> {
      const until = batches + count;
      while (batches < until && !isOver()) await new Promise((resolve) => setImmediate(resolve));
    }

    async function trouble(): Promise<void> {
      for (; !isOver(); troubles++) {
        const at = troubles % servers.length;
        const server = servers[at]!;
        if (troubles % 8 === 7) {
          await server.stop();
          servers[at] = await MemcachedProcess.start({ port: server.port });
        } else {
          server.pause();
          await passBatches(4);
          server.resume();
        }
        await passBatches(20);
      }
    }

    await Promise.all([trouble(), ...Array.from({ length: 6 }, (_, number) => clientLife(number))]);
  }, 60_000);
});

/** Takes `answer` apart by what was asked, and throws where a reply is not for its request. Returns the values seen. */
function checkAnswers(
  answer: string,
  expected: readonly { verb: string; keys: readonly string[] }[],
  valueFor: (key: string, length: number) => string,
): number {
  let at = 0;
  let values = 0;
  const line = () => {
    const end = answer.indexOf("\r\n", at);
    const text = answer.slice(at, end);
    at = end + 2;
    return text;
  };
  for (const { verb, keys } of expected) {
    let text = line();
    let next = 0;
    while (verb === "get" && text.startsWith("VALUE ")) {
      const [, key, , length] = text.split(" ");
      while (next < keys.length && keys[next] !== key) next++;
      if (next++ >= keys.length) throw new Error(`${text} to a get of ${keys.join(" ")}`);
      const value = answer.slice(at, at + Number(length));
      if (value !== valueFor(key!, value.length)) throw new Error(`another value under ${key}: ${value.slice(0, 100)}`);
      at += Number(length) + 2;
      values++;
      text = line();
    }
    const allowed = {
      get: /^END$/,
      set: /^(STORED|SERVER_ERROR .*)$/,
      delete: /^(DELETED|NOT_FOUND|SERVER_ERROR .*)$/,
    };
    if (!allowed[verb as keyof typeof allowed].test(text)) throw new Error(`${text} to a ${verb} of ${keys.join(" ")}`);
  }
  if (answer.slice(at) !== VERSION) throw new Error(`too many answers: ${answer.slice(at, at + 100)}`);
  return values;
}
