/**
 * Parses and formats durations and sizes. All other code uses integers in milliseconds and bytes; only this file
 * converts text with units.
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

/**
 * Milliseconds of "250ms", "30s", "1m30s", "2h", "1d". Units go from large to small, each at most once. `null` if the
 * text is not a duration.
 */
export function parseDuration(text: string): number | null {
  const parts = durationPattern.exec(text);
  if (parts === null) return null;
  const ms = durationUnits.reduce((sum, [, factor], index) => sum + Number(parts[index + 1] ?? 0) * factor, 0);
  return Number.isSafeInteger(ms) ? ms : null;
}

/** The shortest text that `parseDuration` reads as `ms`, an integer from 0: "1m30s", "0s". */
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

/** Bytes of "64KiB", "1MiB", "2GiB" or plain digits. `null` if the text is not a size. */
export function parseSize(text: string): number | null {
  const parts = sizePattern.exec(text);
  if (parts === null) return null;
  const factor = sizeUnits.find(([unit]) => unit === parts[2])?.[1] ?? 1;
  const bytes = Number(parts[1]) * factor;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** Text that `parseSize` reads as `bytes`, an integer from 0, in the largest unit without a fraction. */
export function formatSize(bytes: number): string {
  const unit = sizeUnits.find(([, factor]) => bytes > 0 && bytes % factor === 0);
  return unit === undefined ? String(bytes) : `${bytes / unit[1]}${unit[0]}`;
}

/** Informal units, in milliseconds. */
const spokenDurations: readonly (readonly [RegExp, number])[] = [
  [/^(?:ms|msecs?|millis|milliseconds?)$/, 1],
  [/^(?:s|secs?|seconds?)$/, 1_000],
  [/^(?:m|mins?|minutes?)$/, 60_000],
  [/^(?:h|hrs?|hours?)$/, 3_600_000],
  [/^(?:d|days?)$/, 86_400_000],
  [/^(?:w|weeks?)$/, 604_800_000],
];

/**
 * The probable meaning of "60 seconds", "5m 30s", "0.4s" or "1w" in the form of `parseDuration`: "1m". `null` if
 * absent.
 */
export function durationMeant(text: string): string | null {
  const ms = amountOf(text, (unit) => spokenDurations.find(([pattern]) => pattern.test(unit))?.[1]);
  return ms === null ? null : formatDuration(ms);
}

/**
 * The probable meaning of "1MB", "1 mb", "1.5GiB" or "64k" in the form of `parseSize`, with units of 1,024. `null` if
 * absent.
 */
export function sizeMeant(text: string): string | null {
  const bytes = amountOf(text, (unit) => {
    const at = ["", "k", "m", "g", "t"].indexOf(unit.replace(/(?:i?b|bytes?)$/, ""));
    return at < 0 ? undefined : 1024 ** at;
  });
  return bytes === null ? null : formatSize(bytes);
}

/** The sum of numbers with units, an integer. `null` for other text. */
function amountOf(text: string, factorOf: (unit: string) => number | undefined): number | null {
  const words = text.trim().toLowerCase();
  const parts = [...words.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]*)\s*(?:,|and)?\s*/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== words) return null;
  let sum = 0;
  for (const [, count, unit] of parts) sum += Number(count) * (factorOf(unit!) ?? Number.NaN);
  const rounded = Math.round(sum);
  return Number.isSafeInteger(rounded) && Math.abs(sum - rounded) < 1e-6 ? rounded : null;
}
