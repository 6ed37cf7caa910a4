/** Misses of many keys as clients see them: a real memcached, a real origin with a request for several keys. */
import { beforeEach, describe, expect, it } from "vitest";
import type { TextClient } from "../support/clients/text-client.ts";
import { connect, startMemcached, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";

const KEYS = Array.from({ length: 24 }, (_, i) => `product/${i}`);

let origin: HttpOrigin;
let client: TextClient;

beforeEach(async () => {
  origin = await startOrigin();
  origin.handle = (request, response) => {
    const ids = new URL(`http://origin${request.url}`).searchParams.get("ids")?.split(",") ?? [];
    const products = ids.filter((id) => id !== "7").map((id) => ({ id: Number(id), name: `product ${id}` }));
    response.end(JSON.stringify({ products }));
  };
});

async function start(servers: number, settings = ""): Promise<void> {
  const pool = [];
  for (let i = 0; i < servers; i++) {
    const memcached = await startMemcached();
    pool.push(`"127.0.0.1:${memcached.port}"`);
  }
  const text = `
    [target]
    servers = [${pool.join(", ")}]
    [get.products]
    match = "product/(?P<id>[0-9]+)"
    source = "shop"
    fill_timeout = "10s"
    [source.shop]
    type = "http"
    url = "${origin.url}/products/{id}"
    [source.shop.batch]
    url = "${origin.url}/products?ids={id}"
    items = "/products"
    ${settings}
  `;
  const platypus = await startPlatypus(text);
  client = await connect(platypus);
}

/** The values of a get, by key. */
async function getAll(keys: readonly string[]): Promise<Map<string, string>> {
  client.send(`get ${keys.join(" ")}\r\n`);
  const reply = await client.until("END\r\n");
  return new Map([...reply.matchAll(/VALUE (\S+) \d+ \d+\r\n(.*)\r\n/g)].map(([, key, value]) => [key!, value!]));
}

describe("a get of many missing keys", () => {
  it("is one request to a source with batches, and each key gets its own value", async () => {
    await start(3);
    const values = await getAll(KEYS);
    expect(origin.requests).toHaveLength(1);
    expect(values.size).toBe(23);
    for (const [key, value] of values) expect(JSON.parse(value).name).toBe(key.replace("/", " "));
    expect(values.has("product/7")).toBe(false);
    // The values are in the pool now, and the key without a value is remembered.
    expect(await getAll(KEYS)).toEqual(values);
    expect(origin.requests).toHaveLength(1);
  });

  it("makes calls of at most max keys", async () => {
    await start(1, "max = 10");
    expect((await getAll(KEYS)).size).toBe(23);
    expect(origin.requests).toHaveLength(3);
  });
});
