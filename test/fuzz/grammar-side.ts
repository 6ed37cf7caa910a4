/**
 * Fuzzes the grammar of the text protocol: odd commands (odd-command.ts), one request each, over any kind of server. Every
 * request has one answer or none that is due, data is never carried out, and what the server receives is canonical and
 * under the prefix (strict-relay.ts).
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { NutcrackerProcess } from "../support/servers/nutcracker-process.ts";
import { OldMemcached } from "../support/servers/old-memcached.ts";
import { FuzzFailure, within } from "./deadline.ts";
import { answerLength } from "./lying-relay.ts";
import { oddCommand } from "./odd-command.ts";
import { Random } from "./random.ts";
import { StrictRelay } from "./strict-relay.ts";

const PREFIX = "tenant1:";
const COMMANDS = 60;
/** Another build of memcached, to fuzz against beside the one that is installed. */
const CURRENT = process.env.PLATYPUS_FUZZ_MEMCACHED ?? "";

/** A server, or what stands before one, as Platypus sees it. */
interface Behind {
  /** Where commands go. */
  readonly port: number;
  /** Where the memcached itself can be asked. */
  readonly memcachedPort: number;
  stop(): Promise<void>;
}

export interface GrammarSetup {
  readonly name: string;
  readonly isMissing: boolean;
  /** A memcached that skips the data of a storage line which it refuses. */
  readonly skipsData: boolean;
  start(): Promise<Behind>;
}

async function memcached(program?: string): Promise<Behind> {
  const server = await MemcachedProcess.start(program === undefined ? {} : { program });
  return { port: server.port, memcachedPort: server.port, stop: () => server.stop() };
}

/** memcached's own proxy before a memcached of the same build. */
async function memcachedProxy(): Promise<Behind> {
  const server = await MemcachedProcess.start({ program: CURRENT });
  const folder = await mkdtemp(path.join(tmpdir(), "memcached-proxy-"));
  const file = path.join(folder, "proxy.lua");
  await writeFile(
    file,
    `function mcp_config_pools()
  return mcp.pool({ mcp.backend("one", "127.0.0.1", ${server.port}) })
end
function mcp_config_routes(pool)
  local fgen = mcp.funcgen_new()
  local h = fgen:new_handle(pool)
  fgen:ready({ n = "one", f = function(rctx) return function(r) return rctx:enqueue_and_wait(r, h) end end })
  mcp.attach(mcp.CMD_ANY_STORAGE, fgen)
end
`,
  );
  const proxy = await MemcachedProcess.start({ program: CURRENT, args: ["-o", `proxy_config=${file}`] });
  return {
    port: proxy.port,
    memcachedPort: server.port,
    stop: async () => {
      await proxy.stop();
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}

async function twemproxy(): Promise<Behind> {
  const server = await MemcachedProcess.start();
  const port = await freePort();
  const yaml = `alpha:\n  listen: 127.0.0.1:${port}\n  hash: md5\n  distribution: ketama\n  servers:\n   - 127.0.0.1:${server.port}:1\n`;
  const proxy = await NutcrackerProcess.start(yaml, port);
  return {
    port,
    memcachedPort: server.port,
    stop: async () => {
      await proxy.stop();
      await server.stop();
    },
  };
}

async function oldMemcached(): Promise<Behind> {
  const server = await MemcachedProcess.start();
  const old = await OldMemcached.start(server.port);
  return {
    port: old.port,
    memcachedPort: server.port,
    stop: async () => {
      await old.stop();
      await server.stop();
    },
  };
}

export const grammarSetups: readonly GrammarSetup[] = [
  { name: "memcached", isMissing: MemcachedProcess.isMissing, skipsData: false, start: () => memcached() },
  { name: "a memcached without meta", isMissing: MemcachedProcess.isMissing, skipsData: false, start: oldMemcached },
  { name: "twemproxy", isMissing: NutcrackerProcess.isMissing, skipsData: false, start: twemproxy },
  { name: "another memcached", isMissing: CURRENT === "", skipsData: true, start: () => memcached(CURRENT) },
  { name: "memcached's proxy", isMissing: CURRENT === "", skipsData: true, start: memcachedProxy },
];

/** A Platypus with a prefix, over one of these. */
export class GrammarSide {
  readonly name: string;
  private readonly setup: GrammarSetup;
  private readonly behind: Behind;
  private readonly relay: StrictRelay;
  private readonly platypus: Platypus;
  private readonly log: KeptLog;
  private readonly port: number;
  private ends = 0;

  private constructor(setup: GrammarSetup, behind: Behind, relay: StrictRelay, platypus: Platypus, log: KeptLog) {
    this.name = `odd commands over ${setup.name}`;
    this.setup = setup;
    this.behind = behind;
    this.relay = relay;
    this.platypus = platypus;
    this.log = log;
    const [address] = platypus.addresses;
    this.port = address?.type === "tcp" ? address.port : 0;
  }

  static async start(setup: GrammarSetup): Promise<GrammarSide> {
    const behind = await setup.start();
    const relay = await StrictRelay.start(behind.port, PREFIX);
    const log = new KeptLog();
    const settings = 'server_timeout = "10s"\nconnect_timeout = "10s"';
    const config = nativeConfig(`[server]\nprefix = "${PREFIX}"\n${targetOf([relay.port], settings)}`);
    const side = new GrammarSide(setup, behind, relay, await Platypus.start(config, { log: log.log }), log);
    // The server says what it is before the first command is judged.
    const client = await TextClient.connect(side.port);
    await client.ask("set c1 0 0 1\r\n5");
    client.close();
    return side;
  }

  async round(seed: number): Promise<void> {
    const random = new Random(seed);
    const client = await TextClient.connect(this.port);
    const direct = await TextClient.connect(this.behind.memcachedPort);
    let sent = "";
    try {
      await direct.ask("set tenant2:secret 0 0 5\r\nother");
      await direct.ask(`set ${PREFIX}c1 0 0 1\r\n5`);
      for (let i = 0; i < COMMANDS; i++) {
        const { bytes, most, isAnswered } = oddCommand(random, this.setup.skipsData);
        sent = bytes;
        const end = `EN kend O${this.ends++}\r\n`;
        client.send(`${bytes}mg end k O${this.ends - 1}\r\n`);
        const told = await within(client.until(end), "an odd command");
        const count = answersIn(told.slice(0, -end.length));
        if (count > most || (isAnswered && count === 0)) throw new FuzzFailure(`told ${JSON.stringify(told)}`);
      }
      const expected = [`VALUE ${PREFIX}c1 0 1\r\n5\r\nEND\r\n`, "VALUE tenant2:secret 0 5\r\nother\r\nEND\r\n"];
      const held = [await direct.ask(`get ${PREFIX}c1`, "END\r\n"), await direct.ask("get tenant2:secret", "END\r\n")];
      if (held.join() !== expected.join()) throw new FuzzFailure(`data was carried out: ${JSON.stringify(held)}`);
      const wrong = [
        ...this.relay.wrong.splice(0),
        ...this.log.lines.splice(0).filter((line) => /^(error|warn)/.test(line)),
      ];
      if (wrong.length > 0) throw new FuzzFailure(wrong.join("\n"));
    } catch (error) {
      throw new FuzzFailure(`${this.name}, seed ${seed}: ${String(error)}\nlast sent: ${JSON.stringify(sent)}`, {
        cause: error,
      });
    } finally {
      client.close();
      direct.close();
    }
  }

  async stop(): Promise<void> {
    await this.platypus.close();
    await this.relay.stop();
    await this.behind.stop();
  }
}

function answersIn(text: string): number {
  let rest = Buffer.from(text, "latin1");
  let count = 0;
  for (; rest.length > 0; count++) {
    const length = answerLength(rest);
    if (length === 0) throw new FuzzFailure(`half an answer: ${JSON.stringify(rest.toString("latin1"))}`);
    rest = rest.subarray(length);
  }
  return count;
}
