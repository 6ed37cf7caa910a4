/** A route that records its requests, and replies when and in the order that the test says. */

import { Reply, Status } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import type { Root } from "../../../src/proxy/route/route.ts";

/** Answers are written here, and overwritten as soon as they were handled, as a backend's read buffer is. */
const readBuffer = Buffer.alloc(4 * 1024 * 1024);

/** Takes every request; each is answered by hand, or at once by `answerWith`. */
export class RecordingRoute implements Root {
  readonly name = "recording";
  /** Every request so far, answered or not. */
  readonly requests: Request[] = [];
  /** When set every request is answered at once. */
  answerWith: ((request: Request) => Reply) | null = null;
  private wake: () => void = () => {};

  route(request: Request): void {
    // A route that holds a request copies the bytes that it needs of the chunk.
    request.retain();
    this.requests.push(request);
    if (this.answerWith !== null) request.complete(this.answerWith(request));
    this.wake();
  }

  forEachTarget(): void {}

  broadcast(request: Request): void {
    this.route(request);
  }

  /** Resolves when `count` requests have come, all answered ones included. */
  async asked(count: number): Promise<void> {
    while (this.requests.length < count) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** Answers the `index`-th request with bytes that are good only while they are handled. */
  reply(index: number, status: Status, text: string): void {
    const reply = new Reply();
    reply.status = status;
    reply.chunk = readBuffer;
    reply.start = 10;
    reply.end = 10 + readBuffer.write(text, 10, "latin1");
    this.requests[index]!.complete(reply);
    readBuffer.fill(0xff, 0, reply.end);
  }

  /** Answers the `index`-th request with a value of its key. */
  replyValue(index: number, value: string): void {
    const key = this.requests[index]!.keyText();
    this.reply(index, Status.found, valueText(key, value));
  }
}

/** What a get of one key is answered with. */
export function valueText(key: string, value: string): string {
  return `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`;
}
