/** Found by a fuzzer: what was wrong, and what was sent. */
export class FuzzFailure extends Error {}

/** Far beyond all time-outs of the configurations that are fuzzed: what takes this long will never come. */
const HANGS_AFTER_MS = 15_000;

/** What `promise` resolves to; rejects when that never comes. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new FuzzFailure(`${what}: nothing more comes`)), HANGS_AFTER_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
