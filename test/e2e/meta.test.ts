/** Meta commands as clients rely on them: quiet batches over servers that die, base64 keys, fills, and no two answers mixed up. */
import type { ServerResponse } from "node:http";
import { beforeEach, describe, expect, it } from "vitest";
import { targetOf } from "../support/rigs/native-config.ts";
import { connect, portOf, startMemcacheds, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

let origin: HttpOrigin;

beforeEach(async () => {
  origin = await startOrigin();
});

/** Starts a Platypus over these; returns its port. */
async function startOver(servers: readonly MemcachedProcess[], toml = "", settings = ""): Promise<number> {
  const target = targetOf(
    servers.map(({ port }) => port),
    settings,
  );
  return portOf(
    await startPlatypus(
      `${toml.startsWith("[server]") ? "" : target}${toml}${toml.startsWith("[server]") ? `\n${target}` : ""}`,
    ),
  );
}

/** One rule: keys of `stuff/…` from the origin. */
function stuffRule(): string {
  return `
    [get.stuff]
    match = "stuff/(.*)"
    source = "origin"
    fill_timeout = "10s"
    [source.origin]
    type = "http"
    url = "${origin.url}/stuff/{1}"
  `;
}

function base64(text: string): string {
  return Buffer.from(text, "latin1").toString("base64");
}

/** Has the origin keep its answers until they are asked for. */
function holdAnswers(): ServerResponse[] {
  const responses: ServerResponse[] = [];
  origin.handle = (_request, response) => responses.push(response);
  return responses;
}

describe.skipIf(MemcachedProcess.isMissing)("a quiet batch", () => {
  it("over three servers of which one is dead is silent for its keys and returns other answers in order, MN last", async () => {
    const servers = await startMemcacheds(3);
    const port = await startOver(servers);
    const client = await connect(port);
    const keys = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? `key${i}` : base64(`key ${i}`)));
    const flag = (i: number) => (i % 2 === 0 ? "" : " b");
    for (const [i, key] of keys.entries()) await client.ask(`ms ${key} 2 T0${flag(i)}\r\n${10 + i}`);
    await servers[1]!.stop();
    const gets = keys.map((key, i) => `mg ${key} k v q O${i}${flag(i)}\r\n`).join("");
    for (let round = 0; round < 3; round++) {
      client.send(`${gets}mn\r\n`);
      const answer = await client.until("MN\r\n");
      const found = [...answer.matchAll(/VA 2 k(\S+)( b)? O(\d+)\r\n(\d\d)\r\n/g)];
      expect(answer).toBe(`${found.map(([text]) => text).join("")}MN\r\n`);
      expect(found.length).toBeGreaterThan(0);
      expect(found.length).toBeLessThan(keys.length);
      const numbers = found.map(([, , , i]) => Number(i));
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      for (const [, key, , i, value] of found) expect([key, value]).toEqual([keys[Number(i)], `${10 + Number(i)}`]);
    }
  });

  it("with every server dead returns only MN, and version and mn are answered", async () => {
    const servers = await startMemcacheds(2);
    const port = await startOver(servers, '[server]\nprefix = "app:"');
    for (const server of servers) await server.stop();
    const client = await connect(port);
    client.send("mg a k v q\r\nmg b v f c k q s\r\nmg YQ== b k q\r\nmn\r\n");
    expect(await client.until("MN\r\n")).toBe("MN\r\n");
    expect(await client.ask("version")).toMatch(/^VERSION \d+\.\d+\.\d+/);
    // Not quiet: a miss, with what is echoed as it was asked.
    expect(await client.ask("mg a v k O77")).toBe("EN ka O77\r\n");
    expect(await client.ask("mg YSBi O1 b k")).toBe("EN O1 kYSBi b\r\n");
  });

  it("of 10,000 sets, gets and deletes keeps two clients in step", async () => {
    const port = await startOver(
      await startMemcacheds(3),
      "",
      'connections = 2\nserver_timeout = "20s"\nconnect_timeout = "20s"',
    );
    const [storm, steady] = [await connect(port), await connect(port)];
    const lines = Array.from({ length: 10_000 }, (_, i) => {
      const key = `k${i % 41}`;
      return `ms ${key} 6 T0 q\r\n${100_000 + i}\r\nmg ${key} v k O${i} q\r\nmg none${i} v k q\r\nmd ${base64(key)} b q\r\n`;
    });
    storm.send(`${lines.join("")}mn\r\n`);
    for (let i = 0; i < 50; i++) {
      expect(await steady.ask(`ms own${i} 2 T0 O${i}\r\n${10 + (i % 90)}`)).toBe(`HD O${i}\r\n`);
      expect(await steady.ask(`mg own${i} v O${i}`, `\r\n${10 + (i % 90)}\r\n`)).toBe(
        `VA 2 O${i}\r\n${10 + (i % 90)}\r\n`,
      );
    }
    const expected = lines.map((_, i) => `VA 6 kk${i % 41} O${i}\r\n${100_000 + i}\r\n`).join("");
    expect((await storm.until("MN\r\n")) === `${expected}MN\r\n`).toBe(true);
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a line that a server would read differently", () => {
  it("is refused if it has two q, and the next answer goes to the next command", async () => {
    const port = await startOver(await startMemcacheds(1));
    const [client, other] = [await connect(port), await connect(port)];
    await other.ask("ms b 1 T0\r\n1");
    client.send("mg none v q q\r\nms none 1 q T0 q\r\n1\r\nmd none q q\r\nme none q q\r\nmn\r\n");
    expect(await other.ask("mg b v", "\r\n1\r\n")).toBe("VA 1\r\n1\r\n");
    expect(await client.until("MN\r\n")).toBe(
      "CLIENT_ERROR duplicate flag\r\nCLIENT_ERROR duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\nEN\r\nMN\r\n",
    );
  });

  it("never has its data taken for commands if it has too many flags", async () => {
    const servers = await startMemcacheds(1);
    const client = await connect(await startOver(servers));
    await client.ask("ms a 1 T0\r\n1");
    const flags = "k c s t f h l u O1 P L T0 F0 C1 D1 J1 I";
    client.send(`ms x 11 ${flags}\r\nflush_all\r\n\r\nmn\r\n`);
    expect(await client.until("MN\r\n")).toBe(
      "CLIENT_ERROR options flags too long\r\nCLIENT_ERROR flush_all not allowed\r\nERROR\r\nMN\r\n",
    );
    expect(await client.ask("mg a s")).toBe("HD s1\r\n");
  });

  it("never has its data taken for commands if its base64 key is too long with the prefix", async () => {
    const servers = await startMemcacheds(1);
    const client = await connect(await startOver(servers, '[server]\nprefix = "app:"'));
    const direct = await connect(servers[0]!.port);
    await direct.ask("ms other 1 T0\r\n1");
    for (const length of [182, 183, 186]) {
      const key = base64("l".repeat(length));
      client.send(`ms ${key} 8 b q\r\nmd other\r\nmg ${key} b v\r\nmn\r\n`);
      const answer = length === 182 ? "VA 8\r\nmd other\r\n" : "CLIENT_ERROR error decoding key\r\n".repeat(2);
      expect(await client.until("MN\r\n")).toBe(`${answer}MN\r\n`);
      expect(await direct.ask("mg other s")).toBe("HD s1\r\n");
    }
  });

  it("cannot forge the answer to another command with line ends in a base64 key", async () => {
    const port = await startOver(await startMemcacheds(1));
    const [client, other] = [await connect(port), await connect(port)];
    await other.ask("ms b 1 T0\r\n1");
    const key = base64("x\r\nVA 6\r\nforged");
    client.send(`mg ${key} b k N0\r\n`);
    other.send("mg b v\r\nmn\r\n");
    expect(await other.until("MN\r\n")).toBe("VA 1\r\n1\r\nMN\r\n");
    expect(await client.until("\r\n")).toBe(`HD k${key} b W\r\n`);
    expect(await other.ask("mg b v", "\r\n1\r\n")).toBe("VA 1\r\n1\r\n");
    expect(await client.ask(`ms ${key} 1 b k`.concat("\r\n2"))).toBe(`HD k${key} b\r\n`);
    expect(await client.ask(`mg ${key} b k`)).toBe(`HD k${key} b\r\n`);
  });

  it("removes the old value if it is an ms that is too large, with a base64 key or not", async () => {
    const client = await connect(await startOver(await startMemcacheds(3)));
    const big = "x".repeat(1_048_577);
    for (const [word, flags] of [
      ["plain", "q"],
      [base64("a b"), "b q O1"],
    ]) {
      await client.ask(`ms ${word} 1 ${flags!.replace(" q", "").replace(/^q$/, "")}\r\n1`);
      expect(await client.ask(`ms ${word} ${big.length} ${flags}\r\n${big}`)).toBe(
        "SERVER_ERROR object too large for cache\r\n",
      );
      expect(await client.ask(`mg ${word} ${flags!.replace("q", "")} s`)).toMatch(/^EN/);
    }
  });
});

describe("the embedded store", () => {
  it("accepts a key of white space other than blanks", async () => {
    const platypus = await startPlatypus("");
    const client = await connect(platypus);
    for (const key of ["\t", "\xa0", "\x0b\xa0"]) {
      expect(await client.ask(`ms ${key} 1 T0\r\n1`)).toBe("HD\r\n");
      expect(await client.ask(`mg ${key} k s`)).toBe(`HD k${key} s1\r\n`);
      expect(await client.ask(`md ${key}`)).toBe("HD\r\n");
    }
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a base64 key", () => {
  it("names its text's item, on one server, with a prefix and without", async () => {
    for (const toml of ["", '[server]\nprefix = "app:"']) {
      const client = await connect(await startOver(await startMemcacheds(3), toml, "connections = 2"));
      for (let i = 0; i < 30; i++) {
        expect(await client.ask(`ms ${base64(`key${i}`)} 2 q b k T0\r\n${10 + i}\r\nmn`, "MN\r\n")).toBe("MN\r\n");
        expect(await client.ask(`get key${i}`, "END\r\n")).toBe(`VALUE key${i} 0 2\r\n${10 + i}\r\nEND\r\n`);
        expect(await client.ask(`mg ${base64(`key${i}`)}  b k s\0`)).toBe(`HD k${base64(`key${i}`)} b s2\r\n`);
        expect(await client.ask(`me ${base64(`key${i}`)} b`)).toMatch(new RegExp(`^ME ${base64(`key${i}`)} `));
        expect(await client.ask(`md ${base64(`key${i}`)} q b k O1\r\nmn`, "MN\r\n")).toBe("MN\r\n");
        expect(await client.ask(`mg key${i} v k`)).toBe(`EN kkey${i}\r\n`);
      }
    }
  });

  it("is matched by rules in its decoded form", async () => {
    const servers = await startMemcacheds(1);
    const client = await connect(await startOver(servers, stuffRule()));
    expect(await client.ask(`mg ${base64("stuff/a b")} v k b f`, "\r\nvalue of /stuff/a%20b\r\n")).toBe(
      `VA 21 k${base64("stuff/a b")} b f0\r\nvalue of /stuff/a%20b\r\n`,
    );
    expect(origin.requests).toEqual(["GET /stuff/a%20b"]);
  });
});

describe.skipIf(MemcachedProcess.isMissing)("an mg of a covered key", () => {
  it("is filled and answered with the flags in the pool, in the requested order", async () => {
    const [memcached] = await startMemcacheds(1);
    const client = await connect(await startOver([memcached!], stuffRule()));
    const direct = await connect(memcached!.port);
    const value = "\r\nvalue of /stuff/one\r\n";
    const answer = await client.ask("mg stuff/one k s O5 t c f v", value);
    const [, ttl, cas] = /^VA 19 kstuff\/one s19 O5 t(\d+) c(\d+) f0\r\n/.exec(answer)!;
    expect(Number(ttl)).toBeGreaterThan(50);
    expect(await direct.ask("mg stuff/one c")).toBe(`HD c${cas}\r\n`);
    // The next one, quiet, is a hit.
    expect(await client.ask("mg stuff/one q s v O6\r\nmn", "MN\r\n")).toBe(`VA 19 s19 O6${value}MN\r\n`);
    expect(origin.requests).toHaveLength(1);
  });

  it("is filled without v, and quiet", async () => {
    const client = await connect(await startOver(await startMemcacheds(1), stuffRule()));
    expect(await client.ask("mg stuff/two s k")).toBe("HD s19 kstuff/two\r\n");
    expect(await client.ask("mg stuff/six q v O1\r\nmn", "MN\r\n")).toBe("VA 19 O1\r\nvalue of /stuff/six\r\nMN\r\n");
    origin.handle = (_request, response) => response.writeHead(404).end();
    expect(await client.ask("mg stuff/none q v O1\r\nmg stuff/nil v O2\r\nmn", "MN\r\n")).toBe("EN O2\r\nMN\r\n");
  });

  it("is not filled with N or R, which give their client the right to fill", async () => {
    const client = await connect(await startOver(await startMemcacheds(1), stuffRule()));
    expect(await client.ask("mg stuff/r R30 v")).toBe("EN\r\n");
    expect(await client.ask("mg stuff/n N30 s")).toBe("HD s0 W\r\n");
    expect(origin.requests).toEqual([]);
  });

  it("has the fetched value without a pool that answers, with its key as given; its cas is that of no item", async () => {
    const servers = await startMemcacheds(1);
    const port = await startOver(servers, `[server]\nprefix = "app:"\n${stuffRule()}`);
    await servers[0]!.stop();
    const client = await connect(port);
    const word = base64("stuff/one");
    expect(await client.ask(`mg ${word} b k v f`, "\r\nvalue of /stuff/one\r\n")).toBe(
      `VA 19 k${word} b f0\r\nvalue of /stuff/one\r\n`,
    );
    expect(await client.ask(`mg ${word} b k v c O3`, "\r\nvalue of /stuff/one\r\n")).toBe(
      `VA 19 k${word} b c0 O3\r\nvalue of /stuff/one\r\n`,
    );
  });

  for (const [write, left] of [
    ["ms stuff/one 3 T0\r\nnew", "VA 3\r\nnew\r\n"],
    [`ms ${base64("stuff/one")} 3 b q\r\nnew\r\nmn`, "VA 3\r\nnew\r\n"],
    ["md stuff/one q\r\nmn", "VA 5\r\nnewer\r\n"],
    [`md ${base64("stuff/one")} b`, "VA 5\r\nnewer\r\n"],
    ["ma stuff/one N0 J7", "VA 1\r\n7\r\n"],
  ] as const) {
    it(`loses to ${write.split("\r\n")[0]} during the fetch`, async () => {
      const servers = await startMemcacheds(1);
      const port = await startOver(servers, stuffRule());
      const responses = holdAnswers();
      const [reader, writer] = [await connect(port), await connect(port)];
      const direct = await connect(servers[0]!.port);
      reader.send("mg stuff/one v\r\nmn\r\n");
      await origin.received(1);
      expect(await writer.ask(write)).toMatch(/^(HD|NF|MN)/);
      origin.handle = (_request, response) => response.end("newer");
      responses[0]!.end("old");
      expect(await reader.until("MN\r\n")).toBe(`${left}MN\r\n`);
      expect(await direct.ask("mg stuff/one v\r\nmn", "MN\r\n")).toBe(`${left}MN\r\n`);
    });
  }
});

describe.skipIf(MemcachedProcess.isMissing)("a key in base64 that has a line feed", () => {
  it("is returned to its client, and closes no shared connection, also of a counted item", async () => {
    const port = await startOver(await startMemcacheds(1));
    const client = await connect(port);
    const key = base64("a\nHD O1\r\nb");
    expect(await client.ask(`ma ${key} b k N0 J9`)).toBe(`HD k${key} b\r\n`);
    for (let i = 0; i < 3; i++) expect(await client.ask(`ma ${key} b k D90`)).toBe(`HD k${key} b\r\n`);
    expect(await client.ask(`mg ${key} s k b v`, "279\r\n")).toBe(`VA 3 s3 k${key} b\r\n279\r\n`);
    expect(await client.ask(`ms ${key} 1 b k\r\nx`)).toBe(`HD k${key} b\r\n`);
    expect(await client.ask(`md ${key} b k`)).toBe(`HD k${key} b\r\n`);
    expect(await client.ask(`mg ${key} b k v`)).toBe(`EN k${key} b\r\n`);
    expect(await client.ask(`me ${key} b`)).toBe("CLIENT_ERROR bad command line format\r\n");
    expect(await client.ask("stats platypus", "END\r\n")).toMatch(/out_of_step 0\r\n/);
  });
});
