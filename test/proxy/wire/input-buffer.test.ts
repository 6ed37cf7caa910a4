import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BufferLease } from "../../../src/proxy/wire/buffer-lease.ts";
import { type FrameReader, InputBuffer } from "../../../src/proxy/wire/input-buffer.ts";
import { cutAt, cutFractions, placesOf } from "../../support/vectors/parts.ts";

/** Frames are a length in one byte and that many bytes; `knowsLength`: it says so once it has the first byte. */
class LengthReader implements FrameReader {
  wantedBytes = 0;
  readonly frames: string[] = [];
  /** Frames that were passed as bytes that are never overwritten, to be compared later. */
  readonly kept: Buffer[] = [];
  /** Stops reading before this many frames have been read, until it is raised. */
  limit = Number.POSITIVE_INFINITY;
  onFrame: (frame: string) => void = () => {};
  private readonly knowsLength: boolean;

  constructor(knowsLength: boolean) {
    this.knowsLength = knowsLength;
  }

  readFrames(chunk: Buffer, start: number, end: number, isKept: boolean): number {
    let at = start;
    this.wantedBytes = 0;
    while (at < end) {
      if (this.frames.length >= this.limit) return at;
      const length = chunk[at]! + 1;
      if (at + length > end) {
        if (this.knowsLength) this.wantedBytes = length;
        return at;
      }
      this.frames.push(chunk.toString("latin1", at + 1, at + length));
      if (isKept) this.kept.push(chunk.subarray(at + 1, at + length));
      at += length;
      this.onFrame(this.frames.at(-1)!);
    }
    return at;
  }
}

function frameOf(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text, "latin1")]);
}

/** Feeds each piece from a buffer that is overwritten afterwards. */
function feed(input: InputBuffer, reader: FrameReader, pieces: readonly Buffer[]): void {
  for (const piece of pieces) {
    const readBuffer = Buffer.concat([Buffer.from("junk"), piece]);
    input.feed(readBuffer, 4, readBuffer.length, reader);
    readBuffer.fill(0xff);
  }
}

const texts = fc.array(fc.string({ unit: fc.constantFrom("a", "\0", "\xff"), maxLength: 255 }), { maxLength: 12 });

describe("InputBuffer", () => {
  it("returns the same frames however they are cut, and keeps nothing after the last", () => {
    const property = (frames: string[], fractions: number[], knowsLength: boolean) => {
      const stream = Buffer.concat(frames.map(frameOf));
      for (const pieces of [
        cutAt(stream, placesOf(fractions, stream.length)),
        [...stream].map((byte) => Buffer.from([byte])),
      ]) {
        const [input, reader] = [new InputBuffer(), new LengthReader(knowsLength)];
        feed(input, reader, pieces);
        expect(reader.frames).toEqual(frames);
        expect(input.byteLength).toBe(0);
      }
    };
    fc.assert(fc.property(texts, cutFractions, fc.boolean(), property));
  });

  it("never overwrites the bytes that a reader keeps", () => {
    const property = (frames: string[], fractions: number[], knowsLength: boolean) => {
      const stream = Buffer.concat(frames.map(frameOf));
      const [input, reader] = [new InputBuffer(), new LengthReader(knowsLength)];
      const copies: Buffer[] = [];
      reader.onFrame = () => {
        while (copies.length < reader.kept.length) copies.push(Buffer.from(reader.kept[copies.length]!));
      };
      feed(input, reader, cutAt(stream, placesOf(fractions, stream.length)));
      expect(reader.kept).toEqual(copies);
    };
    fc.assert(fc.property(texts, cutFractions, fc.boolean(), property));
  });

  it("keeps the rest when reading is stopped, and continues from there", () => {
    const property = (frames: string[], fractions: number[], limits: number[]) => {
      const stream = Buffer.concat(frames.map(frameOf));
      const [input, reader] = [new InputBuffer(), new LengthReader(true)];
      reader.limit = 0;
      feed(input, reader, cutAt(stream, placesOf(fractions, stream.length)));
      expect(reader.frames).toEqual([]);
      expect(input.byteLength).toBe(stream.length);
      for (const step of limits) {
        reader.limit += step;
        input.resume(reader);
        expect(reader.frames).toEqual(frames.slice(0, reader.limit));
      }
      reader.limit = Number.POSITIVE_INFINITY;
      input.resume(reader);
      expect(reader.frames).toEqual(frames);
    };
    fc.assert(fc.property(texts, cutFractions, fc.array(fc.nat(4), { maxLength: 4 }), property));
  });

  it("drops the rest of the read too when the reader of a joined frame clears it", () => {
    const [input, reader] = [new InputBuffer(), new LengthReader(true)];
    reader.onFrame = () => input.clear();
    feed(input, reader, [frameOf("first").subarray(0, 3)]);
    feed(input, reader, [Buffer.concat([frameOf("first").subarray(3), frameOf("second"), frameOf("third")])]);
    expect(reader.frames).toEqual(["first"]);
    expect(input.byteLength).toBe(0);
    feed(input, reader, [frameOf("fourth")]);
    expect(reader.frames).toEqual(["first", "fourth"]);
  });

  it("allocates once for a frame whose length is known", () => {
    const input = new InputBuffer();
    const length = 1_000_000;
    const chunks: Buffer[] = [];
    const reader: FrameReader = {
      wantedBytes: length,
      readFrames: (chunk, start, end) => {
        if (end - start < length) return start;
        chunks.push(chunk);
        return end;
      },
    };
    const piece = Buffer.alloc(10_000, 0x61);
    for (let i = 0; i < length / piece.length; i++) input.feed(piece, 0, piece.length, reader);
    expect(chunks.map((chunk) => chunk.length)).toEqual([length]);
  });
});

/** Frames are a length in four bytes and that many bytes; what a frame holds is looked at while it is handled. */
class LargeReader implements FrameReader {
  wantedBytes = 0;
  readonly seen: { readonly text: string; readonly isKept: boolean }[] = [];
  onFrame: () => void = () => {};

  readFrames(chunk: Buffer, start: number, end: number, isKept: boolean): number {
    let at = start;
    this.wantedBytes = 0;
    while (at + 4 <= end) {
      const length = 4 + chunk.readUInt32BE(at);
      if (at + length > end) {
        this.wantedBytes = length;
        return at;
      }
      this.seen.push({ text: chunk.toString("latin1", at + 4, at + length), isKept });
      at += length;
      this.onFrame();
    }
    return at;
  }
}

function largeFrame(letter: string, bytes: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes);
  return Buffer.concat([head, Buffer.alloc(bytes, letter)]);
}

/** Feeds `stream` as a socket does that reads into `room` if there is one, in pieces of at most `pieceBytes` bytes. */
function pump(input: InputBuffer, reader: FrameReader, stream: Buffer, pieceBytes: number): number {
  const shared = Buffer.alloc(pieceBytes);
  let inPlace = 0;
  let at = 0;
  while (at < stream.length) {
    const room = input.room();
    const target = room ?? shared;
    const length = Math.min(target.length, pieceBytes, stream.length - at);
    stream.copy(target, 0, at, at + length);
    at += length;
    if (room !== null) inPlace += length;
    input.feed(target, 0, length, reader);
    shared.fill(0xff);
  }
  return inPlace;
}

describe("InputBuffer with leases", () => {
  it("returns large frames in place, between small ones, and marks them as lent", () => {
    const input = new InputBuffer(true);
    const reader = new LargeReader();
    const sizes = [10, 200_000, 20, 70_000, 0, 100_000, 30_000, 5];
    const frames = sizes.map((bytes, i) => largeFrame(String.fromCharCode(97 + i), bytes));
    for (const pieceBytes of [1_000, 16_384, 65_536, 100_000]) {
      reader.seen.length = 0;
      const inPlace = pump(input, reader, Buffer.concat(frames), pieceBytes);
      expect(reader.seen.map(({ text }) => text)).toEqual(frames.map((frame) => frame.toString("latin1", 4)));
      if (pieceBytes < 100_000) expect(inPlace).toBeGreaterThan(100_000);
      expect(input.byteLength).toBe(0);
    }
  });

  it("keeps the bytes while the lease is retained, and reuses them after its release", () => {
    const input = new InputBuffer(true);
    const reader = new LargeReader();
    const held: { readonly lease: BufferLease; readonly letter: number }[] = [];
    reader.onFrame = () => {
      const { lent } = input;
      if (lent === null) return;
      lent.retain();
      held.push({ lease: lent, letter: lent.buffer[4]! });
    };
    for (const letter of "abcd") pump(input, reader, largeFrame(letter, 50_000), 10_000);
    expect(held.map(({ letter }) => String.fromCharCode(letter)).join("")).toBe("abcd");
    for (const { lease, letter } of held) expect(lease.buffer[40_000]).toBe(letter);
    expect(new Set(held.map(({ lease }) => lease.buffer)).size).toBe(4);
    const buffers = held.map(({ lease }) => lease.buffer);
    for (const { lease } of held) lease.release();
    held.length = 0;
    pump(input, reader, largeFrame("e", 50_000), 10_000);
    expect(buffers).toContain(held[0]!.lease.buffer);
    held[0]!.lease.release();
  });

  it("gives away no memory that a socket may still read into after it is cleared", () => {
    const input = new InputBuffer(true);
    const reader = new LargeReader();
    input.feed(largeFrame("a", 60_000), 0, 1_000, reader);
    const room = input.room()!;
    input.clear();
    expect(input.room()).toBeNull();
    const others = Array.from({ length: 3 }, () => BufferLease.take(60_000));
    for (const { buffer } of others) expect(buffer.buffer).not.toBe(room.buffer);
    for (const other of others) other.release();
    expect(reader.seen).toEqual([]);
  });

  it("does not mark the data after a fault as lent", () => {
    const input = new InputBuffer(true);
    const reader = new LargeReader();
    reader.onFrame = () => {
      throw new Error("a fault");
    };
    expect(() => pump(input, reader, largeFrame("a", 60_000), 16_384)).toThrow("a fault");
    input.clear();
    const said: (BufferLease | null)[] = [];
    reader.onFrame = () => said.push(input.lent);
    const small = largeFrame("b", 100);
    input.feed(small, 0, small.length, reader);
    expect(said).toEqual([null]);
  });
});
