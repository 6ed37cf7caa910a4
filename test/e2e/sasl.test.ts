import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BinaryClient, words } from "../support/clients/binary-client.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, portOf, startPlatypus } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const SASLPASSWD = "/usr/sbin/saslpasswd2";
const USER = "platypus@memcached";

describe.skipIf(MemcachedProcess.isMissing || !existsSync(SASLPASSWD))("servers that require SASL", () => {
  let folder: string;
  let servers: MemcachedProcess[];

  const startServer = (port?: number) =>
    MemcachedProcess.start({ args: ["-S"], env: { SASL_CONF_PATH: folder }, ...(port !== undefined && { port }) });

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    const file = path.join(folder, "users");
    const lines = ["mech_list: plain", "pwcheck_method: auxprop", "auxprop_plugin: sasldb", `sasldb_path: ${file}`];
    await writeFile(path.join(folder, "memcached.conf"), `${lines.join("\n")}\n`);
    const args = ["-p", "-a", "memcached", "-c", "-u", "memcached", "-f", file, "platypus"];
    execFileSync(SASLPASSWD, args, { input: "a-password" });
    servers = await Promise.all([startServer(), startServer()]);
  });

  afterAll(async () => {
    for (const server of servers) await server.stop();
    await rm(folder, { recursive: true });
  });

  const login = (password = "a-password") => `auth = "sasl"\nusername = "${USER}"\npassword = "${password}"`;

  async function start(settings = login(), rest = "", ports = servers.map(({ port }) => port)): Promise<number> {
    const target = targetOf(ports, `connect_timeout = "1s"\nserver_timeout = "500ms"\n${settings}`);
    const platypus = await startPlatypus(`[server]\nflush_all = true\n${target}\n${rest}`);
    return portOf(platypus);
  }

  it("serve classic commands with flags and cas", async () => {
    const client = await connect(await start());
    await client.ask("flush_all");
    const steps: [command: string, answer: string | RegExp, end?: string][] = [
      ["set a 4294967295 0 3\r\nabc", "STORED\r\n"],
      ["get a", "VALUE a 4294967295 3\r\nabc\r\nEND\r\n", "END\r\n"],
      ["gets a", /^VALUE a 4294967295 3 \d+\r\nabc\r\nEND\r\n$/, "END\r\n"],
      ["add a 0 0 1\r\nx", "NOT_STORED\r\n"],
      ["add b 1 0 1\r\nx", "STORED\r\n"],
      ["replace c 0 0 1\r\nx", "NOT_STORED\r\n"],
      ["append a 0 0 3\r\ndef", "STORED\r\n"],
      ["prepend a 0 0 1\r\n>", "STORED\r\n"],
      ["append c 0 0 1\r\nx", "NOT_STORED\r\n"],
      ["get b a c", "VALUE b 1 1\r\nx\r\nVALUE a 4294967295 7\r\n>abcdef\r\nEND\r\n", "END\r\n"],
      ["cas a 0 0 1 1\r\nx", "EXISTS\r\n"],
      ["cas c 0 0 1 1\r\nx", "NOT_FOUND\r\n"],
      ["incr a 1", /^CLIENT_ERROR cannot increment/],
      ["set n 0 0 2\r\n99", "STORED\r\n"],
      ["incr n 18446744073709551615", "98\r\n"],
      ["decr n 1000", "0\r\n"],
      ["incr n x", "CLIENT_ERROR invalid numeric delta argument\r\n"],
      ["incr none 1", "NOT_FOUND\r\n"],
      ["touch a 100", "TOUCHED\r\n"],
      ["touch none 100", "NOT_FOUND\r\n"],
      ["gat 100 a none b", /^VALUE a 4294967295 7\r\n>abcdef\r\nVALUE b 1 1\r\nx\r\nEND\r\n$/, "END\r\n"],
      ["delete a", "DELETED\r\n"],
      ["delete a", "NOT_FOUND\r\n"],
      ["set gone 0 -1 1\r\nx", "STORED\r\n"],
      ["get gone", "END\r\n", "END\r\n"],
      ["flush_all", "OK\r\n"],
      ["get b", "END\r\n", "END\r\n"],
    ];
    for (const [command, answer, end] of steps) expect(await client.ask(command, end), command).toMatch(answer);
    const cas = /(\d+)\r\n/;
    await client.ask("set a 1 0 1\r\nx");
    const [, unique] = cas.exec(await client.ask("gets a", "END\r\n"))!;
    expect(await client.ask(`cas a 2 0 1 ${unique}\r\ny`)).toBe("STORED\r\n");
  });

  it("keep pipelined commands of many clients apart, including noreply", async () => {
    const port = await start();
    const clients = await Promise.all(Array.from({ length: 10 }, () => connect(port)));
    const talk = async (client: TextClient, c: number) => {
      for (let i = 0; i < 100; i++) client.send(`set ${c}-${i} ${i} 0 4 noreply\r\n${1000 + i}\r\n`);
      for (let i = 0; i < 100; i++) client.send(`get ${c}-${i}\r\n`);
      for (let i = 0; i < 100; i++) {
        expect(await client.until("END\r\n")).toBe(`VALUE ${c}-${i} ${i} 4\r\n${1000 + i}\r\nEND\r\n`);
      }
    };
    await Promise.all(clients.map(talk));
  });

  it("serve values of 1 MB", async () => {
    const client = await connect(await start());
    const large = "l".repeat(1_000_000);
    expect(await client.ask(`set large 3 0 ${large.length}\r\n${large}`)).toBe("STORED\r\n");
    expect(await client.ask("get large", "END\r\n")).toBe(`VALUE large 3 ${large.length}\r\n${large}\r\nEND\r\n`);
  });

  it("serve the meta commands they can, and refuse the others by name", async () => {
    const client = await connect(await start());
    const value = "VA 1 f7 kmeta Oq";
    const steps: [command: string, answer: string | RegExp, end?: string][] = [
      ["ms meta 1 T0 F7 c\r\nx", /^HD c\d+\r\n$/],
      ["mg meta v f k Oq", `${value}\r\nx\r\n`, "x\r\n"],
      ["mg meta c", /^HD c\d+\r\n$/],
      ["mg bWV0YQ== b k v", "VA 1 kbWV0YQ== b\r\nx\r\n", "x\r\n"],
      ["mg none v k", "EN knone\r\n"],
      ["mg meta T30 k", "HD kmeta\r\n"],
      ["ms meta 1 ME\r\ny", "NS\r\n"],
      ["ms meta 1 C1\r\ny", "EX\r\n"],
      ["ma count N0 J5 v", "VA 1\r\n5\r\n", "5\r\n"],
      ["ma count D3 v", "VA 1\r\n8\r\n", "8\r\n"],
      ["md none q\r\nmn", /^(NF\r\n)?MN\r\n$/, "MN\r\n"],
      ["md meta C1", "EX\r\n"],
      ["md meta", "HD\r\n"],
      ["mg meta t v", "CLIENT_ERROR not supported by this pool\r\n"],
      ["mg meta N30 v", "CLIENT_ERROR not supported by this pool\r\n"],
      ["me meta", "CLIENT_ERROR not supported by this pool\r\n"],
    ];
    for (const [command, answer, end] of steps) expect(await client.ask(command, end), command).toMatch(answer);
  });

  it("parse numbers as memcached does, without harm to other clients", async () => {
    const port = await start(`${login()}\ntimeouts_until_tko = 1`);
    const [client, other] = [await connect(port), await connect(port)];
    const badToken = "CLIENT_ERROR bad token in command line format\r\n";
    const badFlag = "CLIENT_ERROR invalid or duplicate flag\r\n";
    await client.ask("set n 0 0 1\r\n5");
    const steps: [command: string, answer: string][] = [
      ["ms a 1 Tabc\r\nx", badToken],
      ["ms a 1 Cabc\r\nx", badToken],
      ["ms a 1 F-1\r\nx", badToken],
      ["mg a T v", badToken],
      ["mg a v v", "CLIENT_ERROR duplicate flag\r\n"],
      ["ma n D-1", badFlag],
      ["ma n N30 Jx", badFlag],
      ["md n C18446744073709551616", badFlag],
      ["touch n abc", "CLIENT_ERROR invalid exptime argument\r\n"],
      ["incr n 99999999999999999999", "CLIENT_ERROR invalid numeric delta argument\r\n"],
      ["incr n 1\t2", "6\r\n"],
      // As memcached, the low 32 bits count.
      ["ms a 1 F4294967303 T4294967396\r\nx", "HD\r\n"],
      ["touch n 4294967396", "TOUCHED\r\n"],
      ["set b 0\t1 0\t1 1\r\nx", "STORED\r\n"],
    ];
    for (const [command, answer] of steps) expect(await client.ask(command), command).toBe(answer);
    expect(await client.ask("mg a f")).toBe("HD f7\r\n");
    expect(await other.ask("get n", "END\r\n")).toBe("VALUE n 0 1\r\n6\r\nEND\r\n");
  });

  it.each(["flush_all -1", "flush_all 0"])("flush at once on %s", async (command) => {
    const client = await connect(await start());
    await client.ask("set a 0 0 1\r\nx");
    expect(await client.ask(command)).toBe("OK\r\n");
    expect(await client.ask("get a", "END\r\n")).toBe("END\r\n");
  });

  it("serve binary clients with flags and cas", async () => {
    const client = await BinaryClient.connect(await start());
    afterTest(() => client.close());
    const extras = words(9, 0);
    const [stored] = await client.ask([{ opcode: 0x01, key: "bin", extras, value: "value" }]);
    expect(stored!.status).toBe(0);
    expect(stored!.cas).not.toBe(0n);
    const [got] = await client.ask([{ opcode: 0x00, key: "bin" }]);
    expect([got!.value, got!.extras, got!.cas]).toEqual(["value", words(9), stored!.cas]);
  });

  it("are filled, and keep the cas of items", async () => {
    const rule = '[get.echo]\nmatch = "echo/(.*)"\nsource = "echo"\n[source.echo]\ntype = "echo"\ntemplate = "<{1}>"';
    const port = await start(login(), rule);
    const client = await connect(port);
    expect(await client.ask("get echo/a", "END\r\n")).toBe("VALUE echo/a 0 3\r\n<a>\r\nEND\r\n");
    expect(await client.ask("gets echo/b", "END\r\n")).toMatch(/^VALUE echo\/b 0 3 \d+\r\n<b>\r\nEND\r\n$/);
    const plain = await connect(await start());
    expect(await plain.ask("get echo/a", "END\r\n")).toBe("VALUE echo/a 0 3\r\n<a>\r\nEND\r\n");
  });

  it("cause errors for writes and misses for gets if they refuse the login", async () => {
    const client = await connect(await start(login("wrong")));
    expect(await client.ask("get a", "END\r\n")).toBe("END\r\n");
    expect(await client.ask("set a 0 0 1\r\nx")).toMatch(/^SERVER_ERROR /);
  });

  it("do not corrupt later answers if they are killed with answers outstanding, or hang", async () => {
    const first = await startServer();
    const { port } = first;
    afterTest(() => first.stop());
    const client = await connect(await start(`${login()}\ntimeouts_until_tko = 100`, "", [port]));
    expect(await client.ask("set a 0 0 1\r\n1")).toBe("STORED\r\n");
    first.pause();
    client.send("set a 0 0 1\r\n2\r\nget a\r\n");
    expect(await client.until("END\r\n")).toBe("SERVER_ERROR timeout\r\nEND\r\n");
    first.resume();
    await expect.poll(() => client.ask("get a", "END\r\n"), { timeout: 5_000 }).toMatch(/^VALUE a 0 1\r\n[12]/);
    first.pause();
    client.send("set b 0 0 1\r\n1\r\nget b\r\nget c\r\n");
    await first.stop();
    expect(await client.until("END\r\nEND\r\n")).toMatch(/^SERVER_ERROR .*\r\nEND\r\nEND\r\n$/);
    const second = await startServer(port);
    afterTest(() => second.stop());
    await expect.poll(() => client.ask("set a 0 0 1\r\n3"), { timeout: 5_000 }).toBe("STORED\r\n");
    expect(await client.ask("get a b c", "END\r\n")).toBe("VALUE a 0 1\r\n3\r\nEND\r\n");
  });
});
