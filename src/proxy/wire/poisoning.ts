/** In tests: bytes that nobody may use any more are overwritten at once, so that a view kept too long is seen. */
export const isPoisoning = process.env.PLATYPUS_POISON_READ_BUFFER === "1";
