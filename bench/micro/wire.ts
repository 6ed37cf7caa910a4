/**
 * Nanoseconds for parsing a request or a reply, with keys of about 20 bytes and values of 100 bytes. Prints one line
 * each.
 *
 *     node bench/micro/wire.ts
 */
import { Operation, Request } from "../../src/proxy/request.ts";
import { BackendParser } from "../../src/proxy/wire/backend-parser.ts";
import { ClassicParser } from "../../src/proxy/wire/classic-parser.ts";
import { OutputBatch } from "../../src/proxy/wire/output-batch.ts";

const COUNT = 2_000;
const ROUNDS = 50;
const owner = { onReply: () => {} };
const keys = Array.from({ length: COUNT }, (_, i) => `user:${i}:profile:v2`);
const value = "v".repeat(100);

/** Prints the best round, divided by the number of operations in a round. */
function report(name: string, each: () => void): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    each();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / COUNT);
  }
  process.stdout.write(`${best.toFixed(0).padStart(6)} ns  ${name}\n`);
}

function requests(name: string, lines: readonly string[]): void {
  const parser = new ClassicParser(() => ({ maxValueBytes: 2 ** 20, isFlushAllAllowed: false, prefix: "" }));
  const chunk = Buffer.from(lines.join(""), "latin1");
  report(name, () => {
    let at = 0;
    while (at < chunk.length) {
      parser.parse(owner, chunk, at, chunk.length, false);
      at = parser.next;
    }
  });
}

requests(
  "a get",
  keys.map((key) => `get ${key}\r\n`),
);
requests(
  "a set of 100 bytes",
  keys.map((key) => `set ${key} 0 0 100\r\n${value}\r\n`),
);
requests(
  "a get of 24 keys",
  keys.map((_, i) => `get ${Array.from({ length: 24 }, (_, k) => keys[(i + k) % COUNT]).join(" ")}\r\n`),
);

const parser = new BackendParser(2 ** 20, Buffer.alloc(0));
const asked = keys.map((key) => {
  const request = new Request(Operation.get, owner, Buffer.from(`get ${key}\r\n`, "latin1"));
  request.keyStart = 4;
  request.keyEnd = 4 + key.length;
  return request;
});
const replies = Buffer.from(keys.map((key) => `VALUE ${key} 0 100\r\n${value}\r\nEND\r\n`).join(""), "latin1");
report("a hit of 100 bytes", () => {
  let at = 0;
  for (const request of asked) at = parser.parse(request, replies, at, replies.length, false);
});
report("a hit put into a batch", () => {
  const batch = new OutputBatch();
  let at = 0;
  for (const request of asked) {
    const next = parser.parse(request, replies, at, replies.length, false);
    batch.copy(replies, at, next);
    at = next;
  }
  batch.clear();
});
