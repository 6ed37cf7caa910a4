/**
 * A leaf of a routing tree that does with requests and answers what a backend connection does: what goes out is what a server
 * would be sent, the request is left with a copy of its key alone, and answers are read by the parser of a connection out of
 * bytes that are overwritten as soon as they were handled. So routes that keep what they may not keep are found out.
 */
import type { Reply } from "../../../src/proxy/reply.ts";
import { isMeta, type Request } from "../../../src/proxy/request.ts";
import type { Root } from "../../../src/proxy/route/route.ts";
import { BackendParser } from "../../../src/proxy/wire/backend-parser.ts";
import { writeRequest } from "../../../src/proxy/wire/backend-writer.ts";
import { BufferLease } from "../../../src/proxy/wire/buffer-lease.ts";
import { OutputBatch } from "../../../src/proxy/wire/output-batch.ts";
import { ServerDialect } from "../../../src/proxy/wire/server-dialect.ts";

const NO_PREFIX = Buffer.alloc(0);
const MAX_REPLY_BYTES = 64 * 1024 * 1024;

/** Answers at once where it has a script, else when it is told to. */
export class LeafRoute implements Root {
  readonly name: string;
  readonly requests: Request[] = [];
  /** What a server would have been sent for each. */
  readonly sent: string[] = [];
  /** The reply to each request, given at once; a failure stands for a reply of the connection itself. `null` if the test replies. */
  script: ((sent: string) => string | Reply) | null = null;
  private readonly parser = new BackendParser(MAX_REPLY_BYTES, NO_PREFIX);

  constructor(name = "leaf") {
    this.name = name;
  }

  route(request: Request): void {
    const batch = new OutputBatch();
    writeRequest(request, NO_PREFIX, batch, new ServerDialect());
    const sent = batch.take().toString("latin1");
    if (!request.isKept && request.indexes === null) keepKey(request);
    this.requests.push(request);
    this.sent.push(sent);
    if (this.script !== null) this.answer(this.requests.length - 1, this.script(sent));
  }

  forEachTarget(): void {}

  broadcast(request: Request): void {
    this.route(request);
  }

  /** Answers request `index`, with what a server says or with a failure. `isLarge`: in a buffer that is lent. */
  answer(index: number, answer: string | Reply, isLarge = false): void {
    const request = this.requests[index]!;
    if (typeof answer !== "string") {
      request.complete(answer);
      return;
    }
    const text = `junk${answer}junk`;
    const lease = isLarge ? BufferLease.take(text.length) : null;
    const chunk = lease === null ? Buffer.alloc(text.length) : lease.buffer;
    chunk.write(text, "latin1");
    const end = text.length - 4;
    const { reply } = this.parser;
    const next = this.parser.parse(request, chunk, 4, end, false);
    if (next !== end) throw new Error(`no answer to ${JSON.stringify(this.sent[index])}: ${JSON.stringify(answer)}`);
    reply.lease = lease;
    request.complete(reply);
    if (lease === null) chunk.fill(0xff);
    else lease.release();
    // The next answer on the same connection.
    Object.assign(reply, { status: 0, start: 0, end: 0, valueStart: 0, valueEnd: 0, chunk: NO_PREFIX, lease: null });
  }
}

/** What a connection does (`keepKey`): the bytes that the request came in are gone from here on. */
function keepKey(request: Request): void {
  const isLine = isMeta(request.operation);
  const start = isLine ? request.frameStart : request.keyStart;
  const end = isLine ? request.frameEnd : request.keyEnd;
  request.chunk = Buffer.from(request.chunk.subarray(start, end));
  request.keyStart -= start;
  request.keyEnd -= start;
  if (isLine) {
    request.frameStart = 0;
    request.lineEnd -= start;
    request.dataStart -= start;
    request.frameEnd = end - start;
  } else {
    request.forgetFrame();
  }
}
