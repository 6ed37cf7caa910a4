/** Values of a MiB and more: many clients at once in bounded memory, and sizes up to `max_value`. */
import { readFile } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const MIB = 1024 * 1024;
const CLIENTS = 64;
const GETS = 4;
const PIECE_BYTES = 64 * 1024;

const memcacheds: MemcachedProcess[] = [];
const processes: PlatypusProcess[] = [];
const clients: TextClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(processes.splice(0).map((platypus) => platypus.stop()));
  await Promise.all(memcacheds.splice(0).map((memcached) => memcached.stop()));
});

async function connect(port: number): Promise<TextClient> {
  const client = await TextClient.connect(port);
  clients.push(client);
  return client;
}

/** A Platypus over a memcached that takes values of 8 MiB and does not evict. */
async function start(server: string): Promise<PlatypusProcess> {
  const memcached = await MemcachedProcess.start({ args: ["-I", "8m", "-m", "512"] });
  memcacheds.push(memcached);
  // The machine is busy with both ends: what is measured is memory.
  const target = targetOf([memcached.port], 'server_timeout = "15s"');
  const platypus = await PlatypusProcess.start(`[server]\nlisten = "127.0.0.1:0"\n${server}\n${target}`);
  processes.push(platypus);
  return platypus;
}

/** The most memory that the process has had, in bytes. */
async function peakBytes(platypus: PlatypusProcess): Promise<number> {
  const status = await readFile(`/proc/${platypus.child.pid}/status`, "latin1");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

/** A value that is another one for each client. */
function valueOfClient(number: number): Buffer {
  return Buffer.alloc(MIB, `client ${number} `);
}

function found(key: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`VALUE ${key} 0 ${value.length}\r\n`), value, Buffer.from("\r\nEND\r\n")]);
}

describe.skipIf(MemcachedProcess.isMissing)("values of a MiB", () => {
  it(`keep memory bounded for ${CLIENTS} clients at once, half of which do not read for long`, async () => {
    const platypus = await start('max_value = "2MiB"');
    const atRest = await peakBytes(platypus);
    const all = await Promise.all(Array.from({ length: CLIENTS }, () => connect(platypus.port)));
    const sets = all.map((_, number) =>
      Buffer.concat([Buffer.from(`set k${number} 0 0 ${MIB}\r\n`), valueOfClient(number), Buffer.from("\r\n")]),
    );
    // In small pieces by turns, so that every client's value is half there at the same time.
    for (let at = 0; at < MIB + 100; at += PIECE_BYTES) {
      for (const [number, client] of all.entries()) client.send(sets[number]!.subarray(at, at + PIECE_BYTES));
      await turn();
    }
    await Promise.all(all.map((client) => client.until("STORED\r\n")));
    const slow = all.filter((_, number) => number % 2 === 0);
    for (const { socket } of slow) socket.pause();
    for (const [number, client] of all.entries()) client.send(`get k${number}\r\n`.repeat(GETS));
    const answersOf = async (client: TextClient) => {
      const number = all.indexOf(client);
      const expected = found(`k${number}`, valueOfClient(number)).toString("latin1");
      for (let i = 0; i < GETS; i++) expect((await client.take(expected.length)) === expected).toBe(true);
    };
    await Promise.all(all.filter((client) => !slow.includes(client)).map(answersOf));
    for (const client of slow) {
      client.socket.resume();
      await answersOf(client);
    }
    const used = (await peakBytes(platypus)) - atRest;
    // What slow readers leave unread must be kept, once: 32 x 4 MiB. The bound is one copy of everything that all clients
    // move, sets and gets: 64 x 5 MiB. A second copy of what is unread, and what is garbage by then, do not fit into it.
    expect(used).toBeLessThan(CLIENTS * (1 + GETS) * MIB);
  });

  it("of all sizes reach the right clients, requested singly, together and by several clients at once", async () => {
    const platypus = await start("");
    const sizes = Array.from({ length: 24 }, (_, i) => 1 + ((i * 37_919) % 300_000));
    const values = sizes.map((bytes, i) => Buffer.alloc(bytes, `value ${i} `));
    const writer = await connect(platypus.port);
    for (const [i, value] of values.entries()) {
      writer.send(Buffer.concat([Buffer.from(`set s${i} 0 0 ${value.length}\r\n`), value, Buffer.from("\r\n")]));
    }
    await writer.take("STORED\r\n".length * sizes.length);
    const readers = await Promise.all(Array.from({ length: 12 }, () => connect(platypus.port)));
    const readAll = async (client: TextClient, number: number) => {
      for (let round = 0; round < 6; round++) {
        const order = sizes.map((_, i) => (i * 7 + number * 5 + round) % sizes.length);
        const isTogether = (round + number) % 2 === 0;
        const block = (i: number) => found(`s${i}`, values[i]!).toString("latin1");
        const commands = isTogether ? [`get ${order.map((i) => `s${i}`).join(" ")}`] : order.map((i) => `get s${i}`);
        const expected = isTogether
          ? `${order.map((i) => block(i).slice(0, -"END\r\n".length)).join("")}END\r\n`
          : order.map(block).join("");
        client.send(commands.map((command) => `${command}\r\n`).join(""));
        expect((await client.take(expected.length)) === expected).toBe(true);
      }
    };
    await Promise.all(readers.map(readAll));
  });

  it("can be set and read up to max_value if the server accepts them; one byte more is refused", async () => {
    const platypus = await start('max_value = "8MiB"');
    const client = await connect(platypus.port);
    // An item of memcached's holds its header and its key, too, and -I is for all of it.
    const largest = 8 * MIB - 512;
    const value = Buffer.alloc(largest, "large ");
    client.send(Buffer.concat([Buffer.from(`set large 0 0 ${largest}\r\n`), value, Buffer.from("\r\n")]));
    expect(await client.until("\r\n")).toBe("STORED\r\n");
    client.send("get large\r\n");
    const expected = found("large", value).toString("latin1");
    expect((await client.take(expected.length)) === expected).toBe(true);
    const tooLarge = 8 * MIB + 1;
    client.send(
      Buffer.concat([Buffer.from(`set large 0 0 ${tooLarge}\r\n`), Buffer.alloc(tooLarge), Buffer.from("\r\n")]),
    );
    expect(await client.until("\r\n")).toBe("SERVER_ERROR object too large for cache\r\n");
    expect(await client.ask("get large", "END\r\n")).toBe("END\r\n");
  });
});
