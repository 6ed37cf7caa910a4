/**
 * In tests: bytes that are no longer valid are overwritten immediately, so that a view that was kept too long is
 * detected.
 */
export const isPoisoning = process.env.PLATYPUS_POISON_READ_BUFFER === "1";
