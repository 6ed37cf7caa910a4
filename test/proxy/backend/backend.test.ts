import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PoolConfig } from "../../../src/config/config.ts";
import { Backend } from "../../../src/proxy/backend/backend.ts";
import { Health } from "../../../src/proxy/backend/health.ts";
import { Status } from "../../../src/proxy/reply.ts";
import { Operation, type Request } from "../../../src/proxy/request.ts";
import { routeKeys } from "../../../src/proxy/route/multi-get.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { KeptLog } from "../../support/fakes/kept-log.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { freePort } from "../../support/servers/memcached-process.ts";
import { ScriptedBackend } from "../../support/servers/scripted-backend.ts";

const SERVER_TIMEOUT_MS = 250;
/** The clock is moved by this much while sockets do their work. */
const STEP_MS = 10;
const MAX_STEPS = 10_000;

let clock: ManualClock;
let log: KeptLog;
let backend: Backend;
let server: ScriptedBackend | null;

function make(port: number, changes: Partial<PoolConfig> = {}): Backend {
  const address = { type: "tcp", isTls: false, host: "127.0.0.1", port } as const;
  const pool: PoolConfig = {
    name: "pool",
    servers: [],
    placement: { type: "random" },
    isPlacementGiven: true,
    ejectsDeadServers: false,
    connections: 1,
    serverTimeoutMs: SERVER_TIMEOUT_MS,
    connectTimeoutMs: 100,
    health: { timeoutsUntilTko: 3, firstProbeMs: 250, lastProbeMs: 5_000, failOpen: null },
    socket: { connectRetries: 0, keepAliveMs: 0, idleMs: 0 },
    keepsRoutingPrefix: false,
    failureDomains: null,
    listen: [],
    login: null,
    tls: null,
    discovery: null,
    handoffMs: 0,
    nearMs: 0,
    ...changes,
  };
  const turn = new Turn(() => clock.nowMs());
  const health = new Health(pool.health, clock, () => 0);
  return new Backend({ address, weight: 1, name: null }, pool, health, Buffer.alloc(0), 1024 * 1024, {
    clock,
    turn,
    log: log.log,
    random: () => 0,
  });
}

function ask(frame: string, slot = 0): Asked {
  return new Asked(frame).by((request) => backend.send(request, slot));
}

/** Asks for many keys as a tree does. */
function askTogether(frame: string): Asked {
  const lanes = {
    mayShare: () => true,
    lane: () => 0,
    sendTo: (_lane: number, part: Request) => backend.send(part, 0),
  };
  return new Asked(frame).by((request) => routeKeys(request, request.keys!, { route: () => {}, lanes }, true));
}

/** Lets time pass, for the clock and for the sockets alike, until `isReached`. */
async function passTime(isReached: () => boolean): Promise<void> {
  for (let i = 0; i < MAX_STEPS && !isReached(); i++) {
    clock.advance(STEP_MS);
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(isReached()).toBe(true);
}

beforeEach(() => {
  clock = new ManualClock();
  log = new KeptLog();
  server = null;
});

afterEach(async () => {
  backend.close();
  await server?.stop();
});

describe("a backend whose server refuses connections", () => {
  it("fails writes and answers gets with a miss at once", async () => {
    backend = make(await freePort());
    expect(await ask("set a 0 0 1\r\n1\r\n").text()).toBe("SERVER_ERROR connection error\r\n");
    expect(backend.isUp).toBe(false);
    const write = ask("set a 0 0 1\r\n1\r\n");
    const read = ask("get a\r\n");
    const reads = ask("get a b\r\n");
    // Completed within the call: nothing is waited for.
    expect([write, read, reads].map(({ answers }) => answers[0]?.text)).toEqual([
      "SERVER_ERROR unavailable\r\n",
      "END\r\n",
      "END\r\n",
    ]);
    expect(backend.counters.connectFailures).toBe(1);
  });

  it("is used again without intervention when the server is back", async () => {
    const port = await freePort();
    backend = make(port);
    await ask("get a\r\n").answer();
    // Some probes fail first.
    await passTime(() => backend.counters.connectFailures >= 4);
    server = await ScriptedBackend.start(port);
    server.script = () => "END\r\n";
    await passTime(() => backend.isUp);
    expect(await ask("get a\r\n").status()).toBe("missing");
    expect(server.lines).toEqual(["get a"]);
  });
});

describe("a backend whose server closes the connection on mn", () => {
  it.each([null, "CLIENT_ERROR malformed request\r\n"])(
    "retries on two more sockets if the reply is %s, then serves without meta commands until its next socket",
    async (answer) => {
      server = await ScriptedBackend.start();
      server.metaNoop = answer;
      server.closesOverMeta = true;
      backend = make(server.port);
      const classic = ask("get a\r\n");
      const command = await server.command();
      command.reply("END\r\n");
      expect(await classic.status()).toBe("missing");
      expect(server.connections.length).toBe(3);
      expect(backend.speaksMeta).toBe(false);
      server.metaNoop = "MN\r\n";
      server.closesOverMeta = false;
      server.script = () => "END\r\n";
      command.connection.socket.end();
      await passTime(() => backend.connected === 0);
      expect(await ask("get a\r\n").status()).toBe("missing");
      expect(backend.speaksMeta).toBe(true);
    },
  );

  it("does not switch to classic text if it has spoken meta before", async () => {
    server = await ScriptedBackend.start();
    backend = make(server.port);
    const greeted = ask("get a\r\n");
    const command = await server.command();
    command.reply("END\r\n");
    await greeted.answer();
    server.closesOverMeta = true;
    server.metaNoop = null;
    command.connection.socket.end();
    await passTime(() => backend.connected === 0);
    expect(await ask("get a\r\n").status()).toBe("connectionLost");
    expect(await ask("get a\r\n").status()).toBe("connectionLost");
    expect(backend.speaksMeta).toBe(true);
    server.closesOverMeta = false;
    server.metaNoop = "MN\r\n";
    server.script = () => "END\r\n";
    expect(await ask("get a\r\n").status()).toBe("missing");
    expect(backend.speaksMeta).toBe(true);
  });

  it("loses the waiting requests if the server closes before it reports its version, and still uses meta", async () => {
    server = await ScriptedBackend.start();
    server.version = null;
    backend = make(server.port);
    for (let i = 0; i < 4; i++) {
      const lost = ask("get a\r\n");
      (await server.connection(i)).socket.end();
      expect(await lost.status()).toBe("connectionLost");
    }
    expect(backend.speaksMeta).toBe(true);
    expect(server.lines).toEqual([]);
  });
});

describe("a backend whose server accepts connections and never answers", () => {
  it("is marked down after the configured number of client timeouts, whatever Platypus itself has asked", async () => {
    server = await ScriptedBackend.start();
    server.version = null;
    server.metaNoop = null;
    backend = make(server.port);
    for (const isUp of [true, true, false]) {
      const asked = ask("set a 0 0 1\r\n1\r\n");
      await passTime(() => asked.answers.length > 0);
      expect(await asked.status()).toBe("timeout");
      expect(backend.isUp).toBe(isUp);
    }
    expect(backend.counters.timeouts).toBe(3);
  });
});

describe("a backend whose server reports a name other than memcached", () => {
  it("does not send mn, on which the server may close, and loses no request on any connection", async () => {
    server = await ScriptedBackend.start();
    server.version = "VERSION mcrouter 37.0.0\r\n";
    server.closesOverMeta = true;
    server.script = (line) => (line.startsWith("set") ? "STORED\r\n" : "END\r\n");
    backend = make(server.port);
    for (let socket = 0; socket < 3; socket++) {
      expect(await ask("set a 0 0 1\r\n1\r\n").text()).toBe("STORED\r\n");
      expect(await ask("get a\r\n").status()).toBe("missing");
      expect(server.connections.length).toBe(socket + 1);
      server.connections[socket]!.socket.end();
      await passTime(() => backend.connected === 0);
    }
    expect(backend.speaksMeta).toBe(false);
  });
});

describe("a backend that is marked down", () => {
  it.each(["close", "retire"] as const)("stops probing after its %s", async (end) => {
    server = await ScriptedBackend.start();
    server.version = null;
    server.metaNoop = null;
    backend = make(server.port);
    const asked = ["get a", "gets b", "get c"].map((frame) => ask(`${frame}\r\n`));
    await passTime(() => backend.connected === 1);
    clock.advance(SERVER_TIMEOUT_MS);
    for (const each of asked) await each.answer();
    const [connection] = server.connections;
    const before = backend.outstanding;
    // A probe is under way.
    await passTime(() => backend.outstanding > before);
    if (end === "close") backend.close();
    else backend.retire(() => {});
    if (end === "retire") connection!.socket.destroy();
    await connection!.closed;
    await passTime(() => backend.outstanding === 0);
    const behindMs = clock.nowMs() + 60_000;
    await passTime(() => clock.nowMs() >= behindMs);
    expect(server.connections.length).toBe(1);
    expect(clock.timerCount).toBe(0);
  });
});

describe("a backend that gets several keys of a tree in one command", () => {
  it("counts each key as a request, with its own result", async () => {
    server = await ScriptedBackend.start();
    backend = make(server.port);
    const asked = askTogether("get a b c\r\n");
    (await server.command()).reply("VALUE b 0 1\r\nx\r\nEND\r\n");
    await asked.answer();
    const hung = askTogether("get a b c\r\n");
    await server.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await hung.status()).toBe("missing");
    expect(backend.isUp).toBe(false);
    askTogether("get a b\r\n");
    const { requests, operations, results, timeouts } = backend.counters;
    expect([requests, operations[Operation.get], timeouts, backend.durations.answered().count]).toEqual([6, 6, 3, 3]);
    const { found, missing, timeout, tko } = Status;
    expect([found, missing, timeout, tko].map((status) => results[status])).toEqual([1, 2, 3, 2]);
  });
});

describe("a backend that does not answer", () => {
  it("is marked down after the configured number of timeouts in a row, and used again when a probe is answered", async () => {
    server = await ScriptedBackend.start();
    server.version = null;
    backend = make(server.port);
    const asked = ["get a", "gets b", "set c 0 0 1\r\n1"].map((frame) => ask(`${frame}\r\n`));
    await passTime(() => backend.connected === 1);
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await Promise.all(asked.map((each) => each.status()))).toEqual(["timeout", "timeout", "timeout"]);
    expect(backend.isUp).toBe(false);
    expect(ask("set c 0 0 1\r\n1\r\n").answers[0]?.text).toBe("SERVER_ERROR unavailable\r\n");
    expect(server.lines).toEqual([]);

    // Probes that are not answered leave it where it is, and past the drop limit the hung connection goes.
    const first = await server.connection(0);
    await passTime(() => first.socket.destroyed);
    expect(backend.isUp).toBe(false);

    server.version = "VERSION 1.6.18\r\n";
    server.script = () => "END\r\n";
    await passTime(() => backend.isUp);
    expect(await ask("get a\r\n").status()).toBe("missing");
    expect(backend.version).toBe("1.6.18");
  });

  it("is not marked down if it answers between the timeouts", async () => {
    server = await ScriptedBackend.start();
    backend = make(server.port);
    const greeted = ask("get a\r\n");
    (await server.command()).reply("END\r\n");
    await greeted.answer();
    for (let i = 0; i < 5; i++) {
      const slow = ask("get a\r\n");
      const first = await server.command();
      clock.advance(SERVER_TIMEOUT_MS);
      expect(await slow.status()).toBe("timeout");
      const next = ask("get b\r\n");
      await server.command();
      first.reply("END\r\nEND\r\n");
      expect(await next.status()).toBe("missing");
    }
    expect(backend.isUp).toBe(true);
    expect(backend.counters.timeouts).toBe(5);
  });
});

describe("a backend with several connections", () => {
  it("keeps requests of a slot on one connection, and a slow connection does not delay the others", async () => {
    server = await ScriptedBackend.start();
    backend = make(server.port, { connections: 2 });
    const slow = [ask("get a\r\n", 0), ask("gets b\r\n", 0)];
    const [first, second] = await server.commands(2);
    expect(second!.connection).toBe(first!.connection);
    const quick = ask("get c\r\n", 1);
    const third = await server.command();
    expect(third.connection).not.toBe(first!.connection);
    third.reply("END\r\n");
    expect(await quick.status()).toBe("missing");
    expect(slow.map(({ answers }) => answers.length)).toEqual([0, 0]);
    expect(backend.outstanding).toBe(2);
  });

  it("loses only the requests on the connection that broke", async () => {
    server = await ScriptedBackend.start();
    backend = make(server.port, { connections: 2 });
    const broken = ask("get a\r\n", 0);
    const liar = await server.command();
    const whole = ask("get b\r\n", 1);
    const honest = await server.command();
    liar.reply("VALUE other 0 1\r\n1\r\nEND\r\n");
    expect(await broken.status()).toBe("connectionLost");
    honest.reply("VALUE b 0 1\r\n2\r\nEND\r\n");
    expect(await whole.text()).toBe("VALUE b 0 1\r\n2\r\nEND\r\n");
    expect(backend.counters.outOfStep).toBe(1);
    expect(backend.isUp).toBe(true);
    expect(log.lines.filter((line) => line.includes("connection closed")).length).toBe(1);
  });
});

describe("a backend that waits for another backend of its server", () => {
  it("sends the waiting requests before those that a reply to one of them triggers", async () => {
    server = await ScriptedBackend.start();
    server.metaNoop = "ERROR\r\n";
    server.script = (line) => (line.startsWith("get") ? "END\r\n" : null);
    backend = make(server.port);
    await ask("get a\r\n").answer();
    backend.holdBack();
    const refused = ask("mg k v N30\r\n");
    ask("set k 0 0 1\r\n1\r\n");
    refused.onAnswer = () => {
      ask("set k 0 0 1\r\n2\r\n");
    };
    backend.letGo();
    const stored = await server.commands(2);
    expect(stored.map(({ data }) => data)).toEqual(["1", "2"]);
  });

  it("answers the waiting requests if it is retired meanwhile, and retires after that", async () => {
    server = await ScriptedBackend.start();
    backend = make(server.port);
    backend.holdBack();
    const asked = ask("get a\r\n");
    let hasClosed = false;
    backend.retire(() => {
      hasClosed = true;
    });
    expect(hasClosed).toBe(false);
    backend.letGo();
    (await server.command()).reply("END\r\n");
    expect(await asked.status()).toBe("missing");
    expect(hasClosed).toBe(true);
  });
});
