/**
 * Fuzzes what stands between Platypus and a server: a relay that lies about one answer in ten (lying-relay.ts). Clients of
 * all protocols, pipelined and not, may be told of failures, but never anything that is not the answer to their request.
 */
import { Platypus } from "../../src/server/platypus.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { FuzzFailure, within } from "./deadline.ts";
import { HonestBinaryClient, type HonestClient, HonestTextClient } from "./honest-client.ts";
import { LyingRelay } from "./lying-relay.ts";
import { Random } from "./random.ts";
import { idle } from "./stats.ts";

const BATCHES = 25;
/** A memcached whose answers are proven by markers alone. */
export const WITHOUT_OPAQUES = "1.6.12";

/** A Platypus behind which a relay lies. */
export class RelaySide {
  readonly name: string;
  /** Commands that were asked, by honest clients. */
  asked = 0;
  /** Connections that were closed because of a lie. */
  closed = 0;
  readonly relay: LyingRelay;
  private readonly server: MemcachedProcess;
  private readonly platypus: Platypus;
  private readonly log: KeptLog;
  private readonly port: number;

  private constructor(server: MemcachedProcess, relay: LyingRelay, platypus: Platypus, log: KeptLog) {
    this.name = relay.version === null ? "a lying relay" : `a lying relay before memcached ${relay.version}`;
    this.server = server;
    this.relay = relay;
    this.platypus = platypus;
    this.log = log;
    const [address] = platypus.addresses;
    this.port = address?.type === "tcp" ? address.port : 0;
  }

  /** `version` is the version that the server reports. `null` for its real version. */
  static async start(version: string | null = null): Promise<RelaySide> {
    const server = await MemcachedProcess.start();
    const relay = await LyingRelay.start(server.port);
    relay.version = version;
    const settings = 'connections = 2\nserver_timeout = "20ms"\nconnect_timeout = "10s"\ntimeouts_until_tko = 1000000';
    const log = new KeptLog();
    const platypus = await Platypus.start(nativeConfig(targetOf([relay.port], settings)), { log: log.log });
    return new RelaySide(server, relay, platypus, log);
  }

  async round(seed: number): Promise<void> {
    const random = new Random(seed);
    const clients: HonestClient[] = [];
    try {
      for (let i = 0; i < 6; i++) {
        const own = new Random(random.below(2 ** 31));
        clients.push(await HonestTextClient.connect(this.port, own, `t${seed}:${i}`, i % 2 === 1));
      }
      for (let i = 0; i < 2; i++) {
        clients.push(await HonestBinaryClient.connect(this.port, new Random(random.below(2 ** 31)), `b${seed}:${i}`));
      }
      this.relay.random = random;
      const asking = clients.map(async (client) => {
        for (let i = 0; i < BATCHES; i++) this.asked += await within(client.ask(), "an honest client");
      });
      const ends = await Promise.allSettled(asking);
      for (const end of ends) if (end.status === "rejected") throw end.reason;
      this.relay.random = null;
      for (const client of clients) client.close();
      await idle(this.port);
      const lines = this.log.lines.splice(0);
      this.closed += lines.filter((line) => line.includes("connection closed:")).length;
      const faults = lines.filter((line) => /^error|fault/.test(line));
      if (faults.length > 0) throw new FuzzFailure(faults.join("\n"));
    } catch (error) {
      throw new FuzzFailure(`${this.name}, seed ${seed}: ${String(error)}`, { cause: error });
    } finally {
      this.relay.random = null;
      for (const client of clients) client.close();
    }
  }

  async stop(): Promise<void> {
    await this.platypus.close();
    await this.relay.stop();
    await this.server.stop();
  }
}
