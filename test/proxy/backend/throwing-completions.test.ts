/** A fault in what a request's answer is given to: every other request is answered all the same. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BackendConnection } from "../../../src/proxy/backend/connection.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { backendConnection, CONNECT_TIMEOUT_MS, SERVER_TIMEOUT_MS } from "../../support/rigs/backend-connection.ts";
import { ScriptedBackend } from "../../support/servers/scripted-backend.ts";

let clock: ManualClock;
let backend: ScriptedBackend;
let happened: string[];
let connection: BackendConnection;

function ask(frame: string): Asked {
  return new Asked(frame).by((request) => connection.send(request));
}

/** Its answer is not taken. */
function askFaulty(frame: string): Asked {
  const asked = ask(frame);
  asked.onAnswer = () => {
    throw new Error("a fault");
  };
  return asked;
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

describe("a completion that throws", () => {
  it("does not keep other requests from failing with the connection", async () => {
    askFaulty("get a\r\n");
    const other = ask("get b\r\n");
    let hasRetired = false;
    connection.retire(() => {
      hasRetired = true;
    });
    expect(() => connection.close()).toThrow("a fault");
    expect(await other.status()).toBe("connectionLost");
    expect(hasRetired).toBe(true);
  });

  it("does not keep other requests from getting their held replies", async () => {
    askFaulty("incr a 1\r\n");
    const other = ask("incr b 1\r\n");
    const last = ask("incr c 1\r\n");
    const behind = ask("incr d 1\r\n");
    const commands = await backend.commands(4);
    const refused = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    for (const command of commands.slice(0, 2)) command.reply(refused);
    commands[2]!.reply("7\r\n");
    expect((await other.answer()).text).toBe(refused);
    await last.answer();
    await behind.answer();
    expect(happened.some((line) => line.includes("a fault"))).toBe(true);
  });

  it("does not keep other requests from being refused or sent after the greeting", async () => {
    backend.metaNoop = "ERROR\r\n";
    backend.script = () => "STORED\r\n";
    askFaulty("mg k v N30\r\n");
    const refused = ask("mg k v N30\r\n");
    const sent = ask("set k 0 0 1\r\n1\r\n");
    expect(await refused.status()).toBe("clientError");
    await sent.answer();
    expect(happened.some((line) => line.includes("a fault"))).toBe(true);
  });

  it("does not keep other requests from timing out", async () => {
    backend.script = () => null;
    askFaulty("get a\r\n");
    const other = ask("get b\r\n");
    await backend.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await other.status()).toBe("timeout");
    expect(happened.some((line) => line.includes("a fault"))).toBe(true);
  });

  it("does not end the process if the server closes the connection", async () => {
    backend.script = () => null;
    askFaulty("get a\r\n");
    const other = ask("get b\r\n");
    await backend.command();
    (await backend.connection(0)).socket.end();
    expect(await other.status()).toBe("connectionLost");
    expect(happened).toContainEqual(expect.stringContaining("a fault in Platypus: Error: a fault"));
  });

  it("does not end the process if there is no server, and the server counts as down", async () => {
    await backend.stop();
    askFaulty("get a\r\n");
    const other = ask("get b\r\n");
    expect(await other.status()).toBe("connectError");
    expect(happened).toEqual([expect.stringContaining("a fault in Platypus: Error: a fault"), "connect failed"]);
  });

  it("does not end the process if no connection is made in time, and the server counts as down", async () => {
    askFaulty("get a\r\n");
    const other = ask("get b\r\n");
    // Before the socket can connect.
    clock.advance(CONNECT_TIMEOUT_MS);
    expect(await other.status()).toBe("connectTimeout");
    expect(happened).toEqual([expect.stringContaining("a fault in Platypus: Error: a fault"), "connect failed"]);
  });
});
