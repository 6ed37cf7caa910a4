/** What an http source sends, and what it takes for a value: all that goes beyond a plain GET of a URL. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import path from "node:path";
import tls from "node:tls";
import { brotliCompressSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { SourceError } from "../../src/errors.ts";
import type { HttpSourceConfig } from "../../src/sources/http.ts";
import type { HttpSource } from "../../src/sources/http-source.ts";
import { contextOf } from "../support/fakes/fetch-context.ts";
import { plainSource } from "../support/rigs/http-sources.ts";
import { startOrigin } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";

let origin: HttpOrigin;

beforeEach(async () => {
  origin = await startOrigin();
});

function sourceOf(config: Partial<HttpSourceConfig> = {}): HttpSource {
  return plainSource(`${origin.url}/a`, config);
}

/** Value, "not there", "unchanged", or the error's code. */
async function outcome(source: HttpSource, part = "k", tag: string | null = null): Promise<string> {
  try {
    const result = await source.fetch({ ...contextOf(part, [part]), tag });
    return result.type === "value" ? result.value.toString() : result.type === "notThere" ? "not there" : "unchanged";
  } catch (error) {
    expect(error).toBeInstanceOf(SourceError);
    return (error as SourceError).code;
  }
}

describe("the query of a request", () => {
  it("is added to the URL's own, percent-encoded", async () => {
    const source = sourceOf({
      url: `${origin.url}/a?x=1`,
      query: [
        ["näme", "<{1}>"],
        ["y", "2"],
      ],
    });
    await outcome(source, "a&b=c#d?e/..");
    expect(origin.requests).toEqual(["GET /a?x=1&n%C3%A4me=<a%26b%3Dc%23d%3Fe%2F..>&y=2"]);
  });

  it("never has more names than the configuration gives, whatever the key", async () => {
    const source = sourceOf({ query: [["q", "{1}"]] });
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", minLength: 1, maxLength: 100 }), async (part) => {
        await outcome(source, part);
        const asked = new URL(origin.requests.at(-1)!.slice("GET ".length), origin.url);
        expect([...asked.searchParams.keys()]).toEqual(["q"]);
        expect(asked.pathname).toBe("/a");
      }),
      { numRuns: 100 },
    );
  });
});

describe("the body of a request", () => {
  const post = { method: "POST" } as const;

  it("keeps parts of the key inside the strings of JSON", async () => {
    origin.answer("v");
    const headers = [["Content-Type", "application/json; charset=utf-8"]] as const;
    const source = sourceOf({ ...post, headers, body: '{{"id": "{1}", "é": 1}}' });
    for (const part of ['a"b', "a\\", 'x", "admin": "true', "zeile\r\nzwei", "ключ"]) {
      await outcome(source, part);
      expect(JSON.parse(origin.bodies.at(-1)!)).toEqual({ id: part, é: 1 });
    }
  });

  it("keeps parts of the key inside the fields of a form", async () => {
    origin.answer("v");
    const headers = [["content-type", "application/x-www-form-urlencoded"]] as const;
    await outcome(sourceOf({ ...post, headers, body: "id={1}&x=1" }), "a&x=2 ");
    expect(origin.bodies).toEqual(["id=a%26x%3D2%20&x=1"]);
  });

  it("accepts no control characters if it is neither JSON nor a form", async () => {
    origin.answer("v");
    const source = sourceOf({ ...post, body: "id {1}" });
    expect(await outcome(source, "a\nb")).toBe("SOURCE_REFUSED");
    expect(await outcome(source, "a b")).toBe("v");
    expect(origin.bodies).toEqual(["id a b"]);
  });
});

describe("the login of a request", () => {
  it("is sent as configured, and never after a redirect to another origin", async () => {
    const other = await startOrigin();
    origin.handle = (request, response) => {
      if (request.url === "/a") response.writeHead(302, { location: `${other.url}/b` });
      response.end();
    };
    expect(await outcome(sourceOf({ authorization: "Bearer abc" }))).toBe("SOURCE_STATUS");
    expect(origin.headers[0]!.authorization).toBe("Bearer abc");
    expect(other.requests).toEqual([]);
  });
});

describe("a redirect to the same origin", () => {
  it("is followed up to the maximum number of times", async () => {
    origin.handle = (request, response) => {
      const step = Number(/\d+/.exec(request.url!)?.[0] ?? 0);
      if (step < 3) response.writeHead(302, { location: `/step${step + 1}?x=${step}` }).end();
      else response.end("arrived");
    };
    expect(await outcome(sourceOf({ redirects: 3 }))).toBe("arrived");
    expect(await outcome(sourceOf({ redirects: 2 }))).toBe("SOURCE_STATUS");
    expect(await outcome(sourceOf({ redirects: 0 }))).toBe("SOURCE_STATUS");
  });

  it("is not followed if the request has a body", async () => {
    origin.handle = (_request, response) => response.writeHead(307, { location: "/b" }).end();
    expect(await outcome(sourceOf({ method: "POST", body: "x" }))).toBe("SOURCE_STATUS");
    expect(origin.requests).toEqual(["POST /a"]);
  });

  it.each(["//127.0.0.1:1/b", "https://127.0.0.1/b", "http://[bad", "http://user@127.0.0.1:1/"])(
    "excludes a redirect to %s",
    async (location) => {
      origin.handle = (_request, response) => response.writeHead(302, { location }).end();
      expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
      expect(origin.requests).toHaveLength(1);
    },
  );
});

describe("the status settings", () => {
  it("decide what each status means", async () => {
    const source = sourceOf({ valueStatuses: [200, 203], notFoundStatuses: [204, 451] });
    const answers: string[] = [];
    for (const status of [200, 203, 204, 451, 404, 410]) {
      origin.handle = (_request, response) => response.writeHead(status).end(status === 204 ? undefined : "v");
      answers.push(await outcome(source));
    }
    expect(answers).toEqual(["v", "v", "not there", "not there", "SOURCE_STATUS", "SOURCE_STATUS"]);
  });
});

describe("an answer with an unexpected content type", () => {
  it("is a failure if content types are configured, whatever its status", async () => {
    const source = sourceOf({ contentTypes: ["application/json"] });
    const answers: string[] = [];
    for (const type of ["application/json; charset=utf-8", "Application/JSON", "text/html", undefined]) {
      origin.handle = (_request, response) =>
        response.writeHead(200, type === undefined ? {} : { "content-type": type }).end("v");
      answers.push(await outcome(source));
    }
    expect(answers).toEqual(["v", "v", "SOURCE_STATUS", "SOURCE_STATUS"]);
  });
});

describe("a compressed answer", () => {
  it.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
  ] as const)("in %s is unpacked", async (encoding, pack) => {
    origin.handle = (_request, response) =>
      response.writeHead(200, { "content-encoding": encoding }).end(pack("value ".repeat(1_000)));
    expect(await outcome(sourceOf())).toBe("value ".repeat(1_000));
    expect(origin.headers[0]!["accept-encoding"]).toBe("gzip, br");
  });

  it("is refused if it grows beyond max_body", async () => {
    origin.handle = (_request, response) =>
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(50_000_000)));
    expect(await outcome(sourceOf())).toBe("SOURCE_TOO_LARGE");
  });

  it("is a failure if its encoding was not requested", async () => {
    origin.handle = (_request, response) => response.writeHead(200, { "content-encoding": "zstd" }).end("v");
    expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
  });

  it("is a failure if it is not compressed", async () => {
    origin.handle = (_request, response) => response.writeHead(200, { "content-encoding": "gzip" }).end("not gzip");
    expect(await outcome(sourceOf())).toBe("SOURCE_UNREACHABLE");
  });
});

describe("the select setting", () => {
  const document = { data: { value: "text", list: [1, { "a/b~c": null }], "": true } };

  it.each([
    ["/data/value", "text"],
    ["/data/list", '[1,{"a/b~c":null}]'],
    ["/data/list/0", "1"],
    ["/data/list/1/a~1b~0c", "null"],
    ["/data/", "true"],
    ["", JSON.stringify(document)],
    ["/data/none", "SOURCE_FAILED"],
    ["/data/list/2", "SOURCE_FAILED"],
    ["/data/list/length", "SOURCE_FAILED"],
    ["/data/list/00", "SOURCE_FAILED"],
    ["/data/value/0", "SOURCE_FAILED"],
    ["/data/__proto__", "SOURCE_FAILED"],
  ])("selects with %s: %s", async (select, expected) => {
    origin.handle = (_request, response) => response.end(JSON.stringify(document));
    expect(await outcome(sourceOf({ select }))).toBe(expected);
  });

  it("fails for a body that is not JSON, without showing the body", async () => {
    origin.handle = (_request, response) => response.end("<html>secret</html>");
    const source = sourceOf({ select: "/a" });
    expect(await outcome(source)).toBe("SOURCE_FAILED");
    await expect(source.fetch(contextOf("k"))).rejects.toThrow(
      expect.objectContaining({ message: "source web: the answer is no JSON" }),
    );
  });
});

describe("a conditional request", () => {
  it("is made by ETag, or else by date, and is answered with 304", async () => {
    const date = "Tue, 24 Nov 2026 12:00:00 GMT";
    let headers: Record<string, string> = { etag: 'W/"1"', "last-modified": date };
    origin.handle = (request, response) => {
      const { "if-none-match": match, "if-modified-since": since } = request.headers;
      const isSame = match === headers.etag && (match !== undefined || since === date);
      response.writeHead(isSame ? 304 : 200, headers).end(isSame ? undefined : "v");
    };
    const source = sourceOf();
    const tagOf = async () => {
      const result = await source.fetch(contextOf("k"));
      return result.type === "value" ? result.tag : null;
    };
    const byTag = await tagOf();
    expect(await outcome(source, "k", byTag)).toBe("unchanged");
    expect(origin.headers[1]).toMatchObject({ "if-none-match": 'W/"1"' });
    headers = { "last-modified": date };
    const byDate = await tagOf();
    expect(await outcome(source, "k", byDate)).toBe("unchanged");
    expect(await outcome(source, "k", byTag)).toBe("v");
  });

  it("is required for a 304 to be accepted", async () => {
    origin.handle = (_request, response) => response.writeHead(304).end();
    expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
  });
});

describe("a request over TLS", () => {
  it("offers HTTP/1.1 only: a server ends an HTTP/2 session, with all its fetches, if responses are often cut off", async () => {
    const folder = path.join(import.meta.dirname, "../support/tls");
    const [cert, key] = ["server.pem", "server.key"].map((name) => readFileSync(path.join(folder, name)));
    const offered: (readonly string[])[] = [];
    const server = tls.createServer({
      cert,
      key,
      ALPNCallback: ({ protocols }) => {
        offered.push(protocols);
        return protocols[0];
      },
    });
    server.on("tlsClientError", () => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const source = sourceOf({ url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/` });
    // The certificate is not trusted.
    expect(await outcome(source)).toBe("SOURCE_UNREACHABLE");
    await source.close();
    server.close();
    await once(server, "close");
    expect(offered).toEqual([["http/1.1"]]);
  });
});

describe("the timeouts of a request", () => {
  it("limit connecting until TLS is agreed on", async () => {
    // Accepts, and says nothing.
    const server = net.createServer((socket) => socket.on("error", () => {}).resume()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const source = sourceOf({ url, connectTimeoutMs: 50 });
    expect(await outcome(source)).toBe("SOURCE_UNREACHABLE");
    await source.close();
    server.close();
    await once(server, "close");
  });

  it("limit reading if an answer pauses", async () => {
    origin.handle = (_request, response) => {
      response.writeHead(200);
      response.write("a");
    };
    expect(await outcome(sourceOf({ readTimeoutMs: 50 }))).toBe("SOURCE_UNREACHABLE");
  });
});
