import { once } from "node:events";
import { copyFileSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { addressText } from "../../src/config/config.ts";
import { parseNative } from "../../src/config/native.ts";
import type { Platypus } from "../../src/server/platypus.ts";
import { sourceTypes } from "../../src/sources/types.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, portOf, startMemcached, startPlatypus, temporaryFolder } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const folder = fileURLToPath(new URL("../support/tls", import.meta.url));
const file = (name: string) => path.join(folder, name);
const ca = readFileSync(file("ca.pem"));
const certificate = `tls_cert = "${file("server.pem")}"\ntls_key = "${file("server.key")}"`;

function configOf(text: string, listen = "tls:127.0.0.1:0") {
  const overrides = { "server.listen": listen, "server.log_level": "error", "server.admin": "off" };
  return parseNative({ file: null, text, env: {}, overrides, sourceTypes });
}

function start(text: string, listen?: string): Promise<Platypus> {
  return startPlatypus(configOf(text, listen));
}

async function connectSecurely(port: number, options: tls.ConnectionOptions = {}): Promise<TextClient> {
  const socket = tls.connect({ host: "127.0.0.1", port, ca, ...options });
  await once(socket, "secureConnect");
  const client = TextClient.over(socket);
  afterTest(() => client.close());
  return client;
}

describe("a tls: address", () => {
  it("serves as other addresses do, including large values and pipelined commands", async () => {
    const platypus = await start(`[server]\n${certificate}`);
    const client = await connectSecurely(portOf(platypus));
    const large = "x".repeat(1_000_000);
    client.send(`set large 0 0 ${large.length}\r\n${large}\r\nget large\r\nget none\r\nversion\r\n`);
    expect(await client.until("\r\n")).toBe("STORED\r\n");
    expect(await client.until("END\r\n")).toBe(`VALUE large 0 ${large.length}\r\n${large}\r\nEND\r\n`);
    expect(await client.until("END\r\n")).toBe("END\r\n");
    expect(await client.until("\r\n")).toMatch(/^VERSION \d/);
  });

  it("works beside a plain address", async () => {
    const platypus = await start(`[server]\n${certificate}`, "127.0.0.1:0,tls:127.0.0.1:0");
    expect(platypus.addresses.map(addressText)[1]).toMatch(/^tls:127\.0\.0\.1:\d+$/);
    const plain = await connect(portOf(platypus));
    const secure = await connectSecurely(portOf(platypus, 1));
    await plain.ask("set a 0 0 1\r\n1");
    expect(await secure.ask("get a", "END\r\n")).toBe("VALUE a 0 1\r\n1\r\nEND\r\n");
  });

  it("refuses clients that speak plain text, and continues", async () => {
    const platypus = await start(`[server]\n${certificate}`);
    const plain = await connect(platypus);
    plain.send("get a\r\n");
    expect(await plain.end()).not.toContain("END");
    expect(await (await connectSecurely(portOf(platypus))).ask("get a", "END\r\n")).toBe("END\r\n");
  });

  it("counts clients from their first byte on, including those in a handshake", async () => {
    const platypus = await start(`[server]\n${certificate}\nmax_connections = 1`);
    const silent = net.connect(portOf(platypus), "127.0.0.1");
    afterTest(() => silent.destroy());
    await once(silent, "connect");
    const second = tls.connect({ host: "127.0.0.1", port: portOf(platypus), ca });
    afterTest(() => second.destroy());
    await expect(once(second, "secureConnect")).rejects.toThrow();
    silent.destroy();
    await expect.poll(async () => (await connectSecurely(portOf(platypus))).ask("get a", "END\r\n")).toBe("END\r\n");
  });

  it("accepts only clients with a certificate of tls_ca", async () => {
    const platypus = await start(`[server]\n${certificate}\ntls_ca = "${file("ca.pem")}"`);
    const client = { cert: readFileSync(file("client.pem")), key: readFileSync(file("client.key")) };
    expect(await (await connectSecurely(portOf(platypus), client)).ask("get a", "END\r\n")).toBe("END\r\n");
    const stranger = tls.connect({ host: "127.0.0.1", port: portOf(platypus), ca });
    afterTest(() => stranger.destroy());
    stranger.write("get a\r\n");
    await expect(once(stranger, "data")).rejects.toThrow(/certificate required/);
  });

  it("answers a client that has ended its side after its last command", async () => {
    const platypus = await start(`[server]\n${certificate}`);
    const client = await connectSecurely(portOf(platypus));
    client.send("set a 0 0 1\r\n1\r\nget a\r\n");
    client.socket.end();
    expect(await client.end()).toBe("STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
  });

  it("drains: it answers what was read, and closes a client whose handshake ends later", async () => {
    const platypus = await start(`[server]\n${certificate}\ndrain_timeout = "1h"`);
    const client = await connectSecurely(portOf(platypus));
    const late = net.connect(portOf(platypus), "127.0.0.1");
    afterTest(() => late.destroy());
    await once(late, "connect");
    client.send("set a 0 0 1\r\n1\r\n");
    expect(await client.until("\r\n")).toBe("STORED\r\n");
    const drained = platypus.drain();
    const secure = tls.connect({ socket: late, ca });
    secure.on("error", () => {});
    afterTest(() => secure.destroy());
    await once(secure, "secureConnect");
    await once(secure.resume(), "end");
    expect(await client.end()).toBe("");
    await drained;
  });

  it("survives aborted handshakes, and counts no client twice", async () => {
    const platypus = await start(`[server]\n${certificate}\nmax_connections = 3`);
    for (let round = 0; round < 3; round++) {
      const sockets = Array.from({ length: 12 }, () => net.connect(portOf(platypus), "127.0.0.1"));
      for (const socket of sockets) socket.on("error", () => {});
      await Promise.all(sockets.map((socket) => once(socket, "connect")));
      for (const socket of sockets) {
        // The beginning of a hello, then a reset.
        socket.write(Buffer.from("16030100ff0100", "hex"));
        socket.resetAndDestroy();
      }
      await Promise.all(sockets.map((socket) => socket.closed || once(socket, "close")));
    }
    const connections = async () => {
      const client = await connectSecurely(portOf(platypus));
      const stats = await client.ask("stats", "END\r\n");
      client.close();
      return /STAT curr_connections (\d+)/.exec(stats)![1];
    };
    await expect.poll(() => connections().catch(String)).toBe("1");
  });

  it("applies a renewed certificate at a reload, without losing a client", async () => {
    const own = await temporaryFolder();
    for (const [from, to] of ["server", "client"].flatMap((name) => [[name, name]] as const)) {
      copyFileSync(file(`${from}.pem`), path.join(own, `${to}.pem`));
      copyFileSync(file(`${from}.key`), path.join(own, `${to}.key`));
    }
    const text = `[server]\ntls_cert = "${own}/server.pem"\ntls_key = "${own}/server.key"`;
    const platypus = await start(text);
    const before = await connectSecurely(portOf(platypus));
    const nameOf = (client: TextClient) => (client.socket as tls.TLSSocket).getPeerCertificate().subject.CN;
    expect(nameOf(before)).toBe("server.test");
    copyFileSync(path.join(own, "client.pem"), path.join(own, "server.pem"));
    copyFileSync(path.join(own, "client.key"), path.join(own, "server.key"));
    platypus.reload(configOf(text));
    expect(nameOf(await connectSecurely(portOf(platypus)))).toBe("client.test");
    expect(await before.ask("get a", "END\r\n")).toBe("END\r\n");
  });
});

describe("certificates in a configuration", () => {
  const problemsOf = (text: string, listen?: string) => {
    try {
      configOf(text, listen);
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };

  it.each([
    ["[server]", "a tls: address needs tls_cert and tls_key"],
    [
      `[server]\n${certificate.replace("server.pem", "none.pem")}`,
      "server.tls_cert: .*none.pem: there is no such file",
    ],
    [`[server]\n${certificate.replace("server.key", "client.key")}`, "server.tls_cert: .*cannot be used: .*mismatch"],
  ])("are refused at start, not at the first client: %s", (text, message) => {
    expect(problemsOf(text)).toMatch(new RegExp(message));
  });

  it("cause a warning if they have no use without TLS", () => {
    expect(problemsOf(`[server]\n${certificate}`, "127.0.0.1:0")).toMatch(/server\.tls_cert: has no use without/);
    expect(problemsOf(`[server]\n${certificate}\n${targetOf([1], `tls_ca = "${file("ca.pem")}"`)}`)).toMatch(
      /target\.tls_ca: has no use without tls = true/,
    );
  });

  it("never show a key", async () => {
    const own = await temporaryFolder();
    await writeFile(path.join(own, "server.key"), "not a key but secret");
    const text = `[server]\n${certificate.replace(file("server.key"), path.join(own, "server.key"))}`;
    expect(problemsOf(text)).toMatch(/cannot be used/);
    expect(problemsOf(text)).not.toContain("secret");
  });
});

describe.skipIf(MemcachedProcess.isMissing)("servers that speak TLS", () => {
  async function memcached(...more: string[]): Promise<MemcachedProcess> {
    const options = [`ssl_chain_cert=${file("server.pem")}`, `ssl_key=${file("server.key")}`, ...more].join(",");
    return startMemcached({ args: ["-Z", "-o", options] });
  }

  async function client(server: MemcachedProcess, settings: string): Promise<TextClient> {
    const target = targetOf([server.port], `tls = true\nconnect_timeout = "2s"\nserver_timeout = "2s"\n${settings}`);
    const platypus = await start(target, "127.0.0.1:0");
    return connect(platypus);
  }

  it("are connected over TLS", async () => {
    const text = await client(await memcached(), `tls_ca = "${file("ca.pem")}"\nconnections = 3`);
    const large = "y".repeat(900_000);
    for (const [key, value] of [
      ["a", "1"],
      ["b", large],
      ["c", ""],
    ] as const) {
      expect(await text.ask(`set ${key} 7 0 ${value.length}\r\n${value}`)).toBe("STORED\r\n");
      expect(await text.ask(`get ${key}`, "END\r\n")).toBe(`VALUE ${key} 7 ${value.length}\r\n${value}\r\nEND\r\n`);
    }
    expect(await text.ask("mg a v")).toBe("VA 1\r\n");
  });

  it("may have another name, and may request a client certificate", async () => {
    const server = await memcached("ssl_verify_mode=2", `ssl_ca_cert=${file("ca.pem")}`);
    const own = `tls_cert = "${file("client.pem")}"\ntls_key = "${file("client.key")}"\ntls_server_name = "cache.test"`;
    const text = await client(server, `tls_ca = "${file("ca.pem")}"\n${own}`);
    expect(await text.ask("set a 0 0 1\r\n1")).toBe("STORED\r\n");
  });

  it.each([
    ["whose authority is not known", ""],
    ["of another name", `tls_ca = "${file("ca.pem")}"\ntls_server_name = "other.test"`],
  ])("are not trusted if %s", async (_case, settings) => {
    const text = await client(await memcached(), settings);
    // The connection of the start has failed already, or fails now.
    expect(await text.ask("set a 0 0 1\r\n1")).toMatch(/^SERVER_ERROR (connection error|unavailable)\r\n$/);
    expect(await text.ask("get a", "END\r\n")).toBe("END\r\n");
  });
});
