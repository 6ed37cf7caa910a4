import { execFile, spawnSync } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const SESSION = fileURLToPath(new URL("../support/clients/pymemcache-session.py", import.meta.url));
const PYTHON = "/usr/bin/python3";
const isPymemcacheMissing = spawnSync(PYTHON, ["-c", "import pymemcache"]).status !== 0;

const prices: Record<string, string> = { apple: "10", pear: "20", fig: "30", plum: "11" };

describe.skipIf(isPymemcacheMissing || MemcachedProcess.isMissing)(
  "pymemcache over three servers with an http source",
  () => {
    let servers: MemcachedProcess[] = [];
    let origin: Server;
    let platypus: PlatypusProcess;
    const asked: string[] = [];

    beforeAll(async () => {
      servers = await Promise.all([1, 2, 3].map(() => MemcachedProcess.start()));
      origin = createServer((request, response) => {
        asked.push(request.url!);
        const price = prices[request.url!.split("/").at(-1)!];
        response.statusCode = price === undefined ? 404 : 200;
        response.end(price ?? "no such fruit");
      });
      await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
      platypus = await PlatypusProcess.start(`
[server]
listen = "127.0.0.1:0"
flush_all = true
[target]
servers = [${servers.map(({ port }) => `"127.0.0.1:${port}"`).join(", ")}]
[get.price]
match = "price/(.*)"
source = "prices"
fill_timeout = "5s"
[source.prices]
type = "http"
url = "http://127.0.0.1:${(origin.address() as AddressInfo).port}/fruit/{1}"
`);
    });

    afterAll(async () => {
      await platypus?.stop();
      await Promise.all(servers.map((server) => server.stop()));
      origin?.closeAllConnections();
      origin?.close();
    });

    it("an application works as over memcached, and reads the values of the source", async () => {
      const { stdout } = await promisify(execFile)(PYTHON, [SESSION, String(platypus.port)]);
      expect(JSON.parse(stdout)).toEqual({
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        filled: "10",
        again: "10",
        filled_many: { "price/pear": "20", "price/fig": "30" },
        gets: ["11", true],
        cas: true,
        not_there: null,
        noreply_set: "one",
        set_many: [],
        get_many: true,
        deleted: null,
        add: [true, false],
        incr: 11,
        decr: 10,
        append: [true, "10!"],
        prepend: [true, "?10!"],
        replace: false,
        touch: [true, false],
        big: true,
        stats: true,
        flush_all: true,
        flushed: null,
      });
      expect(asked.toSorted()).toEqual(["apple", "fig", "nothing", "pear", "plum"].map((name) => `/fruit/${name}`));
    });
  },
);
