/**
 * The hard rules of clients that concern what Platypus fetched itself, in each of the protocols: a slow fetch is a miss
 * within `fill_timeout`, flags are 0, meta flags come in the order asked, rules match a base64 key as decoded.
 */
import type { ServerResponse } from "node:http";
import { beforeEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { BinaryClient, words } from "../support/clients/binary-client.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { afterTest, startMemcached, startOrigin } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const GET = 0x00;

describe.skipIf(MemcachedProcess.isMissing)("a value that Platypus fetched", () => {
  let origin: HttpOrigin;
  let memcached: MemcachedProcess;
  let client: TextClient;
  let binary: BinaryClient;
  let direct: TextClient;

  beforeEach(async () => {
    memcached = await startMemcached();
    origin = await startOrigin();
    const source = `[source.origin]\ntype = "http"\nurl = "${origin.url}/{1}"\ntimeout = "30s"`;
    const rules = [
      '[get.slow]\nmatch = "slow/(.*)"\nsource = "origin"\nfill_timeout = "20ms"',
      '[get.quick]\nmatch = "quick/(.*)"\nsource = "origin"\nfill_timeout = "10s"',
    ];
    const platypus = await Platypus.start(
      nativeConfig([targetOf([memcached.port], 'server_timeout = "10s"'), ...rules, source].join("\n")),
    );
    afterTest(() => platypus.close());
    const [address] = platypus.addresses;
    const port = address!.type === "tcp" ? address!.port : 0;
    [client, direct] = [await TextClient.connect(port), await TextClient.connect(memcached.port)];
    binary = await BinaryClient.connect(port);
    for (const one of [client, direct, binary]) afterTest(() => one.close());
  });

  it("rule 2: is a miss in every protocol if it is late, and is in the pool afterwards", async () => {
    const held: ServerResponse[] = [];
    origin.handle = (_request, response) => held.push(response);
    // Answered while the source has said nothing.
    expect(await client.ask("get slow/get", "END\r\n")).toBe("END\r\n");
    expect(await client.ask("gets slow/gets", "END\r\n")).toBe("END\r\n");
    expect(await client.ask("mg slow/mg v k")).toBe("EN kslow/mg\r\n");
    expect(await client.ask("mg slow/quiet v q\r\nmn")).toBe("MN\r\n");
    expect((await binary.ask([{ opcode: GET, key: "slow/binary" }])).map(({ status }) => status)).toEqual([1]);
    expect(held.length).toBe(5);
    for (const response of held) response.end("value");
    for (const key of ["get", "gets", "mg", "quiet", "binary"]) {
      await expect.poll(() => direct.ask(`get slow/${key}`, "END\r\n")).toContain("\r\nvalue\r\n");
    }
  });

  it("rule 3: has flags 0 for all clients", async () => {
    expect(await client.ask("get quick/a", "END\r\n")).toMatch(/^VALUE quick\/a 0 \d+\r\n/);
    expect(await client.ask("mg quick/b f")).toBe("HD f0\r\n");
    const [answer] = await binary.ask([{ opcode: GET, key: "quick/c" }]);
    expect(answer!.extras).toBe(words(0));
    for (const key of ["a", "b", "c"]) expect(await direct.ask(`mg quick/${key} f`)).toBe("HD f0\r\n");
  });

  it("rule 4: is returned with the meta flags in the requested order and its length, filled and read again", async () => {
    const value = "value of /a";
    for (let i = 0; i < 2; i++) {
      const answer = await client.ask("mg quick/a s v Oq k f c", `${value}\r\n`);
      expect(answer.replace(/ c\d+/, " c#")).toBe(`VA 11 s11 Oq kquick/a f0 c#\r\n${value}\r\n`);
    }
    const word = Buffer.from("quick/b c").toString("base64");
    for (let i = 0; i < 2; i++) {
      const answer = await client.ask(`mg ${word} k b v s`, "/b%20c\r\n");
      expect(answer).toBe(`VA 15 k${word} b s15\r\nvalue of /b%20c\r\n`);
    }
  });

  it("rule 6: is found by a rule that sees the bytes of a base64 key", async () => {
    const word = Buffer.from("quick/clé d'été").toString("base64");
    await client.ask(`mg ${word} b v`, "\r\n");
    expect(origin.requests).toEqual(["GET /cl%C3%A9%20d%27%C3%A9t%C3%A9"]);
  });
});
