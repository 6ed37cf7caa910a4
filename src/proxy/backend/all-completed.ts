/**
 * Runs callbacks of completed requests. An exception in a callback is a fault in Platypus: it ends the connection on
 * which it occurs, but all other requests are still completed.
 */
export class AllCompleted {
  private hasFailed = false;
  private error: unknown = null;

  /** Runs `step` and keeps an error for `end`. */
  run(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!this.hasFailed) this.error = error;
      this.hasFailed = true;
    }
  }

  /** Throws the first error, if there was one. */
  end(): void {
    if (this.hasFailed) throw this.error;
  }
}
