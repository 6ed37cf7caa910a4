import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BackendConnection } from "../../../src/proxy/backend/connection.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { backendConnection, SERVER_TIMEOUT_MS } from "../../support/rigs/backend-connection.ts";
import { ScriptedBackend, type ScriptedCommand } from "../../support/servers/scripted-backend.ts";

const OUT_OF_STEP = "out of step: a reply that does not answer the request";

let clock: ManualClock;
let backend: ScriptedBackend;
let happened: string[];
let connection: BackendConnection;

beforeEach(async () => {
  clock = new ManualClock();
  backend = await ScriptedBackend.start();
  backend.isBare = true;
  happened = [];
  connection = backendConnection(backend.port, clock, happened);
});

afterEach(async () => {
  connection.close();
  await backend.stop();
});

function ask(frame: string): Asked {
  return new Asked(`${frame}\r\n`).by((request) => connection.send(request));
}

/** Asks, waits until the server has all of it, and gives the requests and the first command, to answer on. */
async function askAll(...frames: string[]): Promise<{ asked: Asked[]; server: ScriptedCommand }> {
  const asked = frames.map(ask);
  const [server] = await backend.commands(frames.length);
  return { asked, server: server! };
}

function texts(asked: readonly Asked[]): Promise<string[]> {
  return Promise.all(asked.map((each) => each.text()));
}

const LOST = "SERVER_ERROR remote error\r\n";

describe("verification of a reply", () => {
  it.each([
    ["doubled", "HD O1\r\nHD O1\r\nHD O2\r\n", ["DELETED\r\n", LOST]],
    ["left out", "HD O2\r\n", [LOST, LOST]],
    ["swapped", "HD O2\r\nHD O1\r\n", [LOST, LOST]],
    ["classic", "DELETED\r\n", [LOST, LOST]],
    ["garbage", "HD HD\r\n", [LOST, LOST]],
  ])("closes the connection on a reply that is %s, and no other request gets it", async (_how, answer, expected) => {
    const { asked, server } = await askAll("delete a", "delete b");
    server.reply(answer);
    expect(await texts(asked)).toEqual(expected);
    expect(happened).toContain(OUT_OF_STEP);
    await server.connection.closed;
  });

  it("covers noreply and quiet commands like any other", async () => {
    const { asked, server } = await askAll("set a 0 0 1 noreply\r\n1", "md b q", "delete c");
    expect(backend.lines).toEqual(["ms a 1 O1", "md b O2", "md c O3"]);
    server.reply("HD O1\r\nHD O1\r\nHD O3\r\n");
    expect(await asked[2]!.text()).toBe(LOST);
  });

  it("gives two clients that use the same opaque their own replies", async () => {
    const { asked, server } = await askAll("mg a v O7", "mg b v O7");
    server.reply("VA 1 O1\r\na\r\nVA 1 O2\r\nb\r\n");
    expect(await texts(asked)).toEqual(["VA 1 O7\r\na\r\n", "VA 1 O7\r\nb\r\n"]);
  });
});

describe("verification of an error", () => {
  it("delivers the error once a later reply has shown that it was in its place", async () => {
    const { asked, server } = await askAll("incr a 1", "delete b");
    server.reply("CLIENT_ERROR no number\r\n");
    const marker = await backend.command();
    expect(marker.line).toBe("mn");
    expect(asked[0]!.answers).toEqual([]);
    server.reply("HD O2\r\n");
    expect(await texts(asked)).toEqual(["CLIENT_ERROR no number\r\n", "DELETED\r\n"]);
    server.reply("MN\r\n");
    expect(happened).toEqual(["VERSION 1.6.18"]);
  });

  it("uses the reply to a marker when no other request is in flight", async () => {
    const { asked, server } = await askAll("incr a 1");
    server.reply("SERVER_ERROR out of memory\r\n");
    (await backend.command()).reply("MN\r\n");
    expect(await asked[0]!.text()).toBe("SERVER_ERROR out of memory\r\n");
  });

  it("delivers the error to no client if it arrives twice", async () => {
    const { asked, server } = await askAll("incr a 1", "incr b 1");
    server.reply("CLIENT_ERROR no number\r\nCLIENT_ERROR no number\r\nVA 1 O2\r\n7\r\n");
    expect(await texts(asked)).toEqual([LOST, LOST]);
    expect(happened.at(-1)).toMatch(/^out of step/);
  });

  it("times out the error with the marker that would have verified it", async () => {
    const { asked, server } = await askAll("incr a 1");
    server.reply("CLIENT_ERROR no number\r\n");
    await backend.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await asked[0]!.text()).toBe("SERVER_ERROR timeout\r\n");
  });

  it("closes the connection after it delivers an error for a data block", async () => {
    const { asked, server } = await askAll("set a 0 0 1\r\n1");
    server.reply("CLIENT_ERROR bad data chunk\r\n");
    (await backend.command()).reply("MN\r\n");
    expect(await asked[0]!.text()).toBe("CLIENT_ERROR bad data chunk\r\n");
    expect(happened).toContain("out of step: a data block was refused");
    await server.connection.closed;
  });
});

describe("a value that may contain later replies", () => {
  it("is delivered if the next reply is in its place", async () => {
    const { asked, server } = await askAll("get a", "delete b");
    server.reply("VALUE a 0 3\r\nEND\r\nEND\r\nHD O1\r\n");
    expect(await texts(asked)).toEqual(["VALUE a 0 3\r\nEND\r\nEND\r\n", "DELETED\r\n"]);
  });

  it("is a miss if the next reply is not in its place", async () => {
    const { asked, server } = await askAll("mg a v", "delete b", "delete c");
    // The last five bytes of the value were cut off, and its line end.
    server.reply("VA 10 O1\r\n01234HD O2\r\nHD O3\r\n");
    expect(await texts(asked)).toEqual(["EN\r\n", LOST, LOST]);
  });

  it("is held together with all keys of its multi-key get", async () => {
    const { asked, server } = await askAll("mg x v", "get a b c");
    server.reply("VA 3 O1\r\nEND\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 3\r\nEND\r\nEND\r\n");
    expect((await backend.command()).line).toBe("mn");
    expect(asked.map(({ answers }) => answers.length)).toEqual([0, 0]);
    server.reply("MN\r\n");
    expect(await texts(asked)).toEqual(["VA 3\r\nEND\r\n", "VALUE a 0 1\r\n1\r\nVALUE b 0 3\r\nEND\r\nEND\r\n"]);
  });
});

describe("the greeting of a backend connection", () => {
  it("sends one command at a time, and requests wait for its end", async () => {
    backend.version = null;
    const asked = ask("ms a 2\r\nmn");
    const server = await backend.connection(0);
    const seen: string[] = [];
    server.socket.on("data", (chunk) => seen.push(String(chunk)));
    while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    server.send("VERSION 1.6.18\r\n");
    expect(await backend.command()).toMatchObject({ line: "ms a 2 O1", data: "mn" });
    expect(seen).toEqual(["version\r\n", "mn\r\n", "ms a 2 O1\r\nmn\r\n"]);
    server.send("HD O1\r\n");
    expect(await asked.text()).toBe("HD\r\n");
  });

  it("does not send a request whose timeout has passed when it ends", async () => {
    backend.version = null;
    const late = ask("set a 0 0 1\r\n1");
    const server = await backend.connection(0);
    while (!connection.isConnected) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await late.text()).toBe("SERVER_ERROR timeout\r\n");
    const next = ask("delete b");
    server.send("VERSION 1.6.18\r\n");
    (await backend.command()).reply("HD O1\r\n");
    expect(await next.text()).toBe("DELETED\r\n");
    expect(backend.lines).toEqual(["md b O1"]);
  });

  it("fails the waiting requests when the login is refused, and takes no client's data for a login", async () => {
    backend.version = "CLIENT_ERROR unauthenticated\r\n";
    expect(await ask("set a 0 0 1\r\n1").text()).toBe("SERVER_ERROR connection error\r\n");
    expect(happened).toEqual(["CLIENT_ERROR unauthenticated"]);
    expect(backend.lines).toEqual([]);
  });

  it("answers the waiting requests with the server's own error if the server only has errors", async () => {
    backend.version = "SERVER_ERROR out of memory\r\n";
    const set = ask("set a 0 0 1\r\n1");
    const other = ask("delete b");
    expect(await set.text()).toBe("SERVER_ERROR out of memory\r\n");
    expect(await other.text()).toBe("SERVER_ERROR out of memory\r\n");
    expect(backend.lines).toEqual([]);
  });
});
