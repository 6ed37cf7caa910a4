/** Fill and refresh as clients see them: real sockets, real memcacheds, a real origin. */
import type { ServerResponse } from "node:http";
import { beforeEach, describe, expect, it } from "vitest";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { connect, startMemcached, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";

let origin: HttpOrigin;

beforeEach(async () => {
  origin = await startOrigin();
});

/** One rule: keys of `stuff/…` from the origin. */
function stuffRule(settings = "", sourceSettings = ""): string {
  return `
    [get.stuff]
    match = "stuff/(.*)"
    source = "origin"
    fill_timeout = "10s"
    ${settings}

    [source.origin]
    type = "http"
    url = "${origin.url}/stuff/{1}"
    ${sourceSettings}
  `;
}

/** The remaining TTL of a key, asked of memcached directly. `null` if there is no such item. */
async function ttlIn(port: number, key: string): Promise<number | null> {
  const client = await connect(port);
  const answer = await client.ask(`mg ${key} t f`);
  client.close();
  if (answer === "EN\r\n") return null;
  const [, ttl, flags] = /^HD t(-?\d+) f(\d+)\r\n$/.exec(answer)!;
  expect(flags).toBe("0");
  return Number(ttl);
}

/** Has the origin keep its answers until they are asked for. */
function holdAnswers(): ServerResponse[] {
  const responses: ServerResponse[] = [];
  origin.handle = (_request, response) => responses.push(response);
  return responses;
}

describe.skipIf(MemcachedProcess.isMissing)("a miss", () => {
  it("is answered in the first request and stored with the rule's TTL; the next get is a hit", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const client = await connect(platypus);
    expect(await client.ask("get stuff/one", "END\r\n")).toBe("VALUE stuff/one 0 19\r\nvalue of /stuff/one\r\nEND\r\n");
    expect(await ttlIn(memcached.port, "stuff/one")).toBeGreaterThanOrEqual(60);
    expect(await ttlIn(memcached.port, "stuff/one")).toBeLessThanOrEqual(61);
    expect(await client.ask("get stuff/one", "END\r\n")).toContain("value of /stuff/one\r\n");
    expect(origin.requests).toEqual(["GET /stuff/one"]);
  });

  it("is answered if its key cannot be sent to a server in base64, and its value is never read as commands", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const [client, direct] = [await connect(platypus), await connect(memcached.port)];
    origin.handle = (_request, response) => response.end("md other");
    await direct.ask("set other 0 0 1\r\n1");
    expect(await client.ask(`mg stuff/${"k".repeat(200)}\x01 v`, "other\r\n")).toBe("VA 8\r\nmd other\r\n");
    expect(await client.ask("get other", "END\r\n")).toBe("VALUE other 0 1\r\n1\r\nEND\r\n");
    expect(await client.ask("stats platypus", "END\r\n")).toMatch(/:out_of_step 0\r\n/);
  });

  it("remains a miss if no rule covers the key, or if the source has no value", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    origin.handle = (_request, response) => response.writeHead(404).end();
    const client = await connect(platypus);
    expect(await client.ask("get other")).toBe("END\r\n");
    expect(await client.ask("get stuff/none")).toBe("END\r\n");
    expect(origin.requests).toEqual(["GET /stuff/none"]);
    expect(await ttlIn(memcached.port, "stuff/none")).toBeNull();
  });

  it("causes one request to the origin for 200 concurrent clients", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const responses = holdAnswers();
    const clients = await Promise.all(Array.from({ length: 200 }, () => connect(platypus)));
    for (const client of clients) client.send("get stuff/one\r\n");
    await origin.received(1);
    // A hit of another key behind each get shows that the get has reached its fill.
    const stats = await connect(platypus);
    while (!(await stats.ask("stats platypus", "END\r\n")).includes("STAT rule:stuff:joined 199\r\n"));
    responses[0]!.end("the value");
    for (const client of clients) expect(await client.until("END\r\n")).toContain("\r\nthe value\r\n");
    expect(origin.requests).toHaveLength(1);
  });

  it("has the pool's flags, cas and exptime if it is of gets, gat or gats", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const client = await connect(platypus);
    const direct = await connect(memcached.port);

    const [, cas] = /^VALUE stuff\/gets 0 20 (\d+)\r\n/.exec(await client.ask("gets stuff/gets", "END\r\n"))!;
    expect(await direct.ask("mg stuff/gets c")).toBe(`HD c${cas}\r\n`);
    expect(await client.ask(`cas stuff/gets 0 0 3 ${cas}\r\nnew`)).toBe("STORED\r\n");

    expect(await client.ask("gat 1000 stuff/gat", "END\r\n")).toBe(
      "VALUE stuff/gat 0 19\r\nvalue of /stuff/gat\r\nEND\r\n",
    );
    expect(await ttlIn(memcached.port, "stuff/gat")).toBeGreaterThan(900);

    const [, casOfGats] = /^VALUE stuff\/gats 0 20 (\d+)\r\n/.exec(
      await client.ask("gats 2000 stuff/gats", "END\r\n"),
    )!;
    expect(await direct.ask("mg stuff/gats c")).toBe(`HD c${casOfGats}\r\n`);
    expect(await ttlIn(memcached.port, "stuff/gats")).toBeGreaterThan(1_900);
  });

  it("is filled beside the hits of a multiget over several servers, in the order of the keys", async () => {
    const servers = [await startMemcached(), await startMemcached(), await startMemcached()];
    const platypus = await startPlatypus(targetOf(servers.map(({ port }) => port)) + stuffRule());
    const client = await connect(platypus);
    await client.ask("set stuff/b 7 0 3\r\nhit");
    origin.handle = (request, response) => {
      if (request.url === "/stuff/c") response.writeHead(404).end();
      else response.end(request.url!.slice(-1));
    };
    expect(await client.ask("get stuff/a stuff/b stuff/c other stuff/d stuff/a", "END\r\n")).toBe(
      "VALUE stuff/a 0 1\r\na\r\nVALUE stuff/b 7 3\r\nhit\r\nVALUE stuff/d 0 1\r\nd\r\nVALUE stuff/a 0 1\r\na\r\nEND\r\n",
    );
    expect([...origin.requests].sort()).toEqual(["GET /stuff/a", "GET /stuff/c", "GET /stuff/d"]);
  });

  it("is filled in parallel with other keys of a multiget", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const responses = holdAnswers();
    const client = await connect(platypus);
    client.send("gets stuff/a stuff/b stuff/c\r\n");
    await origin.received(3);
    for (const response of responses.reverse()) response.end("v");
    expect(await client.until("END\r\n")).toMatch(
      /^VALUE stuff\/a 0 1 \d+\r\nv\r\nVALUE stuff\/b 0 1 \d+\r\nv\r\nVALUE stuff\/c 0 1 \d+\r\nv\r\nEND\r\n$/,
    );
  });

  it("is answered in order: later commands of the client wait, and other clients do not", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const responses = holdAnswers();
    const [slow, other] = [await connect(platypus), await connect(platypus)];
    slow.send("get stuff/one\r\nset x 0 0 1\r\n1\r\nget x\r\n");
    await origin.received(1);
    while (!(await other.ask("get x", "END\r\n")).startsWith("VALUE"));
    expect(slow.received).toHaveLength(0);
    responses[0]!.end("v");
    expect(await slow.until("VALUE x 0 1\r\n1\r\nEND\r\n")).toBe(
      "VALUE stuff/one 0 1\r\nv\r\nEND\r\nSTORED\r\nVALUE x 0 1\r\n1\r\nEND\r\n",
    );
  });

  it("is answered after fill_timeout, while the fetch continues and populates the pool", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule().replace("10s", "20ms"));
    const responses = holdAnswers();
    const client = await connect(platypus);
    expect(await client.ask("get stuff/one")).toBe("END\r\n");
    responses[0]!.end("late");
    const direct = await connect(memcached.port);
    let answer = "END\r\n";
    while (answer === "END\r\n") answer = await direct.ask("get stuff/one", "END\r\n");
    expect(answer).toBe("VALUE stuff/one 0 4\r\nlate\r\nEND\r\n");
    expect(await client.ask("get stuff/one", "END\r\n")).toBe(answer);
  });

  it("is filled under the pool's prefix, by rules that do not see the prefix", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(`[server]\nprefix = "p:"\n${targetOf([memcached.port])}${stuffRule()}`);
    const client = await connect(platypus);
    for (const command of ["get", "gets", "get"]) {
      expect(await client.ask(`${command} stuff/one`, "END\r\n")).toMatch(/^VALUE stuff\/one 0 19( \d+)?\r\n/);
    }
    expect(await ttlIn(memcached.port, "p:stuff/one")).toBeGreaterThan(50);
    expect(origin.requests).toHaveLength(1);
  });

  it("returns a large value completely", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const value = Buffer.alloc(900_000, "0123456789");
    origin.handle = (_request, response) => response.end(value);
    const client = await connect(platypus);
    for (let i = 0; i < 2; i++) {
      const answer = await client.ask("get stuff/big", "END\r\n");
      expect(answer).toBe(`VALUE stuff/big 0 900000\r\n${value}\r\nEND\r\n`);
    }
    expect(origin.requests).toHaveLength(1);
  });

  it("reaches the origin byte for byte if its key is not UTF-8", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const client = await connect(platypus);
    expect(await client.ask("get stuff/a\xff\xfe", "END\r\n")).toContain("VALUE stuff/a\xff\xfe 0 ");
    expect(origin.requests).toEqual(["GET /stuff/a%FF%FE"]);
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a client that leaves during a fetch", () => {
  it("does not stop the fetch, which populates the pool", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const responses = holdAnswers();
    const [gone, other, stays] = [await connect(platypus), await connect(platypus), await connect(platypus)];
    gone.send("get stuff/one\r\ngets stuff/one other\r\n");
    stays.send("get stuff/one\r\n");
    while (!(await other.ask("stats platypus", "END\r\n")).includes("STAT rule:stuff:joined 2\r\n"));
    await origin.received(1);
    gone.close();
    responses[0]!.end("v");
    expect(await stays.until("END\r\n")).toBe("VALUE stuff/one 0 1\r\nv\r\nEND\r\n");
    expect(await ttlIn(memcached.port, "stuff/one")).toBeGreaterThan(50);
    expect(origin.requests).toHaveLength(1);
  });

  it("harms no client when Platypus closes", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const responses = holdAnswers();
    const client = await connect(platypus);
    client.send("get stuff/one\r\n");
    await origin.received(1);
    await platypus.close();
    responses[0]!.end("v");
    expect(await client.end()).toBe("");
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a client's write during a fetch", () => {
  it("overrides the older value if it deletes: that value is neither stored nor returned", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const responses = holdAnswers();
    const [reader, writer] = [await connect(platypus), await connect(platypus)];
    reader.send("get stuff/one\r\n");
    await origin.received(1);
    expect(await writer.ask("delete stuff/one")).toBe("NOT_FOUND\r\n");
    responses[0]!.end("old");
    await origin.received(2);
    expect(await ttlIn(memcached.port, "stuff/one")).toBeNull();
    responses[1]!.end("new");
    expect(await reader.until("END\r\n")).toBe("VALUE stuff/one 0 3\r\nnew\r\nEND\r\n");
    expect(await writer.ask("get stuff/one", "END\r\n")).toBe("VALUE stuff/one 0 3\r\nnew\r\nEND\r\n");
  });

  it.each(["set stuff/one 5 0 6\r\nclient", "add stuff/one 5 0 6\r\nclient", "set stuff/one 5 0 6 noreply\r\nclient"])(
    "that is %j remains, and the reader receives it",
    async (command) => {
      const memcached = await startMemcached();
      const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
      const responses = holdAnswers();
      const [reader, writer] = [await connect(platypus), await connect(platypus)];
      reader.send("get stuff/one\r\n");
      await origin.received(1);
      writer.send(`${command}\r\nget stuff/one\r\n`);
      await writer.until("END\r\n");
      responses[0]!.end("old");
      expect(await reader.until("END\r\n")).toBe("VALUE stuff/one 5 6\r\nclient\r\nEND\r\n");
      expect(await writer.ask("get stuff/one", "END\r\n")).toBe("VALUE stuff/one 5 6\r\nclient\r\nEND\r\n");
      expect(origin.requests).toHaveLength(1);
    },
  );

  it("overrides every fetch if it flushes", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(`[server]\nflush_all = true\n${targetOf([memcached.port])}${stuffRule()}`);
    const responses = holdAnswers();
    const [reader, writer] = [await connect(platypus), await connect(platypus)];
    reader.send("get stuff/one\r\n");
    await origin.received(1);
    expect(await writer.ask("flush_all")).toBe("OK\r\n");
    responses[0]!.end("old");
    await origin.received(2);
    responses[1]!.end("new");
    expect(await reader.until("END\r\n")).toBe("VALUE stuff/one 0 3\r\nnew\r\nEND\r\n");
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a pool that is down", () => {
  it("neither withholds the value from the client nor overloads the origin", async () => {
    const platypus = await startPlatypus(targetOf([await freePort()]) + stuffRule());
    const client = await connect(platypus);
    for (let i = 0; i < 5; i++)
      expect(await client.ask("get stuff/one", "END\r\n")).toContain("\r\nvalue of /stuff/one\r\n");
    expect(await client.ask("gat 10 stuff/one", "END\r\n")).toContain("\r\nvalue of /stuff/one\r\n");
    // A cas that is real cannot be had; no item has 0.
    expect(await client.ask("gets stuff/one", "END\r\n")).toMatch(/^VALUE stuff\/one 0 19 0\r\n/);
    expect(await client.ask("get stuff/one stuff/one other", "END\r\n")).toMatch(
      /^(VALUE stuff\/one .*\r\n.*\r\n){2}END/,
    );
    expect(origin.requests).toHaveLength(1);
  });

  it("stores values again when it is back", async () => {
    const port = await freePort();
    const platypus = await startPlatypus(targetOf([port]) + stuffRule());
    const client = await connect(platypus);
    expect(await client.ask("get stuff/one", "END\r\n")).toContain("value of");
    await startMemcached({ port });
    while ((await client.ask("set x 0 0 1\r\n1")) !== "STORED\r\n");
    expect(await client.ask("get stuff/two", "END\r\n")).toContain("value of");
    expect(await ttlIn(port, "stuff/two")).toBeGreaterThan(50);
  });

  it("does not withhold the value from the client if it hangs", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port], 'server_timeout = "50ms"') + stuffRule());
    const client = await connect(platypus);
    await client.ask("get other");
    memcached.pause();
    expect(await client.ask("get stuff/one", "END\r\n")).toContain("\r\nvalue of /stuff/one\r\n");
    memcached.resume();
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a filled key", () => {
  it("is refreshed before its ttl ends, without a request from a client", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule('ttl = "2s"'));
    let version = 0;
    origin.handle = (_request, response) => response.end(`v${++version}`);
    const client = await connect(platypus);
    expect(await client.ask("get stuff/one", "END\r\n")).toContain("\r\nv1\r\n");
    await origin.received(2);
    // The item was there all the time: nothing but its value changes.
    let answer = "";
    while (!answer.includes("v2")) {
      answer = await client.ask("get stuff/one", "END\r\n");
      expect(answer).toMatch(/^VALUE stuff\/one 0 2\r\nv[12]\r\nEND\r\n$/);
    }
    expect(await ttlIn(memcached.port, "stuff/one")).toBeGreaterThanOrEqual(2);
    expect(origin.requests).toHaveLength(2);
  });

  it("gets its source's value from the next refresh if a client overwrites it without an exptime", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule('ttl = "2s"'));
    const client = await connect(platypus);
    await client.ask("get stuff/one", "END\r\n");
    expect(await client.ask("set stuff/one 3 0 6\r\nclient")).toBe("STORED\r\n");
    await origin.received(2);
    while (!(await client.ask("get stuff/one", "END\r\n")).includes("value of /stuff/one"));
    expect(await ttlIn(memcached.port, "stuff/one")).toBeLessThanOrEqual(3);
  });

  it("is deleted by the next refresh if its source no longer has it", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule('ttl = "2s"'));
    const client = await connect(platypus);
    await client.ask("get stuff/one", "END\r\n");
    origin.handle = (_request, response) => response.writeHead(410).end();
    await origin.received(2);
    const direct = await connect(memcached.port);
    while ((await direct.ask("get stuff/one", "END\r\n")) !== "END\r\n");
  });
});

describe("the embedded store", () => {
  it("is filled and refreshed like a pool", async () => {
    const platypus = await startPlatypus(stuffRule('ttl = "2s"'));
    const client = await connect(platypus);
    expect(await client.ask("gets stuff/one", "END\r\n")).toMatch(/^VALUE stuff\/one 0 19 \d+\r\n/);
    expect(await client.ask("get stuff/one stuff/two", "END\r\n")).toMatch(/stuff\/one\r\n.*\r\n.*stuff\/two\r\n/);
    await origin.received(4);
    expect(await client.ask("get stuff/one", "END\r\n")).toContain("VALUE");
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a reload", () => {
  it("keeps the items of a removed rule, and fills no more", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const client = await connect(platypus);
    await client.ask("get stuff/one", "END\r\n");
    await platypus.reload(nativeConfig(targetOf([memcached.port])));
    expect(await client.ask("get stuff/one", "END\r\n")).toContain("value of");
    expect(await client.ask("get stuff/two", "END\r\n")).toBe("END\r\n");
    expect(await client.ask("stats platypus", "END\r\n")).toContain("STAT tracked 0\r\n");
  });

  it("keeps tracking keys under the rule of the same name", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule('ttl = "2s"'));
    const client = await connect(platypus);
    await client.ask("get stuff/one", "END\r\n");
    await platypus.reload(nativeConfig(targetOf([memcached.port]) + stuffRule('ttl = "1h"')));
    expect(await client.ask("stats platypus", "END\r\n")).toContain("STAT tracked 1\r\n");
    await origin.received(2);
    while ((await ttlIn(memcached.port, "stuff/one"))! < 3_600);
  });

  it("lets a running fetch end under the rule it began with", async () => {
    const memcached = await startMemcached();
    const platypus = await startPlatypus(targetOf([memcached.port]) + stuffRule());
    const responses = holdAnswers();
    const client = await connect(platypus);
    client.send("get stuff/one\r\n");
    await origin.received(1);
    await platypus.reload(nativeConfig(targetOf([memcached.port]) + stuffRule("", 'timeout = "9s"')));
    responses[0]!.end("v");
    expect(await client.until("END\r\n")).toBe("VALUE stuff/one 0 1\r\nv\r\nEND\r\n");
  });

  it("to Rails keys requests the keys that Rails requests, encoded once", async () => {
    const platypus = await startPlatypus(stuffRule());
    const client = await connect(platypus);
    await client.ask("get stuff/cl%C3%A9", "END\r\n");
    platypus.reload(nativeConfig(`[server]\nkey_encoding = "rails"\n${stuffRule()}`));
    await client.ask("get stuff/na%C3%AFve%2525", "END\r\n");
    expect(await client.ask(`get stuff/x:hash:${"0".repeat(32)}`, "END\r\n")).toBe("END\r\n");
    platypus.reload(nativeConfig(stuffRule()));
    await client.ask("get stuff/%25", "END\r\n");
    expect(origin.requests).toEqual(["GET /stuff/cl%25C3%25A9", "GET /stuff/na%C3%AFve%2525", "GET /stuff/%2525"]);
  });
});
