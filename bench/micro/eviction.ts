/**
 * Nanoseconds of a write to a full cache, which evicts an entry. Prints one line each.
 *
 *     node bench/micro/eviction.ts
 */
import { ExpiringMap } from "../../src/expiring-map.ts";
import { ItemStore } from "../../src/proxy/store/item-store.ts";
import { PickUp } from "../../src/refresh/pick-up.ts";

const WRITES = 1_000_000;
const ENTRIES = 100_000;
const VALUE_BYTES = 100;

const names = Array.from({ length: WRITES }, (_, i) => `user:${i}:profile`);

function report(name: string, write: (index: number) => void): void {
  for (let i = 0; i < WRITES / 2; i++) write(i);
  const start = process.hrtime.bigint();
  for (let i = WRITES / 2; i < WRITES; i++) write(i);
  const nanos = Number(process.hrtime.bigint() - start) / (WRITES / 2);
  process.stdout.write(`${nanos.toFixed(0).padStart(6)} ns  ${name}\n`);
}

const map = new ExpiringMap<true>(ENTRIES, ENTRIES);
report(`a map of ${ENTRIES} entries`, (i) => map.set(names[i]!, true, 1, 1));

const value = Buffer.alloc(VALUE_BYTES);
const store = new ItemStore(ENTRIES * (VALUE_BYTES + 80), 1 << 20, () => 1);
report(`an embedded store of about ${ENTRIES} items, one in two writes after a get`, (i) => {
  if (i % 2 === 0) store.get(names[Math.max(0, i - ENTRIES / 2)]!);
  store.store("set", names[i]!, value, 0, 0);
});

const pickUp = new PickUp(1, 100);
report("a key whose TTL was read", (i) => pickUp.rest(i, 1));
