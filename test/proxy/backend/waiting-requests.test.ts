/** Requests that wait for the end of the greeting: their order, and a connection that is retired meanwhile. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BackendConnection } from "../../../src/proxy/backend/connection.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { backendConnection, SERVER_TIMEOUT_MS } from "../../support/rigs/backend-connection.ts";
import { ScriptedBackend } from "../../support/servers/scripted-backend.ts";

let clock: ManualClock;
let backend: ScriptedBackend;
let happened: string[];
let connection: BackendConnection;

function ask(frame: string): Asked {
  return new Asked(frame).by((request) => connection.send(request));
}

async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(async () => {
  clock = new ManualClock();
  backend = await ScriptedBackend.start();
  happened = [];
  connection = backendConnection(backend.port, clock, happened);
});

afterEach(async () => {
  connection.close();
  await backend.stop();
});

describe("requests that wait for the greeting", () => {
  it("are sent before those that the refusal of one of them triggers", async () => {
    backend.metaNoop = "ERROR\r\n";
    const stored: (string | null)[] = [];
    backend.script = (_line, data) => {
      stored.push(data);
      return "STORED\r\n";
    };
    const refused = ask("mg k v N30\r\n");
    const earlier = ask("set k 0 0 1\r\n1\r\n");
    let later: Asked | null = null;
    refused.onAnswer = () => {
      later = ask("set k 0 0 1\r\n2\r\n");
    };
    expect(await refused.status()).toBe("clientError");
    await earlier.answer();
    await later!.answer();
    expect(stored).toEqual(["1", "2"]);
  });

  it("are answered if the connection is retired and the server closes it on `mn`", async () => {
    backend.closesOverMeta = true;
    backend.metaNoop = null;
    backend.script = () => "END\r\n";
    const asked = ask("get a\r\n");
    let hasClosed = false;
    connection.retire(() => {
      hasClosed = true;
    });
    expect(await asked.text()).toBe("END\r\n");
    expect(await asked.status()).toBe("missing");
    await turns();
    expect(hasClosed).toBe(true);
  });

  it("allow one of them to retire the connection when the next socket has no room for it", async () => {
    backend.closesOverMeta = true;
    backend.metaNoop = null;
    backend.script = () => "STORED\r\n";
    const bytes = 4 * 1024 * 1024;
    const large = () => ask(`set a 0 0 ${bytes}\r\n${"x".repeat(bytes)}\r\n`);
    const asked = Array.from({ length: 16 }, large);
    let hasClosed = false;
    // There is room for one more when the socket is connected, and again for this number on the next one.
    while (!connection.isConnected) await turns(1);
    const last = large();
    last.onAnswer = () => {
      connection.retire(() => {
        hasClosed = true;
      });
    };
    expect(await last.status()).toBe("overloaded");
    for (const each of asked) expect(await each.status()).toBe("stored");
    expect(hasClosed).toBe(true);
  });

  it("keep a retired connection open no longer than until they time out", async () => {
    backend.version = null;
    const asked = ask("get a\r\n");
    await backend.connection(0);
    await turns();
    let hasClosed = false;
    connection.retire(() => {
      hasClosed = true;
    });
    expect(hasClosed).toBe(false);
    for (let ms = 0; ms <= SERVER_TIMEOUT_MS + 20; ms += 10) {
      clock.advance(10);
      await turns();
    }
    expect(await asked.status()).toBe("timeout");
    expect(hasClosed).toBe(true);
  });
});
