/** Fills of a client that asks for many missing keys at once, and of the clients beside it. */
import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { targetOf } from "../support/rigs/native-config.ts";
import { connect, startMemcached, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const KEYS = Array.from({ length: 2_000 }, (_, i) => `page/${i}`);
/** More turns than Platypus needs to read the commands of one client. */
const TURNS = 100;

describe.skipIf(MemcachedProcess.isMissing)("a client that asks for 2,000 missing keys at once", () => {
  const asks = {
    "as pipelined gets": KEYS.map((key) => `get ${key}\r\n`).join(""),
    "as pipelined meta gets": KEYS.map((key) => `mg ${key} v\r\n`).join(""),
    "in one get": `get ${KEYS.join(" ")}\r\n`,
    "in gets of 50 keys": Array.from(
      { length: 40 },
      (_, i) => `get ${KEYS.slice(50 * i, 50 * i + 50).join(" ")}\r\n`,
    ).join(""),
  };
  for (const [way, commands] of Object.entries(asks)) {
    it(`${way} leaves room in the source's queue, and gets each value`, async () => {
      const [memcached, origin] = [await startMemcached(), await startOrigin()];
      const platypus = await startPlatypus(`
        ${targetOf([memcached.port])}
        [get.pages]
        match = "page/(.*)"
        source = "pages"
        fill_timeout = "60s"
        [source.pages]
        type = "http"
        url = "${origin.url}/{1}"
        timeout = "60s"
        queue = 400
      `);
      const waiting: ServerResponse[] = [];
      origin.handle = (_request, response) => void waiting.push(response);
      const [greedy, other] = [await connect(platypus), await connect(platypus)];
      greedy.send(`${commands}version\r\n`);
      await origin.received(32);
      for (let turn = 0; turn < TURNS; turn++) await other.ask("mn");
      other.send("get page/other\r\n");
      origin.handle = (request, response) => response.end(`value of ${request.url}`);
      for (const response of waiting) response.end(`value of ${response.req.url}`);
      expect(await other.until("END\r\n")).toContain("\r\nvalue of /other\r\n");
      const replies = await greedy.until("VERSION");
      const values = [...replies.matchAll(/value of \/(\d+)\r\n/g)].map(([, key]) => Number(key));
      expect(values).toEqual(KEYS.map((_, i) => i));
    });
  }
});
