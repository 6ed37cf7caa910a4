/**
 * How much of its answers a client may have under way at once. The size of an answer is not known before it comes, so it is
 * estimated from the earlier answers to the same client: large answers raise the estimate fast, small ones lower it slowly.
 */

/** Bytes of answers, expected and received, that a streamed get may have waiting for its client (streamed-get.ts). */
export const READ_AHEAD_BYTES = 1024 * 1024;
const LEAST_ANSWER_BYTES = 1024;
const SMALL_ANSWER_BYTES = 16 * 1024;
/** Answers after which the estimate counts. */
const KNOWN_AFTER = 16;
/** A larger answer raises the estimate by one part in 2^1 of the difference. */
const RISE_SHIFT = 1;
/** A smaller answer lowers the estimate by one part in 2^3 of the difference. */
const FALL_SHIFT = 3;

/** The estimate for one client. */
export class ReadAhead {
  private answerBytes = LEAST_ANSWER_BYTES;

  private noted = 0;

  /** Notes an answer of so many bytes. */
  note(bytes: number): void {
    const { answerBytes } = this;
    this.noted++;
    if (bytes > answerBytes) this.answerBytes = answerBytes + ((bytes - answerBytes) >> RISE_SHIFT);
    else if (answerBytes > LEAST_ANSWER_BYTES) this.answerBytes = answerBytes - ((answerBytes - bytes) >> FALL_SHIFT);
  }

  /** Answers are known to be small. */
  get isSmall(): boolean {
    return this.noted >= KNOWN_AFTER && this.answerBytes <= SMALL_ANSWER_BYTES;
  }

  /** Bytes expected of `answers` answers. */
  expect(answers: number): number {
    return answers * this.answerBytes;
  }
}
