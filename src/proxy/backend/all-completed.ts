/**
 * Completing a request calls whoever has asked. An error that is thrown there is a fault in Platypus: it ends the connection
 * that it showed itself on, but keeps no other request from being completed.
 */
export class AllCompleted {
  private hasFailed = false;
  private error: unknown = null;

  /** Runs `step`; an error is kept for `end`. */
  run(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!this.hasFailed) this.error = error;
      this.hasFailed = true;
    }
  }

  /** Throws the first error that there was. */
  end(): void {
    if (this.hasFailed) throw this.error;
  }
}
