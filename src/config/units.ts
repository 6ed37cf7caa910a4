/**
 * Durations and sizes as people write them, and back for messages. Milliseconds and bytes are whole numbers everywhere
 * else; this is the one place where text becomes a number with a unit.
 */

const durationUnits = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
] as const;

const sizeUnits = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
] as const;

const durationPattern = /^(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?$/;
const sizePattern = /^(\d+)([KMG]iB)?$/;

/** Milliseconds of "250ms", "30s", "1m30s", "2h", "1d"; units from large to small, each at most once. Null: no duration. */
export function parseDuration(text: string): number | null {
  const parts = durationPattern.exec(text);
  if (parts === null) return null;
  const ms = durationUnits.reduce((sum, [, factor], index) => sum + Number(parts[index + 1] ?? 0) * factor, 0);
  return Number.isSafeInteger(ms) ? ms : null;
}

/** The shortest text that `parseDuration` reads as `ms`, a whole number from 0: "1m30s", "0s". */
export function formatDuration(ms: number): string {
  let rest = ms;
  let text = "";
  for (const [unit, factor] of durationUnits) {
    const count = Math.floor(rest / factor);
    rest -= count * factor;
    if (count > 0) text += `${count}${unit}`;
  }
  return text === "" ? "0s" : text;
}

/** Bytes of "64KiB", "1MiB", "2GiB" or plain digits. Null: no size. */
export function parseSize(text: string): number | null {
  const parts = sizePattern.exec(text);
  if (parts === null) return null;
  const factor = sizeUnits.find(([unit]) => unit === parts[2])?.[1] ?? 1;
  const bytes = Number(parts[1]) * factor;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** Text that `parseSize` reads as `bytes`, a whole number from 0, in the largest unit that leaves no fraction. */
export function formatSize(bytes: number): string {
  const unit = sizeUnits.find(([, factor]) => bytes > 0 && bytes % factor === 0);
  return unit === undefined ? String(bytes) : `${bytes / unit[1]}${unit[0]}`;
}
