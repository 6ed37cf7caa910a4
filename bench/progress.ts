/**
 * Prints the progress on stderr: on a terminal as one rewritten line with an estimate of the remaining time, otherwise
 * as one line per note.
 */
export class Progress {
  readonly #steps: number;
  readonly #isTerminal = process.stderr.isTTY === true;
  readonly #startMs = performance.now();
  #done = 0;

  /** `steps` is the number of calls of `step`; they should take similar times. */
  constructor(steps: number) {
    this.#steps = steps;
  }

  /** Starts a step. */
  step(text: string): void {
    if (this.#isTerminal) process.stderr.write(`\r\x1b[K${text}${this.#timeLeft()}`);
    this.#done += 1;
  }

  /** Prints a note on a separate line if the output cannot be rewritten. */
  note(text: string): void {
    if (!this.#isTerminal) process.stderr.write(`${text}\n`);
  }

  /** Clears the line. Call it before other output. */
  end(): void {
    if (this.#isTerminal) process.stderr.write("\r\x1b[K");
  }

  #timeLeft(): string {
    if (this.#done === 0) return "";
    const stepMs = (performance.now() - this.#startMs) / this.#done;
    const seconds = Math.round((stepMs * (this.#steps - this.#done)) / 1000);
    return ` – about ${seconds >= 60 ? `${Math.floor(seconds / 60)} min ` : ""}${seconds % 60} s left`;
  }
}
