import { writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError, createPlatypus, type PlatypusServer } from "../src/index.ts";
import { TextClient } from "./support/clients/text-client.ts";
import { afterTest, connect, startMemcached, temporaryFolder } from "./support/rigs/started.ts";
import { MemcachedProcess } from "./support/servers/memcached-process.ts";

async function clientOf(platypus: PlatypusServer): Promise<TextClient> {
  afterTest(() => platypus.close());
  const [address] = await platypus.listen("127.0.0.1:0");
  return connect(Number(address!.split(":").at(-1)));
}

const quiet = { logLevel: "error" } as const;

describe("a Platypus created in code", () => {
  it("listens once, and can be closed before it listens", async () => {
    const platypus = createPlatypus(quiet);
    const listening = platypus.listen("127.0.0.1:0");
    await expect(platypus.listen("127.0.0.1:0")).rejects.toThrow("listen was called already");
    await platypus.close();
    const [address] = await listening;
    await expect(TextClient.connect(Number(address!.split(":").at(-1)))).rejects.toThrow();
  });

  it("answers gets from the first getter that matches", async () => {
    const asked: string[] = [];
    const client = await clientOf(
      createPlatypus(quiet)
        .get("user/(?<id>\\d+)", ({ captures }) => `user ${captures.id}`)
        .get("user/(.*)", async ({ key, captures }) => {
          asked.push(key);
          return captures[1] === "nobody" ? undefined : Buffer.from([0, 255]);
        }),
    );
    expect(await client.ask("get user/17", "END\r\n")).toBe("VALUE user/17 0 7\r\nuser 17\r\nEND\r\n");
    expect(await client.ask("get user/x", "END\r\n")).toBe("VALUE user/x 0 2\r\n\0\xff\r\nEND\r\n");
    expect(await client.ask("get user/nobody other", "END\r\n")).toBe("END\r\n");
    expect(await client.ask("get user/x", "END\r\n")).toContain("VALUE user/x 0 2");
    expect(asked).toEqual(["user/x", "user/nobody"]);
  });

  it.skipIf(MemcachedProcess.isMissing)("stores what they give in its target, with their ttl", async () => {
    const memcached = await startMemcached();
    const client = await clientOf(
      createPlatypus(quiet)
        .get("a", () => "value", { ttl: "100s" })
        .get("b", () => ({ value: "value", ttl: "50s" }), { ttl: "100s" })
        .target(`memcache://127.0.0.1:${memcached.port}`, { connectTimeout: "1s" }),
    );
    await client.ask("get a b", "END\r\n");
    const direct = await connect(memcached.port);
    for (const [key, seconds] of [
      ["a", 101],
      ["b", 51],
    ] as const) {
      const [, ttl] = /t(\d+)/.exec(await direct.ask(`mg ${key} t`))!;
      expect(Math.abs(Number(ttl) - seconds)).toBeLessThanOrEqual(2);
    }
  });

  it("continues after a getter throws", async () => {
    const client = await clientOf(
      createPlatypus(quiet).get("(.*)", ({ key }) => {
        if (key === "bad") throw new Error("no");
        return key;
      }),
    );
    expect(await client.ask("get bad", "END\r\n")).toBe("END\r\n");
    expect(await client.ask("get good", "END\r\n")).toBe("VALUE good 0 4\r\ngood\r\nEND\r\n");
  });

  it("reports all errors in its options at once", async () => {
    const platypus = createPlatypus({ maxValue: "much", ...quiet })
      .get("(", () => "v")
      .get("a", () => "v", { ttl: "soon" as never, timeout: "1s", concurrency: 0 })
      .target("memcache://nowhere:x");
    const error = await platypus.listen("127.0.0.1:0").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    const { message } = error as ConfigError;
    for (const what of [
      "server.max_value",
      "get.getter1.match",
      "get.getter2.ttl",
      "source.getter2.concurrency",
      "target.servers",
    ]) {
      expect(message).toContain(what);
    }
  });

  it("accepts every setting of a section, in camel case", async () => {
    const platypus = createPlatypus({ ...quiet, pickupRate: -1, hold: 1.5, adminHosts: [3 as never] })
      .get("a", () => "v", { minTtl: "0s", retries: 11, mode: "sometimes" as never })
      .target("127.0.0.1:1", { timeoutsUntilTko: 0, tlsCa: "ca.pem" });
    const error = await platypus.listen("127.0.0.1:0").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    const named = (error as ConfigError).problems.map(({ message }) => message.split(":")[0]);
    expect(named.sort()).toEqual([
      "get.getter1.min_ttl",
      "get.getter1.mode",
      "server.admin_hosts",
      "server.hold",
      "server.pickup_rate",
      "source.getter1.retries",
      "target.timeouts_until_tko",
      "target.tls_ca",
    ]);
  });

  it("reports that its address is in use", async () => {
    const first = createPlatypus(quiet);
    afterTest(() => first.close());
    const [address] = await first.listen("127.0.0.1:0");
    await expect(createPlatypus(quiet).listen(address!)).rejects.toThrow(`${address} is in use`);
    await expect(first.listen("127.0.0.1:0")).rejects.toThrow("listen was called already");
  });

  it("can be closed and started again", async () => {
    const platypus = createPlatypus(quiet).get("a", () => "v");
    const client = await clientOf(platypus);
    expect(await client.ask("get a", "END\r\n")).toContain("VALUE a");
    client.socket.end();
    await platypus.close();
    expect(await (await clientOf(platypus)).ask("get a", "END\r\n")).toContain("VALUE a");
  });

  it.skipIf(MemcachedProcess.isMissing)("has several pools and routes", async () => {
    const [one, two] = [await startMemcached(), await startMemcached()];
    const client = await clientOf(
      createPlatypus(quiet)
        .pool("one", `127.0.0.1:${one.port}`)
        .pool("two", [`127.0.0.1:${two.port}`], { serverTimeout: "1s" })
        .route({ prefix: "a:", pool: "one" })
        .route({ pool: "two" }),
    );
    for (const key of ["a:1", "b:1"]) expect(await client.ask(`set ${key} 0 0 1\r\nv`)).toBe("STORED\r\n");
    const direct = await connect(one.port);
    expect(await direct.ask("get a:1 b:1", "END\r\n")).toBe("VALUE a:1 0 1\r\nv\r\nEND\r\n");
    const platypus = createPlatypus(quiet).pool("one", "127.0.0.1:1").route({ pool: "none" });
    await expect(platypus.listen("127.0.0.1:0")).rejects.toThrow('there is no pool "none"');
  });

  it("has users with their prefixes, and addresses that may only read", async () => {
    const socket = path.join(await temporaryFolder(), "reports.sock");
    const platypus = createPlatypus(quiet)
      .user("app", { password: "secret", prefix: ["app:"] })
      .listener("reports", { address: [`unix:${socket}`], login: false, readonly: true });
    afterTest(() => platypus.close());
    const [address] = await platypus.listen("127.0.0.1:0");
    const client = await connect(Number(address!.split(":")[1]));
    const reader = TextClient.over(net.connect(socket));
    afterTest(() => reader.close());
    expect(await client.ask("get app:a")).toBe("CLIENT_ERROR unauthenticated\r\n");
    expect(await client.ask("set login 0 0 10\r\napp secret")).toBe("STORED\r\n");
    expect(await client.ask("set app:a 0 0 1\r\nv")).toBe("STORED\r\n");
    expect(await client.ask("get other")).toMatch(/^CLIENT_ERROR access denied/);
    expect(await reader.ask("get app:a", "END\r\n")).toContain("VALUE app:a");
    expect(await reader.ask("delete app:a")).toMatch(/^CLIENT_ERROR access denied/);
    const wrong = createPlatypus(quiet).listener("one", { address: ["127.0.0.1:0"], users: ["ap"] });
    await expect(wrong.listen()).rejects.toThrow("there is no [user.ap]");
  });

  it.skipIf(MemcachedProcess.isMissing)("follows the servers of its target", async () => {
    const memcached = await startMemcached();
    const folder = await temporaryFolder();
    const file = path.join(folder, "servers.txt");
    await writeFile(file, `127.0.0.1:${memcached.port}\n`);
    const client = await clientOf(createPlatypus(quiet).target([], { discover: `file:${file}` }));
    expect(await client.ask("set k 0 0 1\r\nv")).toBe("STORED\r\n");
    const direct = await connect(memcached.port);
    expect(await direct.ask("get k", "END\r\n")).toBe("VALUE k 0 1\r\nv\r\nEND\r\n");
  });
});

describe("getMany", () => {
  it("calls its function once for the missing keys of one get", async () => {
    const asked: string[][] = [];
    const client = await clientOf(
      createPlatypus(quiet).getMany(
        "item/(?<id>\\d+)",
        (requests) => {
          asked.push(requests.map(({ captures }) => captures.id!));
          return new Map(requests.flatMap(({ key }) => (key === "item/2" ? [] : [[key, `value of ${key}`]])));
        },
        { ttl: "60s", batch: { max: 10, wait: "5ms" } },
      ),
    );
    const reply = await client.ask("get item/1 item/2 item/3", "END\r\n");
    expect(reply).toBe("VALUE item/1 0 15\r\nvalue of item/1\r\nVALUE item/3 0 15\r\nvalue of item/3\r\nEND\r\n");
    expect(asked).toEqual([["1", "2", "3"]]);
  });

  it("fails one key with an Error, and all keys with an exception or a list of the wrong length", async () => {
    let result: unknown = ["one", new Error("not this one")];
    const failed: string[] = [];
    const platypus = createPlatypus(quiet)
      .getMany("(.*)", () => result as string[], { name: "all", failureTtl: "0s" })
      .on("failed", ({ rule, error }) => failed.push(`${rule}: ${(error as Error).message}`));
    const client = await clientOf(platypus);
    expect(await client.ask("get a b", "END\r\n")).toBe("VALUE a 0 3\r\none\r\nEND\r\n");
    expect(failed).toEqual(["all: source all: not this one"]);
    result = ["only one"];
    // The call is repeated in halves, each of two keys.
    expect(await client.ask("get c d e f", "END\r\n")).toBe("END\r\n");
    expect(failed.at(-1)).toBe(
      "all: source all: expected 2 results from fetchMany, in the order of the requests, got 1",
    );
  });
});

describe("a running Platypus of a program", () => {
  it("refreshes and deletes keys, and reports what happened", async () => {
    let version = 1;
    const events: unknown[] = [];
    const platypus = createPlatypus(quiet)
      .get("ключ/(.*)", () => `v${version}`, { name: "versions" })
      .on("filled", (event) => events.push(["filled", event]))
      .on("refreshed", (event) => events.push(["refreshed", event]));
    const client = await clientOf(platypus);
    const key = Buffer.from("ключ/1").toString("latin1");
    expect(await client.ask(`get ${key}`, "END\r\n")).toContain("v1");
    version = 2;
    expect(await platypus.refresh("ключ/1")).toBe("stored");
    expect(await client.ask(`get ${key}`, "END\r\n")).toContain("v2");
    expect(await platypus.refresh("ключ/other")).toBe("gone");
    expect(events).toEqual([
      ["filled", { key: "ключ/1", rule: "versions" }],
      ["refreshed", { key: "ключ/1", rule: "versions", result: "stored" }],
    ]);
    expect(platypus.stats()).toMatchObject({
      tracked: 1,
      rules: { versions: { filled: 1, refreshed: 1, tracked: 1 } },
      sources: { versions: { breaker: "closed", counters: { fetches: 2 } } },
    });
    expect([await platypus.delete("ключ/1"), await platypus.delete("ключ/1")]).toEqual([true, false]);
    version = 3;
    expect(await client.ask(`get ${key}`, "END\r\n")).toContain("v3");
  });

  it("refuses these calls while it does not listen", async () => {
    const platypus = createPlatypus(quiet);
    expect(() => platypus.refresh("a")).toThrow("refresh: it does not listen");
    expect(() => platypus.stats()).toThrow("stats: it does not listen");
  });

  it("goes on if a listener throws", async () => {
    const lines: string[] = [];
    const platypus = createPlatypus({ logger: ({ level, message }) => lines.push(`${level} ${message}`) })
      .get("a", () => "value")
      .on("filled", () => {
        throw new Error("in the listener");
      });
    const client = await clientOf(platypus);
    expect(await client.ask("get a", "END\r\n")).toContain("value");
    expect(lines.join("\n")).toMatch(/error a listener of filled failed: Error: in the listener/);
  });
});

describe("sources and rules by their settings", () => {
  it("are those of the configuration file", async () => {
    const client = await clientOf(
      createPlatypus({ ...quiet, telemetry: { keys: "full" } })
        .source("greeting", { type: "echo", template: "hello {name}" })
        .rule("greetings", "hello/(?P<name>.*)", "greeting", { ttl: "5m" }),
    );
    expect(await client.ask("get hello/you", "END\r\n")).toContain("hello you");
  });

  it("are refused together, with the names that code gave them", async () => {
    const platypus = createPlatypus(quiet)
      .source("web", { type: "http", batch: { refreshWait: "1s" } })
      .rule("a", "a/(.*)", "wbe");
    const error = await platypus.listen("127.0.0.1:0").catch((thrown: unknown) => thrown);
    expect((error as ConfigError).problems.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringContaining("source.web.url: missing"),
        expect.stringContaining("there is no [source.wbe]"),
      ]),
    );
    expect(() => createPlatypus().rule("a", "a", "x").rule("a", "b", "x")).toThrow("there is a rule a already");
  });
});
