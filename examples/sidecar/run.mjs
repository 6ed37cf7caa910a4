// client → twemproxy → Platypus → memcached: the clients and twemproxy's clients do not change, and misses are filled.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, freePort, get, say, startMemcached, startOrigin, startPlatypus, startProgram } from "../stage.mjs";

const memcached = await startMemcached();
const origin = await startOrigin((path) => `page ${path}`);
const platypus = await startPlatypus(new URL("platypus.toml", import.meta.url), {
  PLATYPUS_TARGET_SERVERS: `127.0.0.1:${memcached.port}`,
  PLATYPUS_SOURCE_USERS_URL: `http://127.0.0.1:${origin.port}/users/{1}`,
});
const port = await freePort();
const folder = mkdtempSync(join(tmpdir(), "platypus-example-"));
const file = join(folder, "nutcracker.yml");
writeFileSync(
  file,
  `pool:\n  listen: 127.0.0.1:${port}\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n    - 127.0.0.1:${platypus.port}:1\n`,
);
const stats = await freePort();
const twemproxy = await startProgram(
  "/usr/sbin/nutcracker",
  ["-c", file, "-s", String(stats), "-a", "127.0.0.1", "-v", "0"],
  port,
);

const value = await get(twemproxy.port, "user/42");
say(`user/42 through twemproxy: ${value}`);
expect(value === "page /users/42", "a filled miss");
say(`the same from memcached itself: ${await get(memcached.port, "user/42")}`);
expect((await get(memcached.port, "user/42")) === value, "a stored value");
await get(twemproxy.port, "user/42");
say(`calls to the source: ${origin.requests.length}`);
expect(origin.requests.length === 1, "one call");
for (const each of [twemproxy, platypus, memcached, origin]) await each.stop();
rmSync(folder, { recursive: true });
