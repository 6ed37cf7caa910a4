/**
 * Reply → binary response. Servers reply in text, classic or meta; the binary response is built from that.
 *
 * Source: memcached protocol_binary.h; statuses follow memcached 1.6 (proto_bin.c).
 */
import { isFailure, MetaCode, type Reply, Status } from "../reply.ts";
import { type BinaryHeader, Operation, type Request } from "../request.ts";
import { SPACE } from "./ascii.ts";
import { BinaryStatus, binaryError, binaryFrame, binaryReply, Opcode } from "./binary-protocol.ts";
import { returnedToken } from "./meta-line.ts";

const MAX_FLAGS = 0xffffffffn;

/** The response to a binary request. `null` if it is withheld. */
export function binaryAnswer(request: Request, header: BinaryHeader, reply: Reply): Reply | null {
  if (request.answerInstead !== null) return request.answerInstead;
  switch (request.operation) {
    case Operation.gets:
    case Operation.gats:
    case Operation.metaGet:
      return retrieved(request, header, reply);
    case Operation.metaArithmetic:
      return counted(header, reply);
    case Operation.local:
      return local(header, reply);
    default:
      return written(header, reply);
  }
}

function retrieved(request: Request, header: BinaryHeader, reply: Reply): Reply | null {
  const key = header.hasKey ? request.chunk.subarray(request.keyStart, request.keyEnd) : undefined;
  const isHit = reply.status === Status.found || (reply.status === Status.meta && reply.code !== MetaCode.EN);
  if (!isHit) {
    // A failed get is a miss too, and a quiet miss has no response.
    if (header.isQuiet) return null;
    if (key === undefined) return binaryError(header, BinaryStatus.notFound);
    return binaryReply(binaryFrame(header, BinaryStatus.notFound, { key }));
  }
  const isMeta = reply.status === Status.meta;
  const extras = Buffer.alloc(4);
  extras.writeUInt32BE(isMeta ? Number(unsigned(returnedToken(reply, "f")) & MAX_FLAGS) : reply.flags >>> 0);
  const cas = isMeta ? unsigned(returnedToken(reply, "c")) : casOf(reply);
  const hasValue = header.opcode !== Opcode.touch;
  const value = hasValue ? reply.chunk.subarray(reply.valueStart, reply.valueEnd) : undefined;
  return binaryReply(
    binaryFrame(header, BinaryStatus.ok, { extras, cas, ...(key && { key }), ...(value && { value }) }),
  );
}

function counted(header: BinaryHeader, reply: Reply): Reply | null {
  if (reply.status !== Status.meta || reply.code !== MetaCode.VA) return written(header, reply);
  if (header.isQuiet) return null;
  const value = Buffer.alloc(8);
  value.writeBigUInt64BE(unsigned(reply.chunk.toString("latin1", reply.valueStart, reply.valueEnd).trimEnd()));
  return binaryReply(binaryFrame(header, BinaryStatus.ok, { value, cas: unsigned(returnedToken(reply, "c")) }));
}

function written(header: BinaryHeader, reply: Reply): Reply | null {
  if (isFailure(reply.status)) return failed(header, reply);
  if (reply.status !== Status.meta || reply.code === MetaCode.HD) {
    if (header.isQuiet) return null;
    const cas = reply.status === Status.meta ? unsigned(returnedToken(reply, "c")) : 0n;
    return binaryReply(binaryFrame(header, BinaryStatus.ok, { cas }));
  }
  switch (reply.code) {
    case MetaCode.EX:
      return binaryError(header, BinaryStatus.exists);
    case MetaCode.NF:
      return binaryError(header, BinaryStatus.notFound);
    default:
      return binaryError(header, notStored(header.opcode));
  }
}

function notStored(opcode: number): BinaryStatus {
  switch (opcode) {
    case Opcode.add:
    case Opcode.addQ:
      return BinaryStatus.exists;
    case Opcode.replace:
    case Opcode.replaceQ:
      return BinaryStatus.notFound;
    default:
      return BinaryStatus.notStored;
  }
}

function failed(header: BinaryHeader, reply: Reply): Reply {
  const text = reply.chunk.toString("latin1", reply.start, reply.end - 2);
  if (text.includes("non-numeric")) return binaryError(header, BinaryStatus.notNumber);
  if (text.includes("too large")) return binaryError(header, BinaryStatus.tooLarge);
  if (text.includes("out of memory")) return binaryError(header, BinaryStatus.outOfMemory);
  if (reply.status === Status.clientError) return binaryError(header, BinaryStatus.invalid);
  return binaryError(header, BinaryStatus.temporaryFailure, text.replace("SERVER_ERROR ", ""));
}

/** The responses of `version` and `stats`, from their text form. */
function local(header: BinaryHeader, reply: Reply): Reply {
  const text = reply.chunk.toString("latin1", reply.start, reply.end - 2);
  if (header.opcode === Opcode.version) {
    const value = Buffer.from(text.slice("VERSION ".length), "latin1");
    return binaryReply(binaryFrame(header, BinaryStatus.ok, { value }));
  }
  if (header.opcode !== Opcode.stat) return reply;
  if (reply.status === Status.clientError) return binaryError(header, BinaryStatus.notFound);
  const frames = text.split("\r\n").flatMap((line) => {
    const [, name, value] = /^STAT (\S+) (.*)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const parts = { key: Buffer.from(name, "latin1"), value: Buffer.from(value!, "latin1") };
    return [binaryFrame(header, BinaryStatus.ok, parts)];
  });
  return binaryReply(Buffer.concat([...frames, binaryFrame(header, BinaryStatus.ok)]));
}

/** The last number of a VALUE line of `gets`, before the CRLF that precedes the value. */
function casOf(reply: Reply): bigint {
  const end = reply.valueStart - 2;
  let start = end;
  while (start > reply.start && reply.chunk[start - 1] !== SPACE) start--;
  return unsigned(reply.chunk.toString("latin1", start, end));
}

/** A 64-bit number. 0 for invalid text, so that the client always gets a response. */
function unsigned(text: string | null): bigint {
  return text !== null && /^\d+$/.test(text) ? BigInt.asUintN(64, BigInt(text)) : 0n;
}
