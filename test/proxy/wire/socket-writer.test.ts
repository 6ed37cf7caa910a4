import { once } from "node:events";
import net from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { SocketWriter } from "../../../src/proxy/wire/socket-writer.ts";
import { streamBinding } from "../../../src/proxy/wire/stream-binding.ts";

const MIB = 1024 * 1024;
const servers: net.Server[] = [];
const sockets: net.Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** A connected pair of sockets. */
async function pair(): Promise<{ near: net.Socket; far: net.Socket }> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const near = net.connect({ host: "127.0.0.1", port: (server.address() as net.AddressInfo).port });
  sockets.push(near);
  const [[far]] = (await Promise.all([once(server, "connection"), once(near, "connect")])) as [[net.Socket], unknown];
  sockets.push(far);
  return { near, far };
}

async function readAll(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The writer as it is where Node has no binding. */
async function writerWithoutBinding(): Promise<typeof SocketWriter> {
  vi.resetModules();
  vi.doMock("../../../src/proxy/wire/stream-binding.ts", () => ({ streamBinding: null }));
  const { SocketWriter: Writer } = await import("../../../src/proxy/wire/socket-writer.ts");
  vi.doUnmock("../../../src/proxy/wire/stream-binding.ts");
  return Writer;
}

describe("SocketWriter without the stream", () => {
  it("is available with this version of Node", async () => {
    expect(streamBinding).not.toBeNull();
    const { near, far } = await pair();
    const ofStream = vi.spyOn(near, "write");
    const written = vi.fn();
    new SocketWriter(near, () => {}).write(Buffer.from("all at once"), written);
    expect(written.mock.calls).toEqual([[]]);
    expect(ofStream).not.toHaveBeenCalled();
    near.end();
    expect((await readAll(far)).toString()).toBe("all at once");
  });

  it("counts the bytes that it has sent", async () => {
    const { near } = await pair();
    new SocketWriter(near, () => {}).write(Buffer.alloc(100));
    expect(near.bytesWritten).toBe(100);
  });
});

describe.each([
  { kind: "past the stream", load: () => Promise.resolve(SocketWriter) },
  { kind: "through the stream", load: writerWithoutBinding },
])("writes to a socket $kind", ({ load }) => {
  it("arrive in their order, and each is reported once, however slowly they are taken", async () => {
    const Writer = await load();
    const piece = fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 1, max: 300 }) },
      fc.integer({ min: 1, max: MIB }),
    );
    const write = fc.array(piece, { minLength: 1, maxLength: 3 });
    const step = fc.oneof(write, fc.constantFrom("read" as const, "turn" as const));
    const property = async (steps: (number[] | "read" | "turn")[]) => {
      const { near, far } = await pair();
      const read: Buffer[] = [];
      const reports: number[] = [];
      let drained = 0;
      const writer = new Writer(near, () => {
        expect(writer.unsentBytes).toBe(0);
        drained++;
      });
      const expected: Buffer[] = [];
      let mustDrain = false;
      for (const [at, sizes] of steps.entries()) {
        if (sizes === "turn") {
          await new Promise((resolve) => setImmediate(resolve));
        } else if (sizes === "read") {
          const chunk = far.read() as Buffer | null;
          if (chunk !== null) read.push(chunk);
        } else {
          const pieces = sizes.map((size) => Buffer.alloc(size, at));
          expected.push(...pieces);
          const report = (error?: Error | null) => {
            expect(error ?? null).toBeNull();
            reports.push(at);
          };
          if (pieces.length === 1) writer.write(pieces[0]!, report);
          else writer.writeAll(pieces, report);
          mustDrain ||= writer.unsentBytes > 0;
        }
      }
      near.end();
      read.push(await readAll(far));
      const [all, sent] = [Buffer.concat(read), Buffer.concat(expected)];
      expect(all.equals(sent)).toBe(true);
      expect(reports).toEqual(steps.flatMap((each, at) => (Array.isArray(each) ? [at] : [])));
      expect(writer.unsentBytes).toBe(0);
      if (mustDrain) expect(drained).toBeGreaterThan(0);
      near.destroy();
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), property), { numRuns: 60 });
  });

  it("wait if the kernel does not accept them, few or many, and their end is reported", async () => {
    const Writer = await load();
    // Two at once: what waits on one is not mistaken for what waits on the other.
    const all = await Promise.all(
      [1, 2].map(async () => {
        const { near, far } = await pair();
        const drained = Promise.withResolvers<void>();
        const writer = new Writer(near, () => drained.resolve());
        let bytes = 0;
        for (; writer.unsentBytes === 0; bytes += 1_000) writer.write(Buffer.alloc(1_000));
        expect(writer.unsentBytes).toBe(1_000);
        return { near, far, writer, drained, bytes };
      }),
    );
    const many = all[1]!;
    many.writer.write(Buffer.alloc(500));
    many.writer.write(Buffer.alloc(MIB));
    expect(many.writer.unsentBytes).toBe(1_500 + MIB);
    many.bytes += 500 + MIB;
    for (const { near, far, writer, drained, bytes } of all) {
      far.resume();
      await drained.promise;
      expect(writer.unsentBytes).toBe(0);
      expect(near.bytesWritten).toBe(bytes);
    }
  });

  it("destroy the socket with the system's error if the peer is gone", async () => {
    const Writer = await load();
    const { near, far } = await pair();
    near.on("end", () => {});
    far.resetAndDestroy();
    const writer = new Writer(near, () => {});
    const failed = once(near, "error");
    const reported = new Promise<Error | null | undefined>((resolve) => {
      const write = () => {
        writer.write(Buffer.alloc(100), (error) => (error ? resolve(error) : setImmediate(write)));
      };
      write();
    });
    const [error] = (await failed) as [NodeJS.ErrnoException];
    expect(["EPIPE", "ECONNRESET"]).toContain(error.code);
    expect(near.destroyed).toBe(true);
    expect(await reported).toBeInstanceOf(Error);
  });

  it("are reported as failed if they wait when the socket is closed, and nothing else happens", async () => {
    const Writer = await load();
    const { near } = await pair();
    const drained = vi.fn();
    const writer = new Writer(near, drained);
    const results: boolean[] = [];
    const reported = Promise.withResolvers<void>();
    while (writer.unsentBytes === 0) writer.write(Buffer.alloc(MIB), (error) => results.push(!error));
    writer.write(Buffer.alloc(100), (error) => {
      results.push(!error);
      reported.resolve();
    });
    near.destroy();
    await reported.promise;
    await once(near, "close");
    expect(results.slice(-2)).toEqual([false, false]);
    expect(results.filter((isSent) => !isSent).length).toBe(2);
    expect(drained).not.toHaveBeenCalled();
  });

  it("are refused by a socket that is closed", async () => {
    const Writer = await load();
    const { near } = await pair();
    near.destroy();
    const reported = Promise.withResolvers<unknown>();
    new Writer(near, () => {}).write(Buffer.alloc(100), reported.resolve);
    expect(await reported.promise).toBeInstanceOf(Error);
  });
});
