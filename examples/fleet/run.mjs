// 300 clients of three processes miss one key at once: one call to the source.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, get, say, startMemcached, startOrigin, startPlatypus } from "../stage.mjs";

const memcacheds = await Promise.all([startMemcached(), startMemcached()]);
const origin = await startOrigin(async (path) => {
  await sleep(300);
  return `page ${path}`;
});
const env = {
  PLATYPUS_TARGET_SERVERS: memcacheds.map(({ port }) => `127.0.0.1:${port}`).join(","),
  PLATYPUS_SOURCE_PRODUCTS_URL: `http://127.0.0.1:${origin.port}/products/{id}`,
};
const fleet = [];
for (let i = 0; i < 3; i++) fleet.push(await startPlatypus(new URL("platypus.toml", import.meta.url), env));

const clients = Array.from({ length: 300 }, (_, i) => get(fleet[i % fleet.length].port, "product/17"));
const answers = await Promise.all(clients);
const values = new Set(answers);
say(`300 clients over 3 processes asked for product/17 at once`);
say(`their answers: ${[...values].join(", ")}`);
say(`calls to the source: ${origin.requests.length}`);
expect(values.size === 1 && values.has("page /products/17"), "one value for all");
expect(origin.requests.length === 1, "one call");

await fleet[0].stop();
say("one process stops");
const value = await get(fleet[1].port, "product/17");
say(`another one finds the value in the pool: ${value}`);
expect(value === "page /products/17" && origin.requests.length === 1, "a hit");
for (const each of [...fleet, ...memcacheds, origin]) await each.stop();
