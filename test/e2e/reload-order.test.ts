/** An earlier write of a client never overtakes a later one, whatever a reload replaces between them. */
import { describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.ts";
import { loadWing } from "../../src/observe/mcrouter-wing.ts";
import type { Platypus } from "../../src/server/platypus.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, startPlatypus } from "../support/rigs/started.ts";
import { treeConfig } from "../support/rigs/tree-config.ts";
import { ScriptedBackend, type ScriptedCommand } from "../support/servers/scripted-backend.ts";

/** How the old configuration has the first write held up, given the server's port. */
const held: Readonly<Record<string, (port: number) => Promise<Config>>> = {
  "by the server": async (port) => nativeConfig(targetOf([port], 'server_timeout = "10s"')),
  "by a limit of requests under way": (port) => treeConfig(poolOf(port), { proxy_max_inflight_requests: "1" }),
  "by an injected latency": (port) =>
    treeConfig({
      ...poolOf(port),
      route: { type: "LatencyInjectionRoute", child: "PoolRoute|A", before_latency_ms: 50 },
    }),
};

/** The part that differs in the new configuration. */
const changes: Readonly<Record<string, (port: number) => Promise<Config>>> = {
  "the same": async (port) => nativeConfig(targetOf([port], 'server_timeout = "10s"')),
  "another time-out": async (port) => nativeConfig(targetOf([port], 'server_timeout = "9s"')),
  "more connections": async (port) => nativeConfig(targetOf([port], 'server_timeout = "10s"\nconnections = 3')),
  "a rule": async (port) =>
    nativeConfig(
      `${targetOf([port], 'server_timeout = "10s"')}\n[get.r]\nmatch = "other/(.*)"\nsource = "e"\n[source.e]\ntype = "echo"\n`,
    ),
  "a routing tree": (port) => treeConfig({ ...poolOf(port), route: "AllSyncRoute|Pool|A" }),
};

function poolOf(port: number) {
  return { pools: { A: { servers: [`127.0.0.1:${port}`], server_timeout: 10_000 } }, route: "PoolRoute|A" };
}

async function start(config: Config): Promise<{ platypus: Platypus; client: TextClient }> {
  const platypus = await startPlatypus(withListen(config), { log: new KeptLog().log });
  const client = await connect(platypus);
  return { platypus, client };
}

function withListen(config: Config): Config {
  const address = { type: "tcp", isTls: false, host: "127.0.0.1", port: 0 } as const;
  return { ...config, server: { ...config.server, listen: [address] } };
}

/** Answers what the server is asked, and returns the values of sets in the order in which it was sent them. */
function serve(server: ScriptedBackend, first: ScriptedCommand | null): readonly string[] {
  const values: string[] = [];
  server.script = (line, data) => {
    if (data !== null) values.push(data);
    return line.startsWith("get") ? "END\r\n" : "STORED\r\n";
  };
  if (first !== null) {
    values.push(first.data!);
    first.reply("STORED\r\n");
  }
  return values;
}

describe("a held write", () => {
  const rows = Object.keys(held).flatMap((how) => Object.keys(changes).map((change) => [how, change] as const));

  it.each(rows)(
    "%s reaches the server before the next write, which comes after a reload with %s",
    async (how, change) => {
      const server = await ScriptedBackend.start();
      afterTest(() => server.stop());
      const { platypus, client } = await start(await held[how]!(server.port));
      // A write of another key uses the limit up. The answer to `version` shows that all before it has been read.
      const blocker = how === "by a limit of requests under way" ? "set other 0 0 1 noreply\r\nx\r\n" : "";
      await client.ask(`${blocker}set k 0 0 5 noreply\r\nfirst\r\nversion`);
      const first = how === "by an injected latency" ? null : await server.command();
      // The form of a running process' configuration does not change otherwise.
      await loadWing();
      platypus.reload(withListen(await changes[change]!(server.port)));
      client.send("set k 0 0 6\r\nsecond\r\n");
      const values = serve(server, first);
      expect(await client.until("\r\n")).toBe("STORED\r\n");
      expect(values.filter((value) => value !== "x")).toEqual(["first", "second"]);
    },
  );
});
