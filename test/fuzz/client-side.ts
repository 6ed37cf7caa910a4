/**
 * Fuzzes what clients send. In each round several connections send hostile streams, some without reading, some breaking
 * off, while canaries must be told exactly their own. At the end of a round every stream has been answered or closed
 * and all queues are empty.
 */
import { once } from "node:events";
import net from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { Platypus } from "../../src/server/platypus.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { Canary, FILL_RULE } from "./canary.ts";
import { FuzzFailure, within } from "./deadline.ts";
import { hostileStream } from "./hostile-traffic.ts";
import { pieces } from "./mutate.ts";
import { Random } from "./random.ts";
import { idle } from "./stats.ts";

/** The servers of Platypus. Without memcacheds, it uses its embedded store. */
export const clientSetups = [
  { name: "the embedded store", memcacheds: 0 },
  { name: "a memcached", memcacheds: 1 },
  { name: "three memcacheds", memcacheds: 3 },
] as const;

/** Small limits, which are soon reached: memory that continues to grow is a leak. */
const BOUNDS = '[server]\nembedded_size = "4MiB"\nhold = "1MiB"\nmax_tracked = 1000\n';

/** A Platypus that is fuzzed from the clients' side. */
export class ClientSide {
  readonly name: string;
  private readonly servers: readonly MemcachedProcess[];
  private readonly platypus: Platypus;
  private readonly log: KeptLog;
  private readonly port: number;

  private constructor(name: string, servers: readonly MemcachedProcess[], platypus: Platypus, log: KeptLog) {
    this.name = name;
    this.servers = servers;
    this.platypus = platypus;
    this.log = log;
    const [address] = platypus.addresses;
    this.port = address?.type === "tcp" ? address.port : 0;
  }

  static async start({ name, memcacheds }: (typeof clientSetups)[number]): Promise<ClientSide> {
    const servers = await Promise.all(Array.from({ length: memcacheds }, () => MemcachedProcess.start()));
    const target = targetOf(
      servers.map(({ port }) => port),
      'connections = 2\nserver_timeout = "30s"\nconnect_timeout = "10s"',
    );
    const log = new KeptLog();
    try {
      const config = nativeConfig((memcacheds === 0 ? "" : target) + FILL_RULE + BOUNDS);
      return new ClientSide(name, servers, await Platypus.start(config, { log: log.log }), log);
    } catch (error) {
      await Promise.all(servers.map((server) => server.stop()));
      throw error;
    }
  }

  /** One round, the same for the same seed. Throws a FuzzFailure that shows what was sent. */
  async round(seed: number): Promise<void> {
    const random = new Random(seed);
    const streams = Array.from({ length: 1 + random.below(6) }, () => {
      const bytes = hostileStream(random);
      return { bytes, pieces: pieces(random, bytes), manner: random.pick(MANNERS) };
    });
    const canary = await Canary.start(this.port);
    try {
      let underWay = streams.length;
      const hostile = streams.map(async ({ pieces: parts, manner }) => {
        try {
          await within(play(this.port, parts, manner), `a client that ${manner}`);
        } finally {
          underWay--;
        }
      });
      const sing = async () => {
        do await canary.sing();
        while (underWay > 0);
      };
      const ends = await Promise.allSettled([...hostile, sing()]);
      for (const end of ends) if (end.status === "rejected") throw end.reason;
      canary.stop();
      await idle(this.port);
      this.checkLog();
    } catch (error) {
      const sent = streams.map(({ manner, pieces: parts }) => `${manner}: ${showPieces(parts)}`).join("\n");
      throw new FuzzFailure(`${this.name}, seed ${seed}: ${String(error)}\nsent:\n${sent}`, { cause: error });
    } finally {
      canary.stop();
    }
  }

  async stop(): Promise<void> {
    await this.platypus.close();
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  /**
   * Faults of Platypus' own end a connection and are logged; nothing that clients send takes a server's away. What
   * cannot be stored because of its key is answered all the same, and said.
   */
  private checkLog(): void {
    const lines = this.log.lines
      .splice(0)
      .filter((line) => !line.includes("the key is too long for a server in base64"));
    const bad = lines.filter((line) => /^(error|warn)/.test(line));
    if (bad.length > 0) throw new FuzzFailure(bad.join("\n"));
  }
}

const MANNERS = ["reads", "reads", "reads late", "breaks off", "resets"] as const;

/** Sends `parts`, each in a separate turn. Resolves when the connection is closed. */
async function play(port: number, parts: readonly Buffer[], manner: (typeof MANNERS)[number]): Promise<void> {
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true });
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await Promise.race([once(socket, "connect"), closed]);
  if (manner !== "reads late") socket.resume();
  for (const part of parts) {
    socket.write(part);
    await turn();
  }
  if (manner === "breaks off") socket.destroy();
  else if (manner === "resets") socket.resetAndDestroy();
  else {
    socket.end();
    socket.resume();
  }
  await closed;
}

function showPieces(parts: readonly Buffer[]): string {
  return JSON.stringify(parts.map((part) => part.toString("latin1").replaceAll(/(.)\1{100,}/gs, shorten)));
}

function shorten(run: string, character: string): string {
  return `${character}{${run.length}}`;
}
