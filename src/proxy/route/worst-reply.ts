/**
 * Answers copies of one request with the worst of their replies; of equal replies, the first received.
 *
 * Source: mcrouter lib/McResUtil.h (`worseThan`), as facts.
 */

import type { Result } from "../../config/results.ts";
import type { Reply } from "../reply.ts";
import type { ReplyOwner, Request } from "../request.ts";
import { resultOf, severity } from "./result.ts";

/** Waits for `due` replies to copies of a request, and completes it with the worst. */
export class WorstReply implements ReplyOwner {
  private readonly request: Request;
  private due: number;
  private worst: Reply | null = null;
  private worstResult: Result = "ok";

  constructor(request: Request, due: number) {
    this.request = request;
    this.due = due;
  }

  onReply(_copy: Request, reply: Reply): void {
    const result = resultOf(this.request, reply);
    this.due--;
    if (this.worst === null || severity(result) > severity(this.worstResult)) {
      // The last reply is handled before it is overwritten.
      this.worst = this.due === 0 ? reply : reply.copy();
      this.worstResult = result;
    }
    if (this.due === 0) this.request.complete(this.worst);
  }
}
