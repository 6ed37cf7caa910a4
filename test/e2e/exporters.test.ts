/** What memcached's Prometheus exporter reads from `stats`, over a pool and over the store in the process. */
import { describe, expect, it } from "vitest";
import type { TextClient } from "../support/clients/text-client.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { connect, startMemcacheds, startPlatypus } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const HITS_AND_MISSES = ["get", "delete", "incr", "decr", "cas", "touch"];
/** It tells of these and fails without, or tells nothing of them. Source: prometheus/memcached_exporter, as facts. */
const general =
  `uptime time cas_badval cmd_flush cmd_set rusage_user rusage_system bytes limit_maxbytes curr_items total_items
bytes_read bytes_written curr_connections total_connections rejected_connections conn_yields listen_disabled_num evictions
reclaimed accepting_conns`.split(/\s+/);
/** Numbers about the servers' background threads, which the embedded store does not have. */
const ofServers =
  `store_too_large store_no_memory lru_crawler_starts direct_reclaims crawler_items_checked crawler_reclaimed
moves_to_cold moves_to_warm moves_within_lru`.split(/\s+/);
const items =
  "number age evicted evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched evicted_unfetched".split(
    " ",
  );
const slabs =
  "chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end cmd_set".split(" ");
const crawler = "lru_crawler_sleep lru_crawler_tocrawl hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor".split(
  " ",
);

const RULE = `[get.page]
match = "page/(.*)"
source = "page"
ttl = "1s"
refresh_before = "900ms"
[source.page]
type = "echo"
`;

async function clientOf(toml: string): Promise<TextClient> {
  return connect(await startPlatypus(toml));
}

async function stats(client: TextClient, group = ""): Promise<Map<string, string>> {
  const answer = await client.ask(`stats ${group}`.trim(), "END\r\n");
  return new Map([...answer.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name!, value!]));
}

/** Every kind of command, found and not. */
async function use(client: TextClient): Promise<void> {
  for (const command of ["set n 0 0 1\r\n5", "set gone 0 0 1\r\nx", "add a 0 0 1\r\nx", "append a 0 0 1\r\nx"]) {
    expect(await client.ask(command)).toBe("STORED\r\n");
  }
  for (const verb of ["incr", "decr"]) {
    await client.ask(`${verb} n 1`);
    await client.ask(`${verb} none 1`);
  }
  await client.ask("delete gone");
  await client.ask("delete gone");
  await client.ask("touch n 0");
  await client.ask("touch none 0");
  await client.ask("gat 0 n", "END\r\n");
  const [, unique] = /VALUE n 0 \d+ (\d+)/.exec(await client.ask("gets n", "END\r\n"))!;
  expect(await client.ask(`cas n 0 0 1 ${Number(unique) + 100}\r\n7`)).toBe("EXISTS\r\n");
  expect(await client.ask(`cas n 0 0 1 ${unique}\r\n7`)).toBe("STORED\r\n");
  expect(await client.ask("cas none 0 0 1 1\r\n7")).toBe("NOT_FOUND\r\n");
  await client.ask("get n none", "END\r\n");
  await client.ask("get page/1", "END\r\n");
}

const expected = {
  cmd_set: "7",
  get_hits: "4",
  get_misses: "1",
  delete_hits: "1",
  delete_misses: "1",
  incr_hits: "1",
  incr_misses: "1",
  decr_hits: "1",
  decr_misses: "1",
  cas_hits: "1",
  cas_badval: "1",
  cas_misses: "1",
  touch_hits: "2",
  touch_misses: "1",
  cmd_touch: "3",
};

function expectNumbers(lines: ReadonlyMap<string, string>, names: readonly string[]): void {
  for (const name of names) expect(lines.get(name), name).toMatch(/^\d+(\.\d+)?$/);
}

/** A group of lines `SLAB:name` or `items:SLAB:name`, by slab. */
function bySlab(lines: ReadonlyMap<string, string>): Map<string, Map<string, string>> {
  const slabsOf = new Map<string, Map<string, string>>();
  for (const [name, value] of lines) {
    const [, slab, rest] = /^(?:items:)?(\d+):(.*)$/.exec(name) ?? [];
    if (slab === undefined) continue;
    slabsOf.set(slab, (slabsOf.get(slab) ?? new Map()).set(rest!, value));
  }
  return slabsOf;
}

async function expectItemsAndSlabs(client: TextClient): Promise<void> {
  const inItems = bySlab(await stats(client, "items"));
  expect(inItems.size).toBeGreaterThan(0);
  for (const lines of inItems.values()) expectNumbers(lines, items);
  const inSlabs = bySlab(await stats(client, "slabs"));
  expect([...inSlabs.keys()].sort()).toEqual([...inItems.keys()].sort());
  for (const lines of inSlabs.values()) {
    expectNumbers(lines, [...slabs, "cas_badval", ...HITS_AND_MISSES.map((verb) => `${verb}_hits`)]);
    // It takes the one off the other.
    const [sets, hits, bad] = ["cmd_set", "cas_hits", "cas_badval"].map((name) => Number(lines.get(name)));
    expect(sets! - hits! - bad!).toBeGreaterThanOrEqual(0);
  }
}

describe("the stats that memcached's exporter reads", () => {
  it.skipIf(MemcachedProcess.isMissing)(
    "are complete and correct for a pool, whatever fills and refreshes do on its servers",
    async () => {
      const servers = await startMemcacheds(2);
      const client = await clientOf(`${targetOf(servers.map(({ port }) => port))}${RULE}`);
      await use(client);
      // Refreshes write by cas, on the servers.
      await expect.poll(async () => (await stats(client, "platypus")).get("rule:page:unchanged")).not.toBe("0");
      const seen = await stats(client);
      expectNumbers(seen, [...general, ...ofServers]);
      expectNumbers(
        seen,
        HITS_AND_MISSES.flatMap((verb) => [`${verb}_hits`, `${verb}_misses`]),
      );
      expect(Object.fromEntries(seen)).toMatchObject(expected);
      await expectItemsAndSlabs(client);
      const settings = await stats(client, "settings");
      expectNumbers(settings, ["maxconns", ...crawler]);
      expect([settings.get("lru_crawler"), settings.get("lru_maintainer_thread")]).toEqual(["yes", "yes"]);
    },
  );

  it("are complete and correct for the store in the process", async () => {
    const client = await clientOf(RULE);
    await use(client);
    const seen = await stats(client);
    expectNumbers(seen, general);
    expect(Object.fromEntries(seen)).toMatchObject(expected);
    await expectItemsAndSlabs(client);
    const settings = await stats(client, "settings");
    expectNumbers(settings, ["maxconns"]);
    expect(settings.get("lru_crawler")).toBe("no");
  });

  it("start again after `stats reset`", async () => {
    const client = await clientOf(RULE);
    await use(client);
    await client.ask("stats reset");
    const seen = await stats(client);
    for (const name of Object.keys(expected)) expect(seen.get(name), name).toBe("0");
  });
});
