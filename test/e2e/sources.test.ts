/** The sources of config/sources.toml, as the file stands, through the command line. */
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { HttpOrigin } from "../support/servers/http-origin.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const FILE = fileURLToPath(new URL("../../config/sources.toml", import.meta.url));
const user = '{"id": 17}';

describe("config/sources.toml", () => {
  let origin: HttpOrigin;
  let platypus: PlatypusProcess;
  let client: TextClient;

  beforeAll(async () => {
    origin = await HttpOrigin.start();
    origin.handle = async (request, response) => {
      const isSearch = request.url === "/search";
      if (!isSearch && request.url !== "/users/17") response.statusCode = 404;
      response.end(isSearch ? JSON.stringify({ hits: [await text(request)] }) : user);
    };
    const rules = ["HELLO", "PAGE", "USER", "SEARCH", "PRICE", "CARD"];
    platypus = PlatypusProcess.run(["--config", FILE], {
      PLATYPUS_SERVER_LISTEN: "127.0.0.1:0",
      PLATYPUS_SOURCE_USER_URL: `${origin.url}/users/{id}`,
      PLATYPUS_SOURCE_SEARCH_URL: `${origin.url}/search`,
      // A machine that is busy with other tests is no reason for a miss.
      ...Object.fromEntries(rules.map((rule) => [`PLATYPUS_GET_${rule}_FILL_TIMEOUT`, "10s"])),
    });
    await platypus.printed(/listens on/);
    client = await TextClient.connect(platypus.port);
  });

  afterAll(async () => {
    client?.close();
    await platypus?.stop();
    await origin?.close();
  });

  it.each([
    ["hello/world", "Hello, world!"],
    ["page/about", "<h1>About</h1>\n"],
    ["user/17", user],
    ['search/"tea"', String.raw`["{\"words\": \"\\\"tea\\\"\"}"]`],
    ["price/tea", '{"sku":"tea","cents":450}'],
    ["card/17", '{"user":{"id":17},"greeting":"Hello, user 17!"}'],
  ])("fills %s", async (key, value) => {
    expect(await client.ask(`get ${key}`, "END\r\n")).toBe(`VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`);
  });

  it.each(["page/none", "page/../sources", "user/18", "price/water", "card/18"])("has nothing for %s", async (key) => {
    expect(await client.ask(`get ${key}`, "END\r\n")).toBe("END\r\n");
  });
});
