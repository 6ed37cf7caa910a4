/** Calls of an HTTP source per key, with and without batches: for gets of many missing keys, and for refreshes. */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Figure } from "./figures.ts";
import type { Bench } from "./measure.ts";
import { Client } from "./text-client.ts";

const KEYS = 4_800;
const KEYS_PER_GET = 24;
/** Each key is due a second before its TTL of 4 s ends. */
const TTL = "4s";
const SECONDS = 8;

/** The figures with batches, each with the same without batches in its note. */
export async function callsPerKey(bench: Bench): Promise<Figure[]> {
  const [alone, together] = [await measure(bench, false), await measure(bench, true)];
  const figure = (name: string, value: number, without: number, what: string): Figure => {
    const note = `${what}; without batches ${without.toFixed(2)}, goal: at most 1/${name.startsWith("refresh") ? 40 : 20} of that`;
    return { name, value, unit: "calls", goal: null, note };
  };
  const gets = `${KEYS} missing keys in gets of ${KEYS_PER_GET}`;
  const refreshes = `${KEYS} tracked keys with ttl ${TTL}, batches of at most 50`;
  return [
    figure("fills: calls of the source per key", together.fills, alone.fills, gets),
    figure("refreshes: calls of the source per key", together.refreshes, alone.refreshes, refreshes),
  ];
}

async function measure(bench: Bench, hasBatches: boolean): Promise<{ fills: number; refreshes: number }> {
  const origin = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url!, "http://origin");
    const ids = searchParams.get("ids")?.split(",") ?? [];
    const items = Object.fromEntries(ids.map((id) => [id, `value of ${id}`]));
    response.end(ids.length > 0 ? JSON.stringify(items) : `value of ${pathname.slice(1)}`);
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  const batch = hasBatches ? `[source.shop.batch]\nurl = "${url}/?ids={1}"\n` : "";
  // The servers keep the values of the other measurement.
  const prefix = hasBatches ? "batch" : "alone";
  const rest = `[get.shop]\nmatch = "${prefix}:(.*)"\nsource = "shop"\nttl = "${TTL}"\nfill_timeout = "10s"\n[source.shop]\ntype = "http"\nurl = "${url}/{1}"\n${batch}`;
  const platypus = await bench.competitors.platypus(hasBatches ? "batches" : "single calls", { rest });
  const client = await Client.open(platypus);
  const counts = async () => {
    const stats = await client.stats();
    const count = (name: string) => stats.get(name) ?? 0;
    return {
      calls: count("source:shop:fetches"),
      filled: count("rule:shop:filled"),
      refreshed: count("rule:shop:refreshed") + count("rule:shop:unchanged"),
    };
  };
  const getAll = async () => {
    for (let n = 0; n < KEYS; n += KEYS_PER_GET) {
      const keys = Array.from({ length: KEYS_PER_GET }, (_, i) => `${prefix}:${n + i}`);
      await client.ask(`get ${keys.join(" ")}\r\n`, "END\r\n");
    }
  };
  await getAll();
  const filled = await counts();
  await delay(SECONDS * 1_000);
  const after = await counts();
  client.close();
  await bench.group.stopPid(platypus.pid);
  origin.closeAllConnections();
  origin.close();
  return {
    fills: filled.calls / filled.filled,
    refreshes: (after.calls - filled.calls) / Math.max(1, after.refreshed - filled.refreshed),
  };
}
