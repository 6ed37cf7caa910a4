/** What an http source makes of header fields that come twice, padded, empty or in capitals, and of a 304. */
import type http from "node:http";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import type { SourceError } from "../../src/errors.ts";
import type { HttpSourceConfig } from "../../src/sources/http.ts";
import type { HttpSource } from "../../src/sources/http-source.ts";
import type { FetchResult } from "../../src/sources/source.ts";
import { contextOf } from "../support/fakes/fetch-context.ts";
import { plainSource } from "../support/rigs/http-sources.ts";
import { startOrigin } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";

type Headers = Readonly<Record<string, string | string[]>>;

let origin: HttpOrigin;

beforeEach(async () => {
  origin = await startOrigin();
});

function sourceOf(config: Partial<HttpSourceConfig> = {}): HttpSource {
  return plainSource(`${origin.url}/a`, config);
}

/** Has the origin answer with these fields, each line as it is. */
function answer(status: number, headers: Headers, body: string | Buffer = "v"): void {
  origin.handle = (_request: http.IncomingMessage, response: http.ServerResponse) => {
    response.sendDate = false;
    for (const [name, lines] of Object.entries(headers)) response.setHeader(name, lines);
    response.writeHead(status).end(status === 304 ? undefined : body);
  };
}

function fetchWith(source: HttpSource, tag: string | null = null): Promise<FetchResult> {
  return source.fetch({ ...contextOf("k"), tag });
}

async function outcome(source: HttpSource): Promise<string> {
  try {
    const result = await fetchWith(source);
    return result.type === "value" ? result.value.toString() : result.type;
  } catch (error) {
    return (error as SourceError).code;
  }
}

async function tagOf(source: HttpSource): Promise<string | null> {
  const result = await fetchWith(source);
  return result.type === "value" ? result.tag : null;
}

describe("a repeated, padded or empty field", () => {
  const twice = (...lines: string[]) => lines;

  it.each([
    ["cache-control", twice("max-age=60", "public")],
    ["cache-control", twice("max-age=60", "max-age=60")],
    ["Cache-Control", twice("", " , ")],
    ["expires", twice("0", "Thu, 18 Aug 2050 02:01:18 GMT")],
    ["age", twice("1", "x")],
    ["date", twice("x", "y")],
    ["vary", twice("a", "*")],
    ["pragma", twice("no-cache", "no-cache")],
    ["etag", twice('"a"', '"b"')],
    ["ETag", twice("", "")],
    ["last-modified", twice("x", "y")],
    ["set-cookie", twice("a=1", "b=2")],
    ["content-encoding", twice("", "identity")],
    ["content-type", twice("text/html", "text/plain")],
    ["location", twice("/b", "/c")],
    ["__proto__", twice("a", "b")],
  ])("never fails the fetch: %s %j", async (name, lines) => {
    answer(200, { [name]: lines });
    expect(await outcome(sourceOf())).toBe("v");
  });

  it("contributes the lifetime of all its lines", async () => {
    answer(200, { "cache-control": ["max-age=60", "public"] });
    expect(await fetchWith(sourceOf())).toMatchObject({ freshness: { ttlMs: 60_000 } });
  });

  it("is a validator only if the lines agree", async () => {
    const source = sourceOf();
    answer(200, { etag: ['"a"', '"a"'] });
    await fetchWith(source, await tagOf(source));
    expect(origin.headers[1]).toMatchObject({ "if-none-match": '"a"' });
    answer(200, { etag: ['"a"', '"b"'], "last-modified": "some day" });
    await fetchWith(source, await tagOf(source));
    expect(origin.headers[3]).toMatchObject({ "if-modified-since": "some day" });
    expect(origin.headers[3]).not.toHaveProperty("if-none-match");
    answer(200, { etag: ['"a"', '"b"'] });
    expect(await tagOf(source)).toBeNull();
  });

  it("uses the last line if it is a content type", async () => {
    const source = sourceOf({ contentTypes: ["application/json"] });
    answer(200, { "content-type": ["application/json", " Application/JSON ; charset=utf-8"] });
    expect(await outcome(source)).toBe("v");
    answer(200, { "content-type": ["application/json", "text/html"] });
    expect(await outcome(source)).toBe("SOURCE_STATUS");
    answer(200, { "content-type": "" });
    expect(await outcome(source)).toBe("SOURCE_STATUS");
  });

  it("redirects only if the lines agree", async () => {
    answer(302, { location: ["/b", "/c"] });
    expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
    answer(302, { location: "" });
    expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
    expect(origin.requests).toHaveLength(2);
    origin.handle = (request, response) => {
      if (request.url === "/b") response.end("arrived");
      else response.setHeader("location", ["/b", "/b"]).writeHead(302).end();
    };
    expect(await outcome(sourceOf())).toBe("arrived");
  });
});

describe("the decoder of content encodings", () => {
  const text = "value ".repeat(500);
  const gzip = gzipSync(text);

  it.each([
    ["in capitals", "GZIP", gzip],
    ["beside identity", ["identity", "gzip"], gzip],
    ["beside an empty line", ["", "gzip"], gzip],
    ["that is named twice by mistake", ["gzip", "x-gzip"], gzip],
    ["that is named twice in one line", "gzip, gzip", gzip],
    ["that was applied twice", "gzip, gzip", gzipSync(gzip)],
    ["of brotli that is named twice by mistake", ["br", "br"], brotliCompressSync(text)],
    ["of two codings, the last one first", "gzip, br", brotliCompressSync(gzip)],
    ["of two codings in two lines", ["br", "gzip"], gzipSync(brotliCompressSync(text))],
  ])("decodes a coding %s", async (_what, coding, body) => {
    answer(200, { "content-encoding": coding }, body);
    expect(await outcome(sourceOf())).toBe(text);
  });

  it.each(["gzip, zstd", "deflate", "gzip, br, gzip, br"])("refuses %s", async (coding) => {
    answer(200, { "content-encoding": coding }, gzip);
    expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
  });

  it("limits the output of several codings to max_body", async () => {
    answer(200, { "content-encoding": "gzip, gzip" }, gzipSync(gzipSync(Buffer.alloc(10_000_000))));
    expect(await outcome(sourceOf())).toBe("SOURCE_TOO_LARGE");
  });

  it("fails if several declared codings are not applied", async () => {
    answer(200, { "content-encoding": "gzip, br" }, "neither of the two");
    expect(await outcome(sourceOf())).toBe("SOURCE_UNREACHABLE");
  });
});

describe("a status in value_statuses", () => {
  it.each([200, 201, 203, 206, 299, 404, 500])("is treated like 200: %d", async (status) => {
    const source = sourceOf({ valueStatuses: [status], notFoundStatuses: [] });
    answer(status, { "cache-control": "max-age=3600", etag: '"a"' });
    expect(await fetchWith(source)).toMatchObject({ type: "value", freshness: { ttlMs: 3_600_000 } });
    answer(status, { "cache-control": "public", "last-modified": "Tue, 24 Nov 2020 12:00:00 GMT" });
    expect(await fetchWith(source)).toMatchObject({ type: "value", freshness: null });
  });
});

describe("a 304 response", () => {
  /** Fetches the value with a mark, then asks with each mark in turn. */
  async function lifetimes(stored: Headers, ...updates: Headers[]): Promise<(number | null)[]> {
    const source = sourceOf();
    answer(200, stored);
    let tag = await tagOf(source);
    const seconds: (number | null)[] = [];
    for (const update of updates) {
      answer(304, update);
      const result = await fetchWith(source, tag);
      if (result.type !== "unchanged") throw new Error(`expected a 304 to be unchanged, got ${result.type}`);
      tag = result.tag ?? tag;
      const ttlMs = result.freshness?.ttlMs ?? null;
      seconds.push(ttlMs === null ? null : ttlMs / 1000);
    }
    return seconds;
  }

  it("is fresh for its declared lifetime", async () => {
    expect(await lifetimes({ etag: '"a"' }, { "cache-control": "max-age=3600" })).toEqual([3600]);
  });

  it("is fresh for the lifetime of the 200 if it declares none", async () => {
    const stored = { etag: '"a"', "cache-control": ["max-age=3600", "public"] };
    expect(await lifetimes(stored, {}, { etag: '"a"' }, {})).toEqual([3600, 3600, 3600]);
  });

  it("is used by the 304 responses after it", async () => {
    const stored = { "last-modified": "Tue, 24 Nov 2026 12:00:00 GMT", "cache-control": "max-age=5" };
    const updates: Headers[] = [{}, { "cache-control": "max-age=3600" }, {}, { "cache-control": "public" }, {}];
    expect(await lifetimes(stored, ...updates)).toEqual([5, 3600, 3600, null, null]);
  });

  it("updates the validators of the next request", async () => {
    const source = sourceOf();
    answer(200, { etag: '"a"' });
    const first = await tagOf(source);
    answer(304, { etag: '"b"' });
    const result = await fetchWith(source, first);
    await fetchWith(source, result.type === "unchanged" ? (result.tag ?? null) : null);
    expect(origin.headers[2]).toMatchObject({ "if-none-match": '"b"' });
  });

  it("keeps the request's validators if its own cannot be read", async () => {
    const source = sourceOf();
    answer(200, { etag: '"a"' });
    const first = await tagOf(source);
    answer(304, { etag: ['"b"', '"c"'] });
    expect(await fetchWith(source, first)).toMatchObject({ type: "unchanged", tag: first });
  });
});

describe("a validator", () => {
  it("is not kept if it cannot be sent back or is too long", async () => {
    const source = sourceOf();
    answer(200, { etag: `"${"x".repeat(300)}"` });
    expect(await tagOf(source)).toBeNull();
    answer(200, { etag: `"${"x".repeat(300)}"`, "last-modified": "some day" });
    expect(await tagOf(source)).toBe("date some day");
  });

  it("is sent back unchanged if it has bytes beyond ASCII", async () => {
    const source = sourceOf();
    answer(200, { etag: '"\xe4"' });
    await fetchWith(source, await tagOf(source));
    expect(origin.headers[1]).toMatchObject({ "if-none-match": '"\xe4"' });
  });

  it("stays short however long the fields are", async () => {
    answer(200, { etag: '"a"', "cache-control": `${"x,".repeat(2_000)} max-age=60`, expires: "x".repeat(2_000) });
    expect(await tagOf(sourceOf())).toBe('etag "a"\ncache-control max-age=60');
  });
});
