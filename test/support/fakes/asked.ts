/** Requests as clients make them, and what they are answered. */

import { type Reply, Status } from "../../../src/proxy/reply.ts";
import type { ReplyOwner, Request } from "../../../src/proxy/request.ts";
import { BinaryParser } from "../../../src/proxy/wire/binary-parser.ts";
import { ClassicParser, Parsed } from "../../../src/proxy/wire/classic-parser.ts";
import { answerTo, joinBlocks } from "../../../src/proxy/wire/classic-writer.ts";

const limits = { maxValueBytes: 4 * 1024 * 1024, isFlushAllAllowed: true, prefix: "" };
const textParser = new ClassicParser(() => limits);
const binaryParser = new BinaryParser(() => limits);

/** What a request was completed with. */
export interface Answer {
  readonly status: Status;
  /** What its client is sent. */
  readonly text: string;
}

/** A request that is asked once; its chunk is overwritten when it was routed, as a read buffer is. */
export class Asked implements ReplyOwner {
  readonly request: Request;
  private readonly read: Buffer;
  /** Every completion: more than one is a bug. */
  readonly answers: Answer[] = [];
  /** Called on completion, while the reply is being handled. */
  onAnswer: (answer: Answer) => void = () => {};
  private readonly completed: Promise<Answer>;
  private resolve!: (answer: Answer) => void;

  /** `frame`: one whole command with its line end and data, or a binary one. */
  constructor(frame: string | Buffer) {
    this.completed = new Promise((resolve) => {
      this.resolve = resolve;
    });
    const chunk = typeof frame === "string" ? Buffer.from(frame, "latin1") : Buffer.from(frame);
    const parser = typeof frame === "string" ? textParser : binaryParser;
    const parsed = parser.parse(this, chunk, 0, chunk.length, false);
    if (parsed !== Parsed.request || parser.next !== chunk.length) throw new Error(`not one request: ${frame}`);
    this.request = parser.request!;
    this.read = chunk;
  }

  /** Routes it with `route` and overwrites what it was read into. */
  by(route: (request: Request) => void): this {
    route(this.request);
    this.read.fill(0xff);
    return this;
  }

  onReply(request: Request, reply: Reply): void {
    const shown = answerTo(request, reply);
    const text =
      shown === null
        ? `${joinBlocks(request.keys!).toString("latin1")}END\r\n`
        : shown.chunk.toString("latin1", shown.start, shown.end);
    const answer = { status: reply.status, text };
    this.answers.push(answer);
    this.onAnswer(answer);
    this.resolve(answer);
  }

  /** What it was completed with. */
  answer(): Promise<Answer> {
    return this.completed;
  }

  /** What its client is sent. */
  async text(): Promise<string> {
    return (await this.completed).text;
  }

  /** The name of the status it was completed with. */
  async status(): Promise<string> {
    const { status } = await this.completed;
    return Object.entries(Status).find(([, number]) => number === status)![0];
  }
}
