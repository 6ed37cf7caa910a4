import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { afterTest } from "../support/rigs/started.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { NutcrackerProcess } from "../support/servers/nutcracker-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

type Numbers = Record<string, number>;
interface Stats extends Record<string, unknown> {
  readonly alpha: Numbers & Record<"one" | "two" | "gone", Numbers>;
}

/** What the port sends to a client that sends nothing. */
async function statsAt(port: number): Promise<Stats> {
  return JSON.parse(await text(net.connect({ host: "127.0.0.1", port })));
}

/** The names in an object and in the objects within, without the values. */
function namesIn(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, namesIn(inner)]));
}

describe.skipIf(MemcachedProcess.isMissing)("twemproxy's statistics port", () => {
  let folder: string;
  let servers: MemcachedProcess[];
  let gone: number;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    servers = await Promise.all([MemcachedProcess.start(), MemcachedProcess.start()]);
    gone = await freePort();
  });

  afterEach(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await rm(folder, { recursive: true });
  });

  function yaml(port: number): string {
    const [one, two] = servers;
    return `alpha:
  listen: 127.0.0.1:${port}
  distribution: modula
  hash: crc32
  auto_eject_hosts: true
  timeout: 5000
  servers:
    - 127.0.0.1:${one!.port}:1 one
    - 127.0.0.1:${two!.port}:1 two
    - 127.0.0.1:${gone}:1 gone
`;
  }

  /** Returns the port of clients and that of the statistics. */
  async function start(env: Record<string, string> = {}): Promise<readonly [number, number]> {
    const [port, statsPort] = [await freePort(), await freePort()];
    const file = path.join(folder, "nutcracker.yml");
    await writeFile(file, yaml(port));
    const stats = { PLATYPUS_SERVER_TWEMPROXY_STATS: `127.0.0.1:${statsPort}` };
    const platypus = PlatypusProcess.run(["--config", file], { ...stats, ...env });
    afterTest(() => platypus.stop());
    await platypus.printed(/listens on/);
    await platypus.printed(/marked hard TKO/);
    return [port, statsPort];
  }

  it.skipIf(NutcrackerProcess.isMissing)(
    "has the names of twemproxy, and numbers and texts where it has them",
    async () => {
      const port = await freePort();
      const nutcracker = await NutcrackerProcess.start(yaml(port), port);
      afterTest(() => nutcracker.stop());
      const [, statsPort] = await start();
      expect(namesIn(await statsAt(statsPort))).toEqual(namesIn(await statsAt(nutcracker.statsPort)));
    },
  );

  it.each(["1", "2"])("counts clients, requests and bytes of all %s workers", async (workers) => {
    const [port, statsPort] = await start({ PLATYPUS_SERVER_WORKERS: workers });
    const before = await statsAt(statsPort);
    expect(before.alpha.gone).toMatchObject({ server_connections: 0, requests: 0 });
    expect(before.alpha.server_ejects).toBe(Number(workers));
    expect(before.alpha.gone.server_err).toBeGreaterThanOrEqual(1);
    expect(before.alpha.gone.server_ejected_at).toBeGreaterThan(Date.now() * 1000 - 60e6);
    const clients = await Promise.all([1, 2, 3, 4].map(() => TextClient.connect(port)));
    for (const [i, client] of clients.entries()) {
      for (const key of ["a", "b", "c", "d"]) await client.ask(`set ${key} 0 0 1\r\n${i}`);
      await client.ask("get a b c d", "END\r\n");
    }
    clients[0]!.close();
    await expect.poll(async () => (await statsAt(statsPort)).alpha.client_eof).toBe(1);
    const { alpha, curr_connections: connections, service } = await statsAt(statsPort);
    const own = [alpha.one, alpha.two];
    const sum = (name: string) => own.reduce((total, server) => total + server[name]!, 0);
    expect(service).toBe("nutcracker");
    expect(alpha).toMatchObject({ client_connections: 3, client_err: 0, forward_error: 0, fragments: 8 });
    expect([sum("requests"), sum("responses"), sum("out_queue"), sum("in_queue")]).toEqual([24, 24, 0, 0]);
    expect(sum("request_bytes")).toBeGreaterThan(16 * "set a 0 0 1\r\n0\r\n".length);
    expect(sum("response_bytes")).toBeGreaterThan(16 * "VALUE a 0 1\r\n0\r\n".length);
    expect(connections).toBe(3 + sum("server_connections"));
    for (const client of clients.slice(1)) client.close();
  });

  it("counts the connections that a server ends", async () => {
    const [port, statsPort] = await start();
    const client = await TextClient.connect(port);
    for (const key of ["a", "b", "c", "d"]) await client.ask(`get ${key}`, "END\r\n");
    await servers[0]!.stop();
    await expect.poll(async () => (await statsAt(statsPort)).alpha.one.server_eof).toBe(1);
    client.close();
  });

  it("refuses to start if its address is in use", async () => {
    const other = net.createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as net.AddressInfo;
    const file = path.join(folder, "nutcracker.yml");
    await writeFile(file, yaml(await freePort()));
    for (const workers of ["1", "2"]) {
      const env = { PLATYPUS_SERVER_TWEMPROXY_STATS: `127.0.0.1:${port}`, PLATYPUS_SERVER_WORKERS: workers };
      const platypus = PlatypusProcess.run(["--config", file], env);
      expect(await platypus.exit()).not.toBe(0);
      expect(platypus.stderr).toContain(`the statistics address 127.0.0.1:${port} cannot be opened`);
    }
    other.close();
  });
});
