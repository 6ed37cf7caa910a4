/**
 * Reply → client bytes in the text protocol, classic and meta. A backend's reply is passed on unchanged. A failed
 * retrieval is answered as a miss: all clients understand a miss, but an error in the middle of a batch puts some
 * clients out of step permanently.
 */
import { gatheredReply, isFailure, MetaCode, missReply, Reply, Status } from "../reply.ts";
import { isRetrieval, type KeyList, Operation, type Request } from "../request.ts";
import { copyBytes } from "./ascii.ts";
import { binaryAnswer } from "./binary-writer.ts";
import { metaMiss } from "./meta-line.ts";
import type { OutputBatch } from "./output-batch.ts";

export const END_BYTES = gatheredReply.end;

/** Placeholder for a withheld reply. */
const nothing = new Reply();
nothing.isKept = true;

/** The reply to the client, or its replacement. `null` for the gathered blocks in `request.keys`, followed by END. */
export function answerTo(request: Request, reply: Reply): Reply | null {
  if (request.binary !== null) return binaryAnswer(request, request.binary, reply) ?? nothing;
  if (request.answerInstead !== null) return request.answerInstead;
  if (reply === gatheredReply) return null;
  const answer = isHiddenFailure(reply) || reply.status === Status.missing ? missOf(request, reply) : reply;
  return request.isQuiet && isUsual(request, answer) ? nothing : answer;
}

/** True for failures that a get shows as a miss. A CLIENT_ERROR describes a mistake in the request, so it is shown. */
function isHiddenFailure(reply: Reply): boolean {
  return isFailure(reply.status) && reply.status !== Status.clientError;
}

function missOf(request: Request, reply: Reply): Reply {
  if (request.operation === Operation.metaGet) return metaMiss(request);
  return isRetrieval(request.operation) && reply.status !== Status.missing ? missReply : reply;
}

/** True for the reply that a quiet meta command withholds: a miss of `mg`, success of other commands. */
function isUsual(request: Request, answer: Reply): boolean {
  if (answer.status !== Status.meta) return false;
  if (request.operation === Operation.metaGet) return answer.code === MetaCode.EN;
  return answer.code === MetaCode.HD || answer.code === MetaCode.VA;
}

/** Appends the reply to `request`. Copies bytes that are only valid during the call. */
export function writeReply(request: Request, reply: Reply, batch: OutputBatch): void {
  const answer = answerTo(request, reply);
  if (answer === null) {
    writeBlocks(request.keys!, batch);
    batch.copy(gatheredReply.chunk, 0, gatheredReply.end);
  } else {
    writeBytes(answer, answer.start, answer.end, batch);
  }
}

/** Appends `[start, end)` of the reply's chunk. Copies bytes that are only valid during the call. */
export function writeBytes({ chunk, isKept, lease }: Reply, start: number, end: number, batch: OutputBatch): void {
  if (isKept) batch.reference(chunk, start, end);
  else if (lease !== null) batch.lend(lease, chunk, start, end);
  else batch.copy(chunk, start, end);
}

/** The gathered blocks in a new buffer. */
export function joinBlocks(keys: KeyList): Buffer {
  const joined = Buffer.allocUnsafe(blocksBytes(keys));
  copyBlocks(keys, joined, 0);
  return joined;
}

/** Appends the blocks in the order of the keys. */
export function writeBlocks(keys: KeyList, batch: OutputBatch): void {
  const { blocks, blockStarts, blockEnds } = keys;
  batch.reserve(blocksBytes(keys) + END_BYTES);
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i];
    if (block === null || block === undefined) continue;
    const start = blockStarts[i]!;
    i = lastOfRun(keys, i);
    batch.copy(block, start, blockEnds[i]!);
  }
}

/** Copies the blocks in the order of the keys to `target` at `at`. Returns the end in `target`. */
export function copyBlocks(keys: KeyList, target: Buffer, at: number): number {
  const { blocks, blockStarts, blockEnds } = keys;
  let end = at;
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i];
    if (block === null || block === undefined) continue;
    const start = blockStarts[i]!;
    i = lastOfRun(keys, i);
    end = copyBytes(block, start, blockEnds[i]!, target, end);
  }
  return end;
}

/** Size of the blocks. */
export function blocksBytes({ blocks, blockStarts, blockEnds }: KeyList): number {
  let bytes = 0;
  for (let i = 0; i < blocks.length; i++) if (blocks[i] !== null) bytes += blockEnds[i]! - blockStarts[i]!;
  return bytes;
}

/** Index of the last block that follows block `i` in the same buffer without a gap: they can be copied at once. */
function lastOfRun({ blocks, blockStarts, blockEnds }: KeyList, i: number): number {
  let last = i;
  while (last + 1 < blocks.length && blocks[last + 1] === blocks[i] && blockStarts[last + 1] === blockEnds[last])
    last++;
  return last;
}
