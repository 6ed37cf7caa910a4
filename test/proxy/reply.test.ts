import { describe, expect, it } from "vitest";
import { fixedReply, Reply, Status } from "../../src/proxy/reply.ts";
import { BufferLease } from "../../src/proxy/wire/buffer-lease.ts";

describe("a copy of a reply", () => {
  const text = "VALUE k 3 1\r\nx\r\nEND\r\n";

  function replyIn(chunk: Buffer): Reply {
    const reply = new Reply();
    chunk.write(`junk${text}`, "latin1");
    const start = 4;
    return Object.assign(reply, {
      status: Status.found,
      chunk,
      start,
      end: start + text.length,
      valueStart: start + 13,
      valueEnd: start + 14,
      flags: 3,
    });
  }

  const told = ({ chunk, start, end, valueStart, valueEnd }: Reply) => [
    chunk.toString("latin1", start, end),
    chunk.toString("latin1", valueStart, valueEnd),
  ];

  it("has its own bytes if the originals are overwritten or given back", () => {
    for (const lease of [null, BufferLease.take(100)]) {
      const reply = Object.assign(replyIn(lease?.buffer ?? Buffer.alloc(100)), { lease });
      const copy = reply.copy();
      reply.chunk.fill(0xff);
      expect([told(copy), copy.isKept, copy.lease, copy.flags]).toEqual([[text, "x"], true, null, 3]);
    }
  });

  it("is a separate object even if its bytes are shared, so the original can hold the next reply", () => {
    const reply = Object.assign(replyIn(Buffer.alloc(100)), { isKept: true });
    const copy = reply.copy();
    Object.assign(reply, fixedReply(Status.missing, "END"));
    expect([told(copy), copy.status]).toEqual([[text, "x"], Status.found]);
  });
});
