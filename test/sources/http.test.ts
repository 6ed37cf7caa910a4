import { once } from "node:events";
import type http from "node:http";
import net, { type AddressInfo } from "node:net";
import { beforeEach, describe, expect, it } from "vitest";
import { SourceError } from "../../src/errors.ts";
import type { HttpSourceConfig } from "../../src/sources/http.ts";
import type { HttpSource } from "../../src/sources/http-source.ts";
import { Limiter } from "../../src/sources/limiter.ts";
import { binaryContextOf, contextOf } from "../support/fakes/fetch-context.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { openSource } from "../support/rigs/http-sources.ts";
import { looseLimits, plainRequest } from "../support/rigs/source-limits.ts";
import { startOrigin } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { freePort } from "../support/servers/memcached-process.ts";

let origin: HttpOrigin;

beforeEach(async () => {
  origin = await startOrigin();
});

function configOf(config: Partial<HttpSourceConfig>): HttpSourceConfig {
  return {
    type: "http",
    name: "web",
    ...looseLimits,
    url: `${origin.url}/{1}`,
    method: "GET",
    headers: [],
    ...plainRequest,
    maxBodyBytes: 1_000,
    isEmptyValue: false,
    ...config,
  };
}

function sourceOf(config: Partial<HttpSourceConfig> = {}): HttpSource {
  return openSource(configOf(config));
}

/** What a fetch of `part` ends with: the value's text, "not there" or the error's code. */
async function outcome(source: HttpSource, part = "k"): Promise<string> {
  try {
    const result = await source.fetch(contextOf(part, [part]));
    return result.type === "value" ? result.value.toString("latin1") : "not there";
  } catch (error) {
    expect(error).toBeInstanceOf(SourceError);
    return (error as SourceError).code;
  }
}

/** A fetch behind bounds whose time is the test's. */
function boundedFetch(clock: ManualClock): Promise<string> {
  const limiter = new Limiter(sourceOf(), looseLimits, clock);
  return limiter.fetch(contextOf("k", ["k"]), "fill", null).then(
    () => "a value",
    (error: unknown) => (error as SourceError).code,
  );
}

describe("an HTTP response", () => {
  it("is the value, byte for byte, if it is a 200 with a body", async () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    origin.handle = (_request, response) => response.end(value);
    expect(await outcome(sourceOf())).toBe(value.toString("latin1"));
  });

  it("is one value if a 200 arrives in many pieces", async () => {
    origin.handle = (_request, response) => {
      for (const piece of ["a", "b", "c"]) response.write(piece);
      response.end();
    };
    expect(await outcome(sourceOf())).toBe("abc");
  });

  it.each([404, 410])("is a miss with status %d", async (status) => {
    origin.handle = (_request, response) => response.writeHead(status).end("nothing here");
    expect(await outcome(sourceOf())).toBe("not there");
  });

  it.each([201, 204, 206, 304, 400, 401, 403, 429, 500, 502, 503])("fails with status %d", async (status) => {
    origin.handle = (_request, response) => response.writeHead(status).end();
    expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
  });

  it.each([301, 302, 303, 307, 308])("is not followed if it redirects with %d to another origin", async (status) => {
    origin.handle = (_request, response) => response.writeHead(status, { location: "http://127.0.0.1:1/other" }).end();
    expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
    expect(origin.requests).toEqual(["GET /k"]);
  });

  it("is a value without a body only if the configuration says so", async () => {
    origin.handle = (_request, response) => response.end();
    expect(await outcome(sourceOf())).toBe("SOURCE_STATUS");
    expect(await outcome(sourceOf({ isEmptyValue: true }))).toBe("");
  });

  it("is a value if it is as large as max_body, and is refused if it has one byte more", async () => {
    origin.handle = (request, response) => response.end("x".repeat(Number(request.url!.slice(1))));
    const source = sourceOf();
    expect(await outcome(source, "1000")).toHaveLength(1_000);
    expect(await outcome(source, "1001")).toBe("SOURCE_TOO_LARGE");
  });

  it("is refused once it is too large if it never ends, and its connection is closed", async () => {
    origin.handle = (_request, response) => {
      const pour = () => {
        while (!response.destroyed && response.write("x".repeat(10_000)));
      };
      response.on("drain", pour);
      pour();
    };
    expect(await outcome(sourceOf())).toBe("SOURCE_TOO_LARGE");
    await origin.left();
  });
});

describe("an HTTP server", () => {
  it("is unreachable if it refuses connections", async () => {
    expect(await outcome(sourceOf({ url: `http://127.0.0.1:${await freePort()}/` }))).toBe("SOURCE_UNREACHABLE");
  });

  it("is unreachable if it resets before it answers", async () => {
    origin.handle = (request) => request.socket.resetAndDestroy();
    expect(await outcome(sourceOf())).toBe("SOURCE_UNREACHABLE");
  });

  it.each([
    ["with a length", { "content-length": "100" }],
    ["in chunks", { "transfer-encoding": "chunked" }],
  ])("gives no value if it resets within a body %s", async (_what, headers) => {
    origin.handle = (request, response) => {
      response.writeHead(200, headers);
      response.write("half", () => request.socket.resetAndDestroy());
    };
    expect(await outcome(sourceOf())).toBe("SOURCE_UNREACHABLE");
  });

  it.each([
    ["with a length", { "content-length": "100" }],
    ["in chunks", { "transfer-encoding": "chunked" }],
  ])("gives no value if it closes within a body %s", async (_what, headers) => {
    origin.handle = (request, response) => {
      response.writeHead(200, headers);
      response.write("half", () => request.socket.end());
    };
    expect(await outcome(sourceOf())).toBe("SOURCE_UNREACHABLE");
  });

  it("is unreachable if it speaks another protocol", async () => {
    const server = net.createServer((socket) => socket.on("error", () => {}).end("ERROR\r\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    expect(await outcome(sourceOf({ url: `http://127.0.0.1:${port}/` }))).toBe("SOURCE_UNREACHABLE");
    server.close();
  });

  it("is abandoned at the timeout if it does not answer", async () => {
    origin.handle = () => {};
    const clock = new ManualClock();
    const fetching = boundedFetch(clock);
    await origin.received(1);
    clock.advance(5_000);
    expect(await fetching).toBe("SOURCE_TIMEOUT");
    await origin.left();
  });

  it("is abandoned at the timeout if it hangs after its headers", async () => {
    origin.handle = (_request, response) => response.writeHead(200).flushHeaders();
    const clock = new ManualClock();
    const fetching = boundedFetch(clock);
    await origin.received(1);
    clock.advance(5_000);
    expect(await fetching).toBe("SOURCE_TIMEOUT");
    await origin.left();
  });

  it("is abandoned at the timeout if it sends a byte now and then", async () => {
    const clock = new ManualClock();
    let response: http.ServerResponse | undefined;
    origin.handle = (_request, answering) => {
      response = answering;
    };
    const fetching = boundedFetch(clock);
    await origin.received(1);
    for (let second = 0; second < 5; second++) {
      await new Promise((written) => response!.write("x", written));
      clock.advance(1_000);
    }
    expect(await fetching).toBe("SOURCE_TIMEOUT");
    await origin.left();
  });

  it("sees its connection closed when its answer is no longer needed", async () => {
    origin.handle = () => {};
    const abort = new AbortController();
    const fetching = sourceOf().fetch(contextOf("k", ["k"], abort.signal));
    const failed = expect(fetching).rejects.toBeInstanceOf(SourceError);
    await origin.received(1);
    abort.abort();
    await failed;
    await origin.left();
  });

  it("is disconnected when the source is closed", async () => {
    const source = sourceOf();
    await outcome(source);
    await Promise.all([origin.left(), source.close()]);
  });
});

describe("an HTTP connection", () => {
  it.each([200, 404, 500])("is reused after a %d", async (status) => {
    origin.handle = (_request, response) => {
      response.writeHead(status).flushHeaders();
      setImmediate(() => response.end("some text"));
    };
    const source = sourceOf({ concurrency: 1 });
    for (let i = 0; i < 5; i++) await outcome(source);
    expect(origin.requests).toHaveLength(5);
    expect(origin.connections).toBe(1);
  });

  it.each([404, 410, 503])("is reused after a %d whose body comes late", async (status) => {
    let response: http.ServerResponse | undefined;
    origin.handle = (_request, answering) => {
      response = answering;
      answering.writeHead(status).flushHeaders();
    };
    const source = sourceOf({ concurrency: 1 });
    for (let i = 0; i < 3; i++) {
      await outcome(source);
      await new Promise((settled) => setImmediate(settled));
      response!.end("some text");
    }
    expect(origin.connections).toBe(1);
  });

  it("is not reused if a refused answer never ends", async () => {
    origin.handle = (_request, response) => {
      response.writeHead(404);
      const pour = () => {
        while (!response.destroyed && response.write("x".repeat(10_000)));
      };
      response.on("drain", pour);
      pour();
    };
    expect(await outcome(sourceOf())).toBe("not there");
    await origin.left();
  });

  it("is replaced by a new one if the server closed it", async () => {
    origin.handle = (_request, response) => response.writeHead(200, { connection: "close" }).end("v");
    const source = sourceOf();
    for (let i = 0; i < 3; i++) expect(await outcome(source)).toBe("v");
    expect(origin.connections).toBe(3);
  });

  it("is one of at most as many as the source's concurrency", async () => {
    const responses: http.ServerResponse[] = [];
    origin.handle = (_request, response) => responses.push(response);
    const source = sourceOf({ concurrency: 2 });
    const fetching = Array.from({ length: 6 }, () => outcome(source));
    for (let i = 0; i < 6; i++) {
      await origin.received(i + 1);
      responses[i]!.end("v");
    }
    expect(await Promise.all(fetching)).toEqual(Array(6).fill("v"));
    expect(origin.connections).toBe(2);
  });
});

describe("an HTTP request", () => {
  it("has the method and the headers of the configuration, with parts of the key", async () => {
    const source = sourceOf({
      method: "POST",
      headers: [
        ["X-Key", "<{1}>"],
        ["accept", "text/plain"],
      ],
    });
    await outcome(source, "the part");
    expect(origin.requests).toEqual(["POST /the%20part"]);
    expect(origin.headers[0]).toMatchObject({ "x-key": "<the part>", accept: "text/plain" });
  });

  it("is not sent if the key would bring control characters into a header", async () => {
    const source = sourceOf({ url: `${origin.url}/`, headers: [["x-key", "{1}"]] });
    expect(await outcome(source, "a\r\nx-evil: 1")).toBe("SOURCE_REFUSED");
    expect(origin.requests).toEqual([]);
  });

  it("carries the bytes of a key beyond ASCII in a header", async () => {
    await outcome(sourceOf({ url: `${origin.url}/`, headers: [["x-key", "{1}"]] }), "ключ");
    expect(Buffer.from(String(origin.headers[0]!["x-key"]), "latin1").toString()).toBe("ключ");
  });

  it.each([
    ["http://HOST", "/"],
    ["http://HOST?q={1}", "/?q=k"],
    ["http://HOST/a?q={1}#{1}", "/a?q=k"],
    ["http://HOST/{1}/", "/k/"],
    ["HTTP://HOST/a b/ü/{1}", "/a%20b/%C3%BC/k"],
    ["http://HOST/a%20b/{1}", "/a%20b/k"],
  ])("maps the URL %s to the path %s", async (url, path) => {
    await outcome(sourceOf({ url: url.replace("HOST", `127.0.0.1:${origin.port}`) }));
    expect(origin.requests).toEqual([`GET ${path}`]);
  });

  it("carries a key that is not UTF-8 byte for byte", async () => {
    await sourceOf().fetch(binaryContextOf("", ["\xff\x00"]));
    expect(origin.requests).toEqual(["GET /%FF%00"]);
  });

  it.each([
    ["/.{1}.{2}/secret", ["", ""]],
    ["/a/{1}.{2}", ["", ""]],
    ["/a/.{1}?q=1", [""]],
    ["/{1}", [".."]],
  ])("is refused if %s with %j would give another path", async (path, parts) => {
    const source = sourceOf({ url: origin.url + path });
    await expect(source.fetch(contextOf("", parts))).rejects.toMatchObject({ code: "SOURCE_REFUSED" });
    expect(origin.requests).toEqual([]);
  });
});
