/**
 * Says on stderr what is going on: on a terminal one line that is rewritten, with an estimate of the time left, elsewhere
 * a plain line per note.
 */
export class Progress {
  readonly #steps: number;
  readonly #isTerminal = process.stderr.isTTY === true;
  readonly #startMs = performance.now();
  #done = 0;

  /** `steps` is how often `step` will be called; they should take about the same time. */
  constructor(steps: number) {
    this.#steps = steps;
  }

  /** The step that begins now. */
  step(text: string): void {
    if (this.#isTerminal) process.stderr.write(`\r\x1b[K${text}${this.#timeLeft()}`);
    this.#done += 1;
  }

  /** Something worth a line of its own where nothing can be rewritten. */
  note(text: string): void {
    if (!this.#isTerminal) process.stderr.write(`${text}\n`);
  }

  /** Clears the line; to be called before anything else is printed. */
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
