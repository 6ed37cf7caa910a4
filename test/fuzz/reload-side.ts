/**
 * Fuzzes reloads: clients of all protocols, pipelined and not, while the configuration changes again and again. The servers
 * are well, so that nothing may fail: every answer is the one that the client's own commands explain, in their order.
 */
import { setImmediate as turn } from "node:timers/promises";
import { Platypus } from "../../src/server/platypus.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { OldMemcached } from "../support/servers/old-memcached.ts";
import { FuzzFailure, within } from "./deadline.ts";
import { HonestBinaryClient, type HonestClient, HonestTextClient } from "./honest-client.ts";
import { Random } from "./random.ts";
import { idle } from "./stats.ts";

interface Server {
  readonly port: number;
  stop(): Promise<void>;
}

const SERVERS = 3;
const BATCHES = 15;
/** Number of commands if each one is a separate round trip. */
const OLD_BATCHES = 4;

/** A Platypus before several servers, with a prefix. */
export class ReloadSide {
  readonly name: string;
  reloads = 0;
  /** The servers know no meta commands. */
  private readonly isOld: boolean;
  private readonly servers: readonly Server[];
  private readonly platypus: Platypus;
  private readonly log: KeptLog;
  private readonly port: number;

  private constructor(isOld: boolean, servers: readonly Server[], platypus: Platypus, log: KeptLog) {
    this.name = isOld ? "reloads over servers without meta" : "reloads";
    this.isOld = isOld;
    this.servers = servers;
    this.platypus = platypus;
    this.log = log;
    const [address] = platypus.addresses;
    this.port = address?.type === "tcp" ? address.port : 0;
  }

  static async start(isOld = false): Promise<ReloadSide> {
    const servers = await Promise.all(Array.from({ length: SERVERS }, () => startServer(isOld)));
    const log = new KeptLog();
    const platypus = await Platypus.start(configOf(servers, 2, 10_000), { log: log.log });
    return new ReloadSide(isOld, servers, platypus, log);
  }

  async round(seed: number): Promise<void> {
    const random = new Random(seed);
    const clients: HonestClient[] = [];
    let isAsking = true;
    try {
      for (let i = 0; i < 5; i++) {
        const own = new Random(random.below(2 ** 31));
        const name = `${i}:${seed}`;
        const client =
          i === 4
            ? await HonestBinaryClient.connect(this.port, own, name)
            : await HonestTextClient.connect(this.port, own, name, i % 2 === 1 && !this.isOld);
        client.isStrict = true;
        clients.push(client);
      }
      const asking = clients.map(async (client) => {
        for (let i = 0; i < (this.isOld ? OLD_BATCHES : BATCHES); i++) await within(client.ask(), "an honest client");
      });
      const reloading = (async () => {
        while (isAsking) {
          for (let turns = random.below(12); turns > 0; turns--) await turn();
          this.platypus.reload(configOf(this.servers, 1 + random.below(3), 10_000 + random.below(3)));
          this.reloads++;
        }
      })();
      const ends = await Promise.allSettled(asking);
      isAsking = false;
      await reloading;
      for (const end of ends) if (end.status === "rejected") throw end.reason;
      for (const client of clients) client.close();
      await idle(this.port);
      const faults = this.log.lines.splice(0).filter((line) => /^(error|warn)/.test(line));
      if (faults.length > 0) throw new FuzzFailure(faults.join("\n"));
    } catch (error) {
      throw new FuzzFailure(`${this.name}, seed ${seed}: ${String(error)}`, { cause: error });
    } finally {
      isAsking = false;
      for (const client of clients) client.close();
    }
  }

  async stop(): Promise<void> {
    await this.platypus.close();
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}

async function startServer(isOld: boolean): Promise<Server> {
  const server = await MemcachedProcess.start();
  if (!isOld) return server;
  const old = await OldMemcached.start(server.port);
  return {
    port: old.port,
    stop: async () => {
      await old.stop();
      await server.stop();
    },
  };
}

function configOf(servers: readonly Server[], connections: number, timeoutMs: number) {
  const settings = `connections = ${connections}\nserver_timeout = "${timeoutMs}ms"\nconnect_timeout = "10s"`;
  const ports = servers.map(({ port }) => port);
  return nativeConfig(`[server]\nprefix = "tenant:"\n${targetOf(ports, settings)}`);
}
