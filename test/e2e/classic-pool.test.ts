import { beforeEach, describe, expect, it } from "vitest";
import { BinaryClient, words } from "../support/clients/binary-client.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, startMemcached, startPlatypus } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { OldMemcached } from "../support/servers/old-memcached.ts";

const REFUSED = "CLIENT_ERROR not supported by this pool\r\n";
const RULE = '[get.echo]\nmatch = "echo/(.*)"\nsource = "echo"\n[source.echo]\ntype = "echo"\ntemplate = "<{1}>"';

describe.skipIf(MemcachedProcess.isMissing)("servers that know no meta commands", () => {
  let old: OldMemcached;
  let client: TextClient;
  let port: number;

  beforeEach(async () => {
    const memcached = await startMemcached();
    old = await OldMemcached.start(memcached.port);
    afterTest(() => old.stop());
    const platypus = await startPlatypus(`${targetOf([old.port])}\n${RULE}`);
    const [address] = platypus.addresses;
    port = address!.type === "tcp" ? address!.port : 0;
    client = await connect(port);
  });

  it("are probed once, and never receive a meta command afterwards", async () => {
    await client.ask("get a", "END\r\n");
    await client.ask("ms a 1 T0\r\nx");
    await client.ask("mg a v", "\r\n");
    expect(old.refused).toEqual(["mn"]);
  });

  it("receive classic commands in place of meta commands", async () => {
    await client.ask("get a", "END\r\n");
    const steps: [command: string, answer: string | RegExp, end?: string][] = [
      ["ms a 1 T0 F7\r\nx", "HD\r\n"],
      ["mg a v f k O1", "VA 1 f7 ka O1\r\nx\r\n", "x\r\n"],
      ["mg a s c", /^HD s1 c\d+\r\n$/],
      ["mg none v k", "EN knone\r\n"],
      ["ms a 1 ME k\r\nx", "NS ka\r\n"],
      ["ms a 1 MA\r\ny", "HD\r\n"],
      ["mg a v T60", "VA 2\r\nxy\r\n", "xy\r\n"],
      ["mg a T60", "HD\r\n"],
      ["ms a 1 C1\r\nx", "EX\r\n"],
      ["md a C1", "EX\r\n"],
      ["ms n 1\r\n5", "HD\r\n"],
      ["ma n D3 v", "VA 1\r\n8\r\n", "8\r\n"],
      ["ma none", "NF\r\n"],
      ["md a", "HD\r\n"],
      ["md a", "NF\r\n"],
    ];
    for (const [command, answer, end] of steps) expect(await client.ask(command, end), command).toMatch(answer);
  });

  it("delete by cas, and only that item", async () => {
    await client.ask("set a 0 0 1\r\nx");
    const [, cas] = / c(\d+)/.exec(await client.ask("mg a c"))!;
    expect(await client.ask(`md a C${cas}`)).toBe("HD\r\n");
    expect(await client.ask("get a", "END\r\n")).toBe("END\r\n");
  });

  it.each(["mg a t", "mg a N30 v", "ms a 1 c\r\nx", "ma a N30 v", "me a", "mg YSBi b v"])(
    "refuse commands that they cannot express: %s",
    async (command) => {
      await client.ask("set a 0 0 1\r\nx");
      expect(await client.ask(command)).toBe(REFUSED);
      expect(await client.ask("get a", "END\r\n")).toBe("VALUE a 0 1\r\nx\r\nEND\r\n");
    },
  );

  it.each(["ms a 1 Tabc\r\nx", "ms a 1 F-1\r\nx", "ms a 1 Cx\r\nx", "ms a 1 T1 T2\r\nx", "mg a Tabc v", "ma a Dx"])(
    "receive no invalid number, which would close the connection of all their clients: %s",
    async (command) => {
      await client.ask("set a 0 0 1\r\nx");
      const other = await connect(port);
      client.send(`${command}\r\n`);
      other.send("get a\r\n");
      expect(await client.until("\r\n")).toMatch(/^CLIENT_ERROR (bad token|duplicate flag|invalid or duplicate)/);
      expect(await other.until("END\r\n")).toBe("VALUE a 0 1\r\nx\r\nEND\r\n");
      expect(old.connections).toBe(1);
    },
  );

  it("do not execute the data of a meta set that comes first", async () => {
    client.send("ms first 5 T0\r\nget b\r\nget first\r\n");
    expect(await client.until("END\r\n")).toBe("HD\r\nVALUE first 0 5\r\nget b\r\nEND\r\n");
    expect(old.refused).toEqual(["mn"]);
    expect(await client.ask("set a 0 0 1\r\nx")).toBe("STORED\r\n");
    expect(await client.ask("ms first 5 T0\r\nvalue")).toBe("HD\r\n");
    expect(await client.ask("get a first", "END\r\n")).toBe("VALUE a 0 1\r\nx\r\nVALUE first 0 5\r\nvalue\r\nEND\r\n");
  });

  it("serve binary clients, and report no cas of writes to them", async () => {
    const binary = await BinaryClient.connect(port);
    afterTest(() => binary.close());
    await binary.ask([{ opcode: 0x00, key: "bin" }]);
    const [stored] = await binary.ask([{ opcode: 0x01, key: "bin", extras: words(9, 0), value: "value" }]);
    expect([stored!.status, stored!.cas]).toEqual([0, 0n]);
    const [got] = await binary.ask([{ opcode: 0x00, key: "bin" }]);
    expect([got!.value, got!.extras]).toEqual(["value", words(9)]);
  });

  it("are filled", async () => {
    expect(await client.ask("get echo/a", "END\r\n")).toBe("VALUE echo/a 0 3\r\n<a>\r\nEND\r\n");
    expect(await client.ask("gets echo/a", "END\r\n")).toMatch(/^VALUE echo\/a 0 3 \d+\r\n<a>\r\nEND\r\n$/);
    expect(old.refused).toEqual(["mn"]);
  });
});
