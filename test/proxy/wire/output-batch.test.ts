import { once } from "node:events";
import net from "node:net";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { BufferLease } from "../../../src/proxy/wire/buffer-lease.ts";
import { OutputBatch } from "../../../src/proxy/wire/output-batch.ts";
import { SocketWriter } from "../../../src/proxy/wire/socket-writer.ts";

type Step =
  | { readonly kind: "copy"; readonly text: string }
  | { readonly kind: "reference"; readonly text: string }
  | { readonly kind: "byte"; readonly number: number }
  | { readonly kind: "decimal"; readonly number: number };

const length = fc.oneof(fc.nat(100), fc.nat(40_000), fc.constantFrom(0, 8_191, 8_192, 16_384, 16_385));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc
    .tuple(fc.constantFrom("copy" as const, "reference" as const), length, fc.nat(25))
    .map(([kind, size, letter]): Step => ({ kind, text: String.fromCharCode(97 + letter).repeat(size) })),
  fc.record({ kind: fc.constant("byte" as const), number: fc.nat(255) }),
  fc.record({ kind: fc.constant("decimal" as const), number: fc.maxSafeNat() }),
);

/** Carries out the steps; what is only copied is overwritten at once. Returns what the batch should hold. */
function carryOut(batch: OutputBatch, steps: readonly Step[]): string {
  let expected = "";
  for (const each of steps) {
    if (each.kind === "byte") {
      batch.byte(each.number);
      expected += String.fromCharCode(each.number);
    } else if (each.kind === "decimal") {
      batch.decimal(each.number);
      expected += String(each.number);
    } else {
      const source = Buffer.from(`<${each.text}>`, "latin1");
      if (each.kind === "copy") batch.copy(source, 1, source.length - 1);
      else batch.reference(source, 1, source.length - 1);
      if (each.kind === "copy") source.fill(0xff);
      expected += each.text;
    }
  }
  return expected;
}

/** A connected pair of sockets; what arrives at the far end is kept. */
async function pair() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = net.connect({ host: "127.0.0.1", port: (server.address() as net.AddressInfo).port });
  const [far] = (await once(server, "connection")) as [net.Socket];
  if (near.connecting) await once(near, "connect");
  const chunks: Buffer[] = [];
  far.on("data", (chunk) => chunks.push(chunk));
  return {
    near,
    writer: new SocketWriter(near, () => {}),
    far,
    end: async () => {
      near.end();
      await once(far, "end");
      server.close();
      far.destroy();
      return Buffer.concat(chunks).toString("latin1");
    },
  };
}

describe("OutputBatch", () => {
  it("holds the appended bytes in order, and is empty after they are taken", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const batch = new OutputBatch();
        for (let round = 0; round < 2; round++) {
          const expected = carryOut(batch, steps);
          expect(batch.byteLength).toBe(expected.length);
          expect(batch.take().toString("latin1") === expected).toBe(true);
          expect(batch.byteLength).toBe(0);
        }
      }),
    );
  });

  it("drops the appended bytes when it is cleared", () => {
    const batch = new OutputBatch();
    carryOut(batch, [{ kind: "copy", text: "a".repeat(20_000) }]);
    batch.clear();
    const expected = carryOut(batch, [{ kind: "copy", text: "b" }]);
    expect(batch.take().toString("latin1")).toBe(expected);
  });

  it("sends everything through a socket, whatever other batches do with the blocks meanwhile", async () => {
    const rounds = fc.sample(fc.array(step, { maxLength: 20 }), { numRuns: 60, seed: 7 });
    const { writer, end } = await pair();
    const [batch, other] = [new OutputBatch(), new OutputBatch()];
    let expected = "";
    for (const steps of rounds) {
      expected += carryOut(batch, steps);
      batch.flush(writer);
      expect(batch.byteLength).toBe(0);
      // Takes the blocks that are free again and writes over them.
      carryOut(other, steps);
      other.copy(Buffer.alloc(16 * 1024, 0xff), 0, 16 * 1024);
      other.take();
    }
    expect((await end()) === expected).toBe(true);
  });

  it("leaves its blocks to a socket that does not accept them at once", async () => {
    const { writer, far, end } = await pair();
    far.pause();
    const [batch, other] = [new OutputBatch(), new OutputBatch()];
    let expected = "";
    for (let i = 0; i < 2_000; i++) {
      expected += carryOut(batch, [{ kind: "copy", text: String(i).padEnd(6_000, "x") }]);
      batch.flush(writer);
      other.copy(Buffer.alloc(16 * 1024, 0xff), 0, 16 * 1024);
      other.take();
    }
    expect(writer.unsentBytes).toBeGreaterThan(0);
    far.resume();
    expect((await end()) === expected).toBe(true);
  });

  it.each([
    [24, 1_040, 1],
    [60, 1_040, 1],
    [3, 15_000, 1],
    [70, 1_040, 2],
  ])(
    "passes %i values of %i bytes to the socket in %i pieces: one write costs less than a writev",
    (count, bytes, pieces) => {
      const passed: Buffer[] = [];
      const writer = {
        unsentBytes: 0,
        write: (piece: Buffer) => passed.push(Buffer.from(piece)),
        writeAll: (all: readonly Buffer[]) => passed.push(...all.map((piece) => Buffer.from(piece))),
      } as unknown as SocketWriter;
      const batch = new OutputBatch();
      const expected: Buffer[] = [];
      for (let i = 0; i < count; i++) {
        const value = Buffer.alloc(bytes, i);
        expected.push(Buffer.from(value));
        batch.copy(value, 0, bytes);
        value.fill(0xff);
      }
      batch.flush(writer);
      expect(passed).toHaveLength(pieces);
      expect(Buffer.concat(passed).equals(Buffer.concat(expected))).toBe(true);
    },
  );

  it("never shares memory with a lease that it has released, whatever their sizes", () => {
    const writer = { unsentBytes: 0, write: written, writeAll: written } as unknown as SocketWriter;
    function written(_bytes: unknown, release?: (error: null) => void): void {
      release?.(null);
    }
    const property = (sizes: readonly number[][], leased: number) => {
      for (const copies of sizes) {
        const batch = new OutputBatch();
        for (const bytes of copies) batch.copy(Buffer.alloc(bytes), 0, bytes);
        batch.flush(writer);
      }
      const [one, other] = [new OutputBatch(), new OutputBatch()];
      const lease = BufferLease.take(leased);
      lease.buffer.fill("l");
      for (let i = 0; i < 60; i++) {
        one.copy(Buffer.alloc(1_000, "a"), 0, 1_000);
        other.copy(Buffer.alloc(1_000, "b"), 0, 1_000);
      }
      expect(one.take().equals(Buffer.alloc(60_000, "a"))).toBe(true);
      expect(other.take().equals(Buffer.alloc(60_000, "b"))).toBe(true);
      expect(lease.buffer.every((byte) => byte === "l".charCodeAt(0))).toBe(true);
      lease.release();
    };
    const size = fc.oneof(fc.nat(2_000), fc.nat(70_000), fc.constantFrom(16_385, 32_769, 40_000, 65_536));
    const some = fc.array(fc.array(size, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 });
    fc.assert(fc.property(some, fc.integer({ min: 16_385, max: 70_000 }), property), { numRuns: 200 });
  });

  it("writes nothing if it is empty", async () => {
    const { near, writer, end } = await pair();
    new OutputBatch().flush(writer);
    expect(near.bytesWritten).toBe(0);
    expect(await end()).toBe("");
  });

  it("holds lent memory until the socket has written it, however slow the reader", async () => {
    const { writer, far, end } = await pair();
    far.pause();
    const batch = new OutputBatch();
    const lease = BufferLease.take(1_000_000);
    lease.buffer.fill("v");
    let expected = "";
    for (let i = 0; i < 8; i++) {
      batch.copy(Buffer.from(`<${i}>`), 0, 3);
      batch.lend(lease, lease.buffer, 0, 1_000_000);
      expected += `<${i}>${"v".repeat(1_000_000)}`;
    }
    batch.flush(writer);
    lease.release();
    expect(writer.unsentBytes).toBeGreaterThan(0);
    const other = BufferLease.take(1_000_000);
    expect(other.buffer).not.toBe(lease.buffer);
    other.buffer.fill("w");
    far.resume();
    expect((await end()) === expected).toBe(true);
    const next = BufferLease.take(1_000_000);
    expect(next.buffer).toBe(lease.buffer);
    next.release();
    other.release();
  });

  it("releases lent memory when it is dropped", () => {
    const batch = new OutputBatch();
    const lease = BufferLease.take(300_000);
    batch.lend(lease, lease.buffer, 0, 300_000);
    lease.release();
    batch.clear();
    const next = BufferLease.take(300_000);
    expect(next.buffer).toBe(lease.buffer);
    next.release();
  });

  it("reports a lease that was already released when it is dropped, and releases the others", () => {
    const batch = new OutputBatch();
    const [lost, lease] = [BufferLease.take(300_000), BufferLease.take(300_000)];
    for (const each of [lost, lease]) batch.lend(each, each.buffer, 0, 300_000);
    for (const each of [lost, lost, lease]) each.release();
    expect(batch.clear()).toEqual(new Error("a buffer lease was released too often"));
    expect(batch.clear()).toBeNull();
    const next = BufferLease.take(300_000);
    expect(next.buffer).toBe(lease.buffer);
    next.release();
  });
});

describe("the blocks of output batches", () => {
  /** One turn in which each client gets a reply of this size. Returns the number of new blocks. */
  const turn = (clients: number, bytes: number): number => {
    const allocate = vi.spyOn(Buffer, "allocUnsafeSlow");
    const reply = Buffer.alloc(bytes, "v");
    const batches = Array.from({ length: clients }, () => new OutputBatch());
    for (const batch of batches) batch.copy(reply, 0, bytes);
    for (const batch of batches) batch.clear();
    const count = allocate.mock.calls.length;
    allocate.mockRestore();
    return count;
  };

  it.each([
    [4000, 100],
    [4000, 1060],
    [1000, 5000],
    [400, 17_000],
  ])("of %i clients with replies of %i bytes are used again in the next turn", (clients, bytes) => {
    turn(clients, bytes);
    expect(turn(clients, bytes)).toBe(0);
  });

  it("of one size find room after a burst of another size", () => {
    turn(400, 60_000);
    turn(1000, 1060);
    expect(turn(1000, 1060)).toBe(0);
  });
});
