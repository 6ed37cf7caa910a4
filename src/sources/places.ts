/**
 * Limits the number of operations in flight. Operations over the limit wait; they get their places in order.
 */
export class Places {
  private free: number;
  private readonly waiting = new Set<() => void>();

  /** `count` may be infinite. */
  constructor(count: number) {
    this.free = count;
  }

  /** Resolves with a place, which `leave` releases. Rejects with the signal's reason if it is aborted before. */
  take(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.free > 0) {
      this.free--;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.waiting.delete(start);
        reject(signal.reason);
      };
      const start = () => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
      this.waiting.add(start);
      signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  leave(): void {
    const [next] = this.waiting;
    if (next === undefined) {
      this.free++;
      return;
    }
    this.waiting.delete(next);
    next();
  }
}
