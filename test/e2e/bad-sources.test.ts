/** Sources that misbehave, as clients see them: a miss or the value that was there, in bounded time and memory, and said. */
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { HttpOrigin } from "../support/servers/http-origin.ts";

const MAX_BODY = 64 * 1024;
const PIECE = Buffer.alloc(64 * 1024, "x");
/** What may be on its way when an answer is refused: buffers of both ends. */
const MAX_SENT = 64 * 1024 * 1024;

/** How an answer goes wrong, and the counter that tells. */
const troubles: [name: string, counter: string, answer: (response: ServerResponse) => void][] = [
  ["sends headers and hangs", "timeout", (response) => response.flushHeaders()],
  ["sends a byte now and then", "timeout", drip],
  ["never ends", "too_large", flood],
  ["promises 2 GB", "too_large", (response) => flood(response.setHeader("content-length", 2 ** 31))],
  ["resets before its headers", "unreachable", (response) => response.socket!.resetAndDestroy()],
  ["resets in its body", "unreachable", (response) => response.write("x", () => response.socket!.resetAndDestroy())],
  [
    "is an error page with status 200",
    "status",
    (response) => response.setHeader("content-type", "text/html").end("!"),
  ],
];

function drip(response: ServerResponse): void {
  const timer = setInterval(() => response.write("x"), 20);
  response.once("close", () => clearInterval(timer));
}

function flood(response: ServerResponse): void {
  const send = () => {
    while (!response.destroyed && response.write(PIECE));
  };
  response.on("drain", send);
  send();
}

describe("a source whose answer", () => {
  let origin: HttpOrigin;
  let platypus: Platypus;
  let client: TextClient;

  beforeEach(async () => {
    origin = await HttpOrigin.start();
    platypus = await Platypus.start(
      nativeConfig(`
        [get.page]
        match = "page/(.*)"
        source = "pages"
        fill_timeout = "10s"
        ttl = "1s"
        refresh_before = "900ms"
        stale = "10m"
        [source.pages]
        type = "http"
        url = "${origin.url}/{1}"
        content_types = ["text/plain"]
        max_body = ${MAX_BODY}
        timeout = "300ms"
        retries = 0
        breaker_failures = 0
      `),
    );
    const [address] = platypus.addresses;
    client = await TextClient.connect(address?.type === "tcp" ? address.port : 0);
  });

  afterEach(async () => {
    client?.close();
    await platypus?.close();
    await origin?.close();
  });

  async function counted(name: string): Promise<number> {
    const stats = await client.ask("stats platypus", "END\r\n");
    return Number(new RegExp(`STAT ${name} (\\d+)\r`).exec(stats)?.[1] ?? 0);
  }

  it.each(troubles)(
    "%s is a miss, counted as failed_%s, and leaves the value that was there",
    async (_name, kind, answer) => {
      let sent = 0;
      const misbehave: HttpOrigin["handle"] = (_request, response) => {
        response.once("close", () => {
          sent = Math.max(sent, response.socket?.bytesWritten ?? 0);
        });
        response.setHeader("content-type", "text/plain");
        answer(response);
      };
      origin.handle = misbehave;
      expect(await client.ask("get page/new", "END\r\n")).toBe("END\r\n");
      expect(await counted(`source:pages:failed_${kind}`)).toBe(1);
      origin.handle = (_request, response) => response.setHeader("content-type", "text/plain").end("good");
      const value = "VALUE page/old 0 4\r\ngood\r\nEND\r\n";
      expect(await client.ask("get page/old", "END\r\n")).toBe(value);
      origin.handle = misbehave;
      while ((await counted("rule:page:refresh_failed")) === 0);
      expect(await client.ask("get page/old", "END\r\n")).toBe(value);
      expect(await counted("source:pages:failed")).toBe(await counted(`source:pages:failed_${kind}`));
      expect(sent).toBeLessThan(MAX_SENT);
    },
  );
});
