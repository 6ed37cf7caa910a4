// Rails.cache reads an article that is not in the cache: Platypus fetches it, keeps it fresh, and serves it while its origin is down.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, say, startMemcached, startOrigin, startPlatypus } from "../stage.mjs";

let version = 1;
const memcached = await startMemcached();
const origin = await startOrigin((path) => `version ${version} of ${path}`);
const platypus = await startPlatypus(new URL("platypus.toml", import.meta.url), {
  PLATYPUS_TARGET_SERVERS: `127.0.0.1:${memcached.port}`,
  PLATYPUS_SOURCE_ARTICLES_URL: `http://127.0.0.1:${origin.port}/internal/articles/{slug}`,
});
const app = spawn("/usr/bin/ruby", [fileURLToPath(new URL("app.rb", import.meta.url)), String(platypus.port)], {
  stdio: ["pipe", "pipe", "inherit"],
});
const lines = createInterface(app.stdout)[Symbol.asyncIterator]();

async function read(what) {
  app.stdin.write("read\n");
  const { value } = await lines.next();
  say(`${what.padEnd(46)} ${value}`);
  return value;
}

const page = "/internal/articles/on-caching";
const first = await read("the first read is a miss, and is filled:");
expect(first === `version 1 of ${page}`, first);
const second = await read("the second is a hit:");
expect(second === first && origin.requests.length === 1, origin.requests.join());

version = 2;
for (let value = second; value === first; ) {
  await sleep(250);
  value = await read("read on: it is renewed in the background:");
}

await origin.stop();
say("the origin dies");
await sleep(4_000);
const during = await read("its ttl is over, and it is still served:");
expect(during === `version 2 of ${page}`, during);

version = 3;
await origin.start();
say("the origin is back");
for (let value = during; value === during; ) {
  await sleep(500);
  value = await read("read on until it is renewed:");
}
app.stdin.end();
await once(app, "exit");
for (const each of [platypus, memcached, origin]) await each.stop();
