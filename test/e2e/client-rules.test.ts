/**
 * The first hard rule of clients: a get in a batch that failed is silence, never an error; the rest of the batch and what
 * comes after it are answered as if nothing had happened. Dalli, libmemcached and others are out of step for good
 * otherwise. The others of these rules stand where their subject is:
 * - answers within the time-out of clients, or a miss: client-fill-rules.test.ts, faults.test.ts (a memcached that
 *   hangs), filler.test.ts, fill-route.test.ts (a server that hangs when it is asked again);
 * - values that Platypus stores have flags 0: client-fill-rules.test.ts;
 * - meta flags in the order asked: client-fill-rules.test.ts, meta.test.ts, transcripts.test.ts;
 * - `version` is answered at once: below;
 * - base64 keys decoded for rules: client-fill-rules.test.ts; keys as Rails sends them: rails.test.ts, fill.test.ts
 *   (key_encoding).
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { BinaryClient, words } from "../support/clients/binary-client.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const GET = 0x00;
const SET = 0x01;
const GETKQ = 0x0d;
const SETQ = 0x11;
const VERSION = 0x0b;
const KEYS = Array.from({ length: 20 }, (_, i) => `key${i}`);

let servers: MemcachedProcess[];
let port: number;
/** The keys that the server in trouble has, and those of the others. */
let lost: string[];
let held: string[];

beforeEach(async () => {
  servers = await Promise.all([1, 2, 3].map(() => MemcachedProcess.start()));
  afterTest(() => Promise.all(servers.map((server) => server.stop())));
  const origin: Server = createServer((_request, response) => response.writeHead(500).end("no"));
  await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
  afterTest(() => origin.close());
  const target = targetOf(
    servers.map((server) => server.port),
    'server_timeout = "400ms"',
  );
  const platypus = await Platypus.start(
    nativeConfig(`${target}
[get.failing]
match = "failing/.*"
source = "failing"
[source.failing]
type = "http"
url = "http://127.0.0.1:${(origin.address() as AddressInfo).port}/"
`),
  );
  afterTest(() => platypus.close());
  const [address] = platypus.addresses;
  port = address?.type === "tcp" ? address.port : 0;
  const client = await text(port);
  for (const key of KEYS) await client.ask(`set ${key} 0 0 ${key.length}\r\n${key}`);
  const direct = await text(servers[0]!.port);
  const first = await direct.ask(`get ${KEYS.join(" ")}`, "END\r\n");
  lost = KEYS.filter((key) => first.includes(`VALUE ${key} `));
  held = KEYS.filter((key) => !lost.includes(key));
  expect(lost).not.toHaveLength(0);
});

async function text(to: number): Promise<TextClient> {
  const client = await connect(to);
  return client;
}

async function binary(): Promise<BinaryClient> {
  const client = await BinaryClient.connect(port);
  afterTest(() => client.close());
  return client;
}

interface Trouble {
  begin(): unknown;
  /** What is asked, in this order. */
  keys(): string[];
}

const troubles: Record<string, Trouble> = {
  "a dead server": { begin: () => servers[0]!.stop(), keys: () => KEYS },
  "a server that hangs": { begin: () => servers[0]!.pause(), keys: () => KEYS },
  "a failing source": {
    begin: () => {
      lost = [];
      held = KEYS;
    },
    keys: () => KEYS.flatMap((key) => [`failing/${key}`, key]),
  },
};

describe.skipIf(MemcachedProcess.isMissing)("rule 1: a failed get within a batch", () => {
  describe.each(Object.keys(troubles))("over %s", (name) => {
    const { begin, keys } = troubles[name]!;

    it("is omitted from a text get of many keys", async () => {
      const client = await text(port);
      await begin();
      for (let i = 0; i < 3; i++) {
        const expected = held.map((key) => `VALUE ${key} 0 ${key.length}\r\n${key}\r\n`).join("");
        expect(await client.ask(`get ${keys().join(" ")}\r\nmn`, "MN\r\n")).toBe(`${expected}END\r\nMN\r\n`);
      }
    });

    it("is omitted from a quiet meta batch, and the next get is answered with its own value", async () => {
      const client = await text(port);
      await begin();
      for (let i = 0; i < 3; i++) {
        client.send(
          keys()
            .map((key) => `mg ${key} v f c k q s\r\n`)
            .join(""),
        );
        const expected = held.map((key) => `VA ${key.length} f0 c# k${key} s${key.length}\r\n${key}\r\n`).join("");
        expect((await client.ask("mn", "MN\r\n")).replaceAll(/ c\d+/g, " c#")).toBe(`${expected}MN\r\n`);
        expect(await client.ask(`mg ${held[i]} v\r\nmn`, "MN\r\n")).toBe(
          `VA ${held[i]!.length}\r\n${held[i]}\r\nMN\r\n`,
        );
      }
    });

    it("is omitted from a quiet binary batch; a plain get of the key is a miss", async () => {
      const client = await binary();
      await begin();
      for (let i = 0; i < 3; i++) {
        const asked = keys();
        const answers = await client.ask([
          ...asked.map((key, opaque) => ({ opcode: GETKQ, key, opaque })),
          { opcode: GET, key: asked.find((key) => !held.includes(key))!, opaque: 1_000 },
        ]);
        expect(answers.map(({ opaque, status, key, value }) => [opaque, status, key, value])).toEqual([
          ...held.map((key) => [asked.indexOf(key), 0, key, key]),
          [1_000, 1, "", "Not found"],
        ]);
      }
    });
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a server that is down", () => {
  it("fails binary sets of its keys in order, quiet or not, while other sets are stored", async () => {
    const client = await binary();
    await servers[0]!.stop();
    const set = (opcode: number) => (key: string, opaque: number) => {
      return { opcode, key, opaque, value: "new", extras: words(0, 0) };
    };
    for (const [opcode, answered] of [
      [SETQ, lost],
      [SET, KEYS],
    ] as const) {
      const answers = await client.ask(Array.from({ length: 10 }, () => KEYS.map(set(opcode))).flat());
      const expected = answered.map((key) => [KEYS.indexOf(key), lost.includes(key) ? 0x86 : 0]);
      const batches = Array.from({ length: 10 }, () => expected).flat();
      expect(answers.map(({ opaque, status }) => [opaque, status])).toEqual(batches);
    }
    const values = await client.ask(KEYS.map((key) => ({ opcode: GETKQ, key })));
    expect(values.map(({ key, value }) => [key, value])).toEqual(held.map((key) => [key, "new"]));
  });

  it("rule 5: version is answered at once, in text and binary, without any server", async () => {
    await Promise.all(servers.map((server) => server.stop()));
    expect(await (await text(port)).ask("version")).toMatch(/^VERSION \d+\.\d+\.\d+\r\n$/);
    const [answer] = await (await binary()).ask([{ opcode: VERSION }]);
    expect(answer!.value).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
