/**
 * Reply → client bytes in the text protocol, classic and meta. What a backend said is passed on as it is. A
 * retrieval that failed is answered as a miss: every client understands one, and an error in the middle of a batch puts
 * some of them out of step for good.
 */
import { gatheredReply, isFailure, MetaCode, missReply, Reply, Status } from "../reply.ts";
import { isRetrieval, type KeyList, Operation, type Request } from "../request.ts";
import { binaryAnswer } from "./binary-writer.ts";
import { metaMiss } from "./meta-line.ts";
import { OutputBatch } from "./output-batch.ts";

export const END_BYTES = gatheredReply.end;

/** What stands for an answer that is withheld. */
const nothing = new Reply();
nothing.isKept = true;

/**
 * What the client is told: the reply, or what stands in its place. Null: the blocks gathered in `request.keys`, then END.
 */
export function answerTo(request: Request, reply: Reply): Reply | null {
  if (request.binary !== null) return binaryAnswer(request, request.binary, reply) ?? nothing;
  if (request.answerInstead !== null) return request.answerInstead;
  if (reply === gatheredReply) return null;
  const answer = isHiddenFailure(reply) || reply.status === Status.missing ? missOf(request, reply) : reply;
  return request.isQuiet && isUsual(request, answer) ? nothing : answer;
}

/** True for what a get answers as a miss. A CLIENT_ERROR says what is wrong with the request itself. */
function isHiddenFailure(reply: Reply): boolean {
  return isFailure(reply.status) && reply.status !== Status.clientError;
}

function missOf(request: Request, reply: Reply): Reply {
  if (request.operation === Operation.metaGet) return metaMiss(request);
  return isRetrieval(request.operation) && reply.status !== Status.missing ? missReply : reply;
}

/** True for the answer that a quiet meta command withholds: a miss of `mg`, success of the others. */
function isUsual(request: Request, answer: Reply): boolean {
  if (answer.status !== Status.meta) return false;
  if (request.operation === Operation.metaGet) return answer.code === MetaCode.EN;
  return answer.code === MetaCode.HD || answer.code === MetaCode.VA;
}

/** Appends the answer to `request`. Copies what does not outlive this call. */
export function writeReply(request: Request, reply: Reply, batch: OutputBatch): void {
  const answer = answerTo(request, reply);
  if (answer === null) {
    writeBlocks(request.keys!, batch);
    batch.copy(gatheredReply.chunk, 0, gatheredReply.end);
  } else {
    writeBytes(answer, answer.start, answer.end, batch);
  }
}

/** Appends `[start, end)` of the reply's chunk. Copies what does not outlive this call. */
export function writeBytes({ chunk, isKept, lease }: Reply, start: number, end: number, batch: OutputBatch): void {
  if (isKept) batch.reference(chunk, start, end);
  else if (lease !== null) batch.lend(lease, chunk, start, end);
  else batch.copy(chunk, start, end);
}

/** The gathered blocks, with the END line if `hasEnd`, as one buffer of its own. */
export function joinBlocks(keys: KeyList, hasEnd: boolean): Buffer {
  const batch = new OutputBatch();
  writeBlocks(keys, batch);
  if (hasEnd) batch.copy(gatheredReply.chunk, 0, gatheredReply.end);
  return batch.take();
}

/** The blocks in the order of the keys; neighbours in one buffer go in one piece. */
export function writeBlocks(keys: KeyList, batch: OutputBatch): void {
  const { blocks, blockStarts, blockEnds } = keys;
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i];
    if (block === null || block === undefined) continue;
    const start = blockStarts[i]!;
    let stop = blockEnds[i]!;
    while (i + 1 < blocks.length && blocks[i + 1] === block && blockStarts[i + 1] === stop) stop = blockEnds[++i]!;
    batch.copy(block, start, stop);
  }
}
