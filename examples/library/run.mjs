// A program that is itself a memcached server: its functions fill the misses.
// In your program: import { createPlatypus } from "platypus-proxy";
import { createPlatypus } from "../../src/index.ts";
import { expect, get, say, startMemcached } from "../stage.mjs";

const memcached = await startMemcached();
let calls = 0;
const platypus = createPlatypus({ logLevel: "error" })
  .get(
    "user/(?P<id>[0-9]+)",
    ({ captures }) => {
      calls += 1;
      return JSON.stringify({ id: Number(captures.id), name: "Ada" });
    },
    { ttl: "1m" },
  )
  .get("time", () => new Date().toISOString(), { ttl: "1s" })
  .target(`memcache://127.0.0.1:${memcached.port}`);
const [address] = await platypus.listen("127.0.0.1:0");
const port = Number(address.split(":").at(-1));

say(`user/17: ${await get(port, "user/17")}`);
say(`user/17 again: ${await get(port, "user/17")}`);
say(`calls of the function: ${calls}`);
expect(calls === 1, "one call");
say(`time: ${await get(port, "time")}`);
say(`a key without a rule: ${await get(port, "other")}`);
await platypus.close();
await memcached.stop();
