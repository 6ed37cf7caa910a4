/** Requests of an http source for several keys, to a real HTTP server. */
import { beforeEach, describe, expect, it } from "vitest";
import { parseNative } from "../../src/config/native.ts";
import type { ConfigError, SourceError } from "../../src/errors.ts";
import type { HttpSourceConfig } from "../../src/sources/http.ts";
import type { HttpSource } from "../../src/sources/http-source.ts";
import type { FetchContext } from "../../src/sources/source.ts";
import { sourceTypes } from "../../src/sources/types.ts";
import { contextOf } from "../support/fakes/fetch-context.ts";
import { openSource } from "../support/rigs/http-sources.ts";
import { startOrigin } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";

let origin: HttpOrigin;

beforeEach(async () => {
  origin = await startOrigin();
});

/** The source of a configuration whose rule matches `SHOP/ID`. */
function sourceOf(batch: string, settings = ""): HttpSource {
  const text = `
    [get.all]
    match = '(?P<shop>[^/]*)/(?P<id>.*)'
    source = "shop"
    [source.shop]
    type = "http"
    url = "${origin.url}/items/{id}"
    ${settings}
    [source.shop.batch]
    ${batch}
  `;
  const { sources } = parseNative({ file: "p.toml", text, env: {}, sourceTypes });
  return openSource(sources[0] as HttpSourceConfig);
}

function problemsOf(batch: string, settings = ""): string[] {
  try {
    sourceOf(batch, settings);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ line, message }) => `${line}: ${message}`);
  }
}

function request(id: string, shop = "s"): FetchContext {
  const groups = new Map([
    ["shop", shop],
    ["id", id],
  ]);
  return { ...contextOf(`${shop}/${id}`), groups };
}

/** The results for these ids: values as text, other results by their type, errors by their code. */
async function fetchMany(source: HttpSource, ...ids: string[]): Promise<string[]> {
  const results = await source.batching!.fetchMany(ids.map((id) => request(id)));
  return results.map((result) => {
    if (result instanceof Error) return (result as SourceError).code;
    return result.type === "value" ? result.value.toString() : result.type;
  });
}

function answer(body: unknown, headers: Record<string, string> = {}): void {
  origin.answer(typeof body === "string" ? body : JSON.stringify(body), headers);
}

const byIds = 'url = "ORIGIN/items?ids={id}"';
const withOrigin = (text: string) => text.replaceAll("ORIGIN", origin.url);

describe("a batch of an http source", () => {
  it("sends the parts of all keys in one request, encoded for their place and joined", async () => {
    answer({ "1": "one", "b&c": "two" });
    expect(await fetchMany(sourceOf(withOrigin(byIds)), "1", "b&c")).toEqual(["one", "two"]);
    await fetchMany(sourceOf(`${withOrigin(byIds)}\njoin = "&ids="`), "1", "2");
    await fetchMany(sourceOf(withOrigin('url = "ORIGIN/batch/{id}"')), "1", "2");
    await fetchMany(sourceOf('body = "ids={id}"\nmethod = "POST"', 'query = { ids = "{id}" }'), "1", "2");
    expect(origin.requests).toEqual([
      "GET /items?ids=1,b%26c",
      "GET /items?ids=1&ids=2",
      "GET /batch/1,2",
      "POST /items/1,2?ids=1,2",
    ]);
    expect(origin.bodies.at(-1)).toBe("ids=1,2");
  });

  it.each([
    ['{{"ids": ["{id}"]}}', '{"ids": ["1","a\\"b"]}'],
    ['{{"ids": "{id}"}}', '{"ids": ["1","a\\"b"]}'],
    ['{{"ids": [ "item-{id}" ], "n": 1}}', '{"ids": [ "item-1","item-a\\"b" ], "n": 1}'],
    ['{{"q": "say \\"x\\"", "ids": ["{id}"]}}', '{"q": "say \\"x\\"", "ids": ["1","a\\"b"]}'],
  ])("makes a list of the keys in the JSON body %s", async (template, sent) => {
    answer({});
    const body = `body = '${template}'\nmethod = "POST"`;
    await fetchMany(sourceOf(body, 'headers = { content-type = "application/json" }'), "1", 'a"b');
    expect(origin.bodies).toEqual([sent]);
    expect(() => JSON.parse(origin.bodies[0]!)).not.toThrow();
  });

  it("makes a list in each place of the placeholder", async () => {
    answer({});
    const body = 'body = \'{{"ids": ["{id}"], "also": "{id}", "n": [{id}]}}\'\nmethod = "POST"';
    await fetchMany(sourceOf(body, 'headers = { content-type = "application/json" }'), "1", "2");
    expect(origin.bodies).toEqual(['{"ids": ["1","2"], "also": ["1","2"], "n": [1,2]}']);
  });

  it("makes a list of numbers without quotes around the placeholder", async () => {
    answer({});
    const body = 'body = \'{{"ids": [{id}]}}\'\nmethod = "POST"';
    await fetchMany(sourceOf(body, 'headers = { content-type = "application/json" }'), "1", "22");
    expect(origin.bodies).toEqual(['{"ids": [1,22]}']);
  });

  it("finds items in a list by their ids, which may be numbers with many digits", async () => {
    answer('{"data": {"list": [{"id": 12345678901234567890, "v": 1.50}, {"id": "b", "v": {"n": 1}}, {"x": 1}]}}');
    const source = sourceOf(withOrigin(`${byIds}\nitems = "/data/list"\nvalue = "/v"`));
    expect(await fetchMany(source, "12345678901234567890", "b", "c")).toEqual(["1.50", '{"n":1}', "notThere"]);
  });

  it("finds items in an object, and never in its prototype", async () => {
    answer('{"items": {"a": {"price": "7"}, "n": null, "e": {"price": ""}, "x": {"cost": 1}}}');
    const source = sourceOf(withOrigin(`${byIds}\nitems = "/items"\nvalue = "/price"`));
    expect(await fetchMany(source, "a", "n", "e", "x", "constructor", "__proto__")).toEqual([
      "7",
      "notThere",
      "SOURCE_FAILED",
      "SOURCE_FAILED",
      "notThere",
      "notThere",
    ]);
  });

  it("takes the whole item as JSON by default", async () => {
    answer([{ id: 1, name: "one" }]);
    expect(await fetchMany(sourceOf(withOrigin(byIds)), "1", "2")).toEqual(['{"id":1,"name":"one"}', "notThere"]);
  });

  it("has no value for any key if the server answers 404", async () => {
    origin.handle = (_request, response) => response.writeHead(404).end();
    expect(await fetchMany(sourceOf(withOrigin(byIds)), "1", "2")).toEqual(["notThere", "notThere"]);
  });

  it.each([
    ["no JSON", "<html>"],
    ["another JSON value", '"text"'],
    ["an answer without the items", '{"data": {}}'],
  ])("fails as a whole with %s", async (_what, body) => {
    answer(body);
    const source = sourceOf(withOrigin(`${byIds}\nitems = "/items"`));
    await expect(fetchMany(source, "1", "2")).rejects.toMatchObject({ code: "SOURCE_FAILED" });
  });

  it("fails as a whole if the answer is too large", async () => {
    answer({ "1": "x".repeat(2_000) });
    const source = sourceOf(withOrigin(byIds), 'max_body = "1KiB"');
    await expect(fetchMany(source, "1", "2")).rejects.toMatchObject({ code: "SOURCE_TOO_LARGE" });
  });

  it("refuses a key that cannot stand in the request, without the others", async () => {
    answer({ "1": "one" });
    expect(await fetchMany(sourceOf(withOrigin(byIds)), "1", "..")).toEqual(["one", "SOURCE_REFUSED"]);
    expect(origin.requests).toEqual(["GET /items?ids=1"]);
  });

  it("sends no condition of an earlier request for one key, even if only this key is left", async () => {
    answer({ "1": "one" }, { etag: '"1"' });
    const source = sourceOf(withOrigin(byIds));
    const one = await source.fetch(request("1"));
    const tag = one.type === "value" ? one.tag : null;
    expect(tag).not.toBeNull();
    let conditions: unknown[] = [];
    origin.handle = ({ headers }, response) => {
      conditions = [headers["if-none-match"], headers["if-modified-since"]];
      response.end('{"1": "one"}');
    };
    await source.batching!.fetchMany([{ ...request("1"), tag }, request("..")]);
    expect(conditions).toEqual([undefined, undefined]);
  });

  it("gives the freshness of the response to all items, and no tag", async () => {
    answer({ "1": "one" }, { "cache-control": "max-age=7", etag: '"all"' });
    const [result] = await sourceOf(withOrigin(byIds)).batching!.fetchMany([request("1"), request("2")]);
    expect(result).toMatchObject({ tag: null, freshness: { ttlMs: 7_000 } });
  });

  it("contains only keys with the same other parts, and no key with the separator in its part", () => {
    const { batching } = sourceOf(withOrigin('url = "ORIGIN/{shop}/items?ids={id}"\nkey = "id"'));
    const group = (id: string, shop?: string) => batching!.groupOf(request(id, shop));
    expect(group("1", "a")).toBe(group("2", "a"));
    expect(group("1", "a")).not.toBe(group("1", "b"));
    // A server that splits "1,2" would not see one id.
    expect(group("1,2", "a")).not.toBe(group("3", "a"));
    expect(group("", "a")).not.toBe(group("3", "a"));
    // Several keys may have this part: `x/1,2` and `y/1,2`.
    expect(group("1,2", "a")).not.toBe(group("1,2", "a"));
  });

  it.each([
    ["%2C", "1,2"],
    ["+", "1 2"],
    [",,", "1,"],
  ])("with the separator %s contains no key with the part %s, which a server would split", (join, id) => {
    const { batching } = sourceOf(withOrigin(`url = "ORIGIN/items?ids={id}"\njoin = "${join}"`));
    expect(batching!.groupOf(request(id))).not.toBe(batching!.groupOf(request("3")));
    expect(batching!.groupOf(request("4"))).toBe(batching!.groupOf(request("3")));
  });

  it("contains no two keys whose different bytes have the same text", () => {
    const { batching } = sourceOf(withOrigin('url = "ORIGIN/{shop}/items?ids={id}"\nkey = "id"'));
    const group = (id: string, shop: string, encoding: "utf8" | "latin1") =>
      batching!.groupOf({ ...request(id, shop), encoding });
    // The shops C3 A9 and E9: the request for both would have the shop of the first.
    expect(group("1", "é", "utf8")).not.toBe(group("1", "é", "latin1"));
    // The ids C3 A9 and E9: the item of the one would be found for the other.
    expect(group("é", "s", "utf8")).toBe(group("1", "s", "utf8"));
    expect(group("é", "s", "latin1")).not.toBe(group("1", "s", "latin1"));
  });

  it("has no item whose id is null for a key with the part null", async () => {
    answer([{ id: null, error: "not found" }, { id: 1 }]);
    expect(await fetchMany(sourceOf(withOrigin(byIds)), "1", "null")).toEqual(['{"id":1}', "notThere"]);
  });

  it("fails only for the key whose item has too many levels", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    answer(`{"1": "one", "2": ${deep}}`);
    expect(await fetchMany(sourceOf(withOrigin(byIds)), "1", "2")).toEqual(["one", "SOURCE_FAILED"]);
  });

  it("leaves out an item whose id has too many levels", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    answer(`[{"id": 1}, {"id": ${deep}}]`);
    expect(await fetchMany(sourceOf(withOrigin(byIds)), "1", "2")).toEqual(['{"id":1}', "notThere"]);
  });
});

describe("the settings of a batch", () => {
  it("have defaults, and waits that are a part of the source's timeout", () => {
    const limits = (batch: string, settings?: string) => {
      const { maxKeys, waitMs, refreshWaitMs } = sourceOf(withOrigin(`${byIds}\n${batch}`), settings).batching!;
      return [maxKeys, waitMs, refreshWaitMs];
    };
    expect(limits("")).toEqual([50, 1, 500]);
    expect(limits('max = 7\nwait = "0s"\nrefresh_wait = "2s"')).toEqual([7, 0, 2_000]);
    expect(limits("", 'timeout = "600ms"')).toEqual([50, 1, 150]);
  });

  it.each([
    ["max = 7", /^10: source\.shop\.batch\.max: batch\.url or batch\.body is missing/],
    ['url = "ORIGIN/x?ids={id}"\nmxa = 7', /^11: source\.shop\.batch\.mxa: unknown setting.*max/],
    ['url = "http://other.example/x?ids={id}"', /expected a URL on the server of url/],
    ['url = "ORIGIN/x"', /expected a placeholder/],
    ['url = "ORIGIN/{shop}/{id}"', /has \{shop\}, \{id\}; say with batch\.key/],
    ['url = "ORIGIN/{id}"\nkey = "shop"', /batch\.key: expected one of \{id\}/],
    ['url = "ORIGIN/{name}"', /uses \{name\}, but get\.all\.match has no capture named "name"/],
    ['url = "ORIGIN/{id}"\nid = "id"', /batch\.id: expected a JSON pointer/],
    ['url = "ORIGIN/{id}"\njoin = " "', /batch\.join: expected 1 to 16 ASCII/],
    ['url = "ORIGIN/{id}"\nrefresh_wait = "4s"', /batch\.refresh_wait: expected less than half/],
    ['body = "{id}"', /batch\.body: a GET has no body/],
  ])("are refused with a reason: %s", (batch, problem) => {
    expect(problemsOf(withOrigin(batch)).join("\n")).toMatch(problem);
  });

  it("can come from the environment", () => {
    const text = `[source.shop]\ntype = "http"\nurl = "${origin.url}/{1}"\n[source.shop.batch]\nurl = "${origin.url}/?i={1}"`;
    const { sources } = parseNative({ file: null, text, env: { PLATYPUS_SOURCE_SHOP_BATCH_MAX: "9" }, sourceTypes });
    expect(sources[0]).toMatchObject({ batch: { maxKeys: 9 } });
  });
});
