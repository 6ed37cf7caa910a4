import { execFile, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const RUBY = "/usr/bin/ruby";
const SESSION = fileURLToPath(new URL("../support/clients/rails-session.rb", import.meta.url));
const LINE = fileURLToPath(new URL("../support/clients/rails-line.rb", import.meta.url));
const README = fileURLToPath(new URL("../../README.md", import.meta.url));
const CONFIG = fileURLToPath(new URL("../../config/rails.toml", import.meta.url));
const isRailsMissing = spawnSync(RUBY, ["-e", "require 'dalli'; require 'active_support'"]).status !== 0;

/** What an application sees, whatever the bound of values. */
const seenOfAll = {
  "read filled": "text of /internal/articles/one\r\n",
  "exist? filled": [true, false],
  "fetch filled": "text of /internal/articles/three\r\n",
  "fetch not there": "from the block",
  "read_multi filled": {
    "articles/four": "text of /internal/articles/four\r\n",
    "articles/one": "text of /internal/articles/one\r\n",
  },
  "fetch_multi filled": { "articles/five": "text of /internal/articles/five\r\n", m0: "made m0" },
  "unicode filled": "text of /internal/articles/cl%C3%A9%20d%27%C3%A9t%C3%A9%20100%25\r\n",
  "unicode filled again": "text of /internal/articles/cl%C3%A9%20d%27%C3%A9t%C3%A9%20100%25\r\n",
  "long key not filled": null,
  "namespace not covered": null,
  "filled without raw": "text of /internal/articles/one\r\n",
  write: true,
  read: "one",
  namespace: [null, true, "one", "another"],
  fetch: ["two", "two"],
  read_multi: { a: "one", b: "two" },
  write_multi: { m1: "1", m2: "2" },
  fetch_multi: { m1: "1", m3: "made m3" },
  "exist?": [true, false],
  increment: [6, 16, null],
  decrement: [13, 0],
  delete: [true, null, null],
  unless_exist: [true, false],
  expires_in: [true, "HD t-1"],
  "unicode key": [true, "é", "HD s2"],
  "long key": [true, "long", null],
  marshal: [true, { a: [1, null, "b"] }],
  "marshal fetch": [[1], [1]],
  "side by side": ["raw", true, ["o", "p"]],
  flags: ["HD f0", "HD f1", "HD f0"],
  "1.2 MB packed": [true, true],
  clear: [true, null, null, null],
  "filled again": "text of /internal/articles/one\r\n",
};

describe.skipIf(MemcachedProcess.isMissing || isRailsMissing).each([
  { name: "as it stands", servers: 3, args: [], env: {}, big: [false, null] },
  {
    name: "with max_value raised",
    servers: 1,
    args: ["-I", "4m"],
    env: { PLATYPUS_SERVER_MAX_VALUE: "4MiB" },
    big: [true, 1_200_000],
  },
])("Rails.cache over config/rails.toml $name", ({ servers: count, args, env, big }) => {
  let servers: MemcachedProcess[] = [];
  let origin: HttpOrigin;
  let platypus: PlatypusProcess;

  beforeAll(async () => {
    servers = await Promise.all(Array.from({ length: count }, () => MemcachedProcess.start({ args })));
    origin = await HttpOrigin.start();
    origin.handle = ({ url }, response) => {
      response.statusCode = /\/(none|nothing)$/.test(url!) ? 404 : 200;
      response.end(`text of ${url}\r\n`);
    };
    platypus = PlatypusProcess.run(["--config", CONFIG], {
      PLATYPUS_SERVER_LISTEN: "127.0.0.1:0",
      PLATYPUS_TARGET_SERVERS: servers.map(({ port }) => `127.0.0.1:${port}`).join(","),
      PLATYPUS_SOURCE_ARTICLES_URL: `${origin.url}/internal/articles/{slug}`,
      // A machine that is busy with other tests is no reason for a miss.
      PLATYPUS_GET_ARTICLES_FILL_TIMEOUT: "10s",
      ...env,
    });
    await platypus.printed(/listens on/);
  });

  afterAll(async () => {
    await platypus?.stop();
    await origin?.close();
    await Promise.all(servers.map((server) => server.stop()));
  });

  it("works as over memcached, and reads the source's exact strings, each fetched once", async () => {
    const { stdout } = await promisify(execFile)(RUBY, [SESSION, String(platypus.port)]);
    expect(JSON.parse(stdout)).toEqual({ ...seenOfAll, "1.2 MB": big });
    const names = [
      "one",
      "two",
      "none",
      "nothing",
      "three",
      "four",
      "five",
      "cl%C3%A9%20d%27%C3%A9t%C3%A9%20100%25",
      "one",
    ];
    expect(origin.requests.toSorted()).toEqual(names.map((name) => `GET /internal/articles/${name}`).toSorted());
  });

  it("fills keys for the exact line of the README, which is the line of config/rails.toml", async () => {
    const [, line] = /```ruby\n(.*)\n```/.exec(readFileSync(README, "utf8"))!;
    expect(readFileSync(CONFIG, "utf8")).toContain(`#   ${line}\n`);
    expect(line).toContain('"127.0.0.1:11211"');
    const here = line!.replace("127.0.0.1:11211", `127.0.0.1:${platypus.port}`);
    const { stdout } = await promisify(execFile)(RUBY, [LINE, here, "articles/readme", "articles/none"]);
    expect(JSON.parse(stdout)).toEqual(["text of /internal/articles/readme\r\n", null]);
  });
});
