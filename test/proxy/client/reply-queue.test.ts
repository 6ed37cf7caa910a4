import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReplyQueue } from "../../../src/proxy/client/reply-queue.ts";
import { Reply, Status } from "../../../src/proxy/reply.ts";
import { Operation, Request } from "../../../src/proxy/request.ts";
import { BufferLease } from "../../../src/proxy/wire/buffer-lease.ts";
import { writeReply } from "../../../src/proxy/wire/classic-writer.ts";
import { OutputBatch } from "../../../src/proxy/wire/output-batch.ts";

const EMPTY = Buffer.alloc(0);

function request(): Request {
  return new Request(Operation.set, { onReply: () => {} }, EMPTY);
}

type Bytes = "kept" | "borrowed" | "leased";
const bytesOf = fc.constantFrom<Bytes>("kept", "borrowed", "leased");

/** Answers as a client's connection does; what a reply only borrows is overwritten when the call has returned. */
function answer(queue: ReplyQueue, batch: OutputBatch, asked: Request, text: string, bytes: Bytes): void {
  const reply = new Reply();
  const lease = bytes === "leased" ? BufferLease.take(Math.max(1, text.length)) : null;
  reply.status = Status.stored;
  reply.chunk = lease?.buffer ?? Buffer.alloc(text.length);
  reply.end = reply.chunk.write(text);
  reply.lease = lease;
  reply.isKept = bytes === "kept";
  if (asked === queue.head) {
    writeReply(asked, reply, batch);
    queue.shift(asked, batch);
  } else {
    expect(queue.hold(asked, reply)).toBe(text.length);
  }
  if (bytes === "borrowed") reply.chunk.fill(0xff);
  lease?.release();
}

const answersOf = fc.array(
  fc.record({ bytes: fc.oneof(fc.nat(30), fc.nat(20_000)), kind: bytesOf, turn: fc.double({ noNaN: true }) }),
  { maxLength: 12 },
);

describe("ReplyQueue", () => {
  it("writes the replies in the order of the requests, whatever order they arrive in", () => {
    fc.assert(
      fc.property(fc.array(answersOf, { maxLength: 3 }), (rounds) => {
        const queue = new ReplyQueue();
        for (const answers of rounds) {
          const batch = new OutputBatch();
          const asked = answers.map(({ bytes, kind, turn }, i) => {
            return { request: request(), text: `${i}:`.padEnd(bytes, "abcdef"), kind, turn };
          });
          for (const each of asked) queue.append(each.request);
          for (const each of asked.toSorted((a, b) => a.turn - b.turn)) {
            answer(queue, batch, each.request, each.text, each.kind);
          }
          expect(batch.take().toString()).toBe(asked.map(({ text }) => text).join(""));
          expect([queue.head, queue.heldBytes]).toEqual([null, 0]);
        }
      }),
    );
  });

  it("counts the bytes that it holds, and writes none of them before their turn", () => {
    const queue = new ReplyQueue();
    const batch = new OutputBatch();
    const asked = [request(), request(), request()];
    for (const each of asked) queue.append(each);
    answer(queue, batch, asked[2]!, "third", "borrowed");
    answer(queue, batch, asked[1]!, "second", "kept");
    expect([queue.heldBytes, batch.byteLength]).toEqual([11, 0]);
    answer(queue, batch, asked[0]!, "first", "borrowed");
    expect([queue.heldBytes, batch.take().toString()]).toEqual([0, "firstsecondthird"]);
  });

  it("has no head after it is cleared, and accepts requests again", () => {
    const queue = new ReplyQueue();
    queue.append(request());
    queue.append(request());
    queue.clear();
    expect(queue.head).toBe(null);
    const next = request();
    queue.append(next);
    expect(queue.head).toBe(next);
  });
});
