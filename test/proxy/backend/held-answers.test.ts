/** Answers that are not believed before a later one has shown that the connection was in step. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BackendConnection } from "../../../src/proxy/backend/connection.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { backendConnection, SERVER_TIMEOUT_MS } from "../../support/rigs/backend-connection.ts";
import { ScriptedBackend } from "../../support/servers/scripted-backend.ts";

const WITHOUT_OPAQUES = "VERSION 1.6.12\r\n";

let clock: ManualClock;
let backend: ScriptedBackend;
let happened: string[];
let connection: BackendConnection;

function ask(frame: string): Asked {
  return new Asked(frame).by((request) => connection.send(request));
}

/** Asks `frames`, once the greeting is over, and sends `answer` when the server has received `lines`. */
async function answered(frames: readonly string[], lines: readonly string[], answer: string): Promise<Asked[]> {
  const first = ask("get first\r\n");
  (await backend.command()).reply("END\r\n");
  await first.answer();
  const asked = frames.map(ask);
  const commands = await backend.commands(lines.length);
  expect(commands.map(({ line }) => line)).toEqual(lines);
  commands[0]!.reply(answer);
  return asked;
}

function statuses(asked: readonly Asked[]): Promise<string[]> {
  return Promise.all(asked.map((each) => each.status()));
}

beforeEach(async () => {
  backend = await ScriptedBackend.start();
  backend.isBare = true;
  happened = [];
  clock = new ManualClock();
  connection = backendConnection(backend.port, clock, happened);
});

afterEach(async () => {
  connection.close();
  await backend.stop();
});

describe("a value that contains replies to later requests", () => {
  const lost = ["connectionLost", "connectionLost", "connectionLost"];

  it("is not accepted as a marker's reply when another reply may follow it", async () => {
    backend.version = WITHOUT_OPAQUES;
    const asked = await answered(
      ["mg a v\r\n", "md b\r\n", "md c\r\n"],
      ["mg a v", "mn", "md b", "mn", "md c", "mn"],
      // Cut off behind "0123": what is missing is made up by the answer to `md b`.
      "VA 12 \r\n0123\r\nMN\r\nHD\r\nMN\r\nNF\r\nMN\r\n",
    );
    (await backend.command()).reply("MN\r\n");
    expect(await statuses(asked)).toEqual(lost);
  });

  it("is not accepted as the value of a key that was requested twice", async () => {
    const swallowed = "0123VALUE b 0 1 5\r\nx\r\nEND";
    const asked = await answered(
      ["mg a v\r\n", "gets b\r\n", "get b\r\n"],
      ["mg a v O1", "gets b", "get b"],
      `VA ${swallowed.length} O1\r\n${swallowed}\r\nVALUE b 0 1\r\ny\r\nEND\r\n`,
    );
    (await backend.command()).reply("MN\r\n");
    expect(await statuses(asked)).toEqual(lost);
  });

  it("makes later replies untrusted when the marker is not answered in time", async () => {
    backend.version = WITHOUT_OPAQUES;
    const asked = await answered(
      ["mg a v\r\n", "md b\r\n", "md c\r\n", "md d\r\n"],
      ["mg a v", "mn", "md b", "mn", "md c", "mn", "md d", "mn"],
      "VA 12 \r\n0123\r\nMN\r\nHD\r\nMN\r\nNF\r\nMN\r\n",
    );
    const marker = await backend.command();
    clock.advance(SERVER_TIMEOUT_MS);
    expect(await asked[0]!.text()).toBe("EN\r\n");
    marker.reply("HD\r\nMN\r\nMN\r\n");
    await marker.connection.closed;
    for (const each of asked.slice(1)) expect(await each.text()).toMatch(/^SERVER_ERROR/);
  });

  it("does not pass on an error that arrived in place of the marker, or the replies held behind it", async () => {
    backend.version = WITHOUT_OPAQUES;
    const asked = await answered(
      ["mg a v\r\n", "set b 0 0 1\r\n1\r\n", "incr c 1\r\n"],
      ["mg a v", "mn", "set b 0 0 1", "mn", "incr c 1", "mn"],
      "VA 7\r\n0123END\r\nMN\r\nSTORED\r\nMN\r\n7\r\nMN\r\n",
    );
    (await backend.command()).reply("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    expect(await statuses(asked)).toEqual(lost);
  });

  it("is not accepted when it ends like an error", async () => {
    const asked = await answered(
      ["mg a v\r\n", "set b 0 0 1\r\n1\r\n", "set c 0 0 1\r\n1\r\n"],
      ["mg a v O1", "ms b 1 O2", "ms c 1 O3"],
      "VA 45 O1\r\n0123SERVER_ERROR out of memory storing object\r\nHD O3\r\n",
    );
    expect(await statuses(asked)).toEqual(lost);
  });
});
