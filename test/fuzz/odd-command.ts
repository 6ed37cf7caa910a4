/**
 * Commands as no client should write them: every form of blanks, numbers and flags that one memcached or another takes or
 * refuses, with commands for data. Each is one request, and has one answer, or none where it says noreply or `q`.
 */
import type { Random } from "./random.ts";

const KEYS = ["a", "noreply", "k:1", "t\tb", "\x01", "k".repeat(250), "k".repeat(251), "O1", "é", "0"];
const LENGTH_FORMS: readonly ((length: number) => string)[] = [
  (length) => String(length),
  (length) => String(length),
  (length) => `+${length}`,
  (length) => `${length}\t`,
  (length) => `\t${length}`,
  (length) => `${length}\r`,
  (length) => String(2 ** 32 + length),
  (length) => String(length - 2 ** 32),
  (length) => String(length).padStart(30, "0"),
  (length) => ` ${length}`,
];
const NUMBERS = [
  "0",
  "1",
  "60",
  "+5",
  "-1",
  "007",
  "4294967296",
  "18446744073709551616",
  "5\t",
  "\t5",
  "x",
  "-0",
  "1e3",
];
const FLAGS = [
  ...[
    "v",
    "k",
    "f",
    "c",
    "t",
    "s",
    "q",
    "b",
    "O1",
    "Oabc",
    `O${"x".repeat(31)}`,
    `O${"x".repeat(40)}`,
    "T60",
    "T+5",
    "Tx",
    "T",
  ],
  ...[
    "F1",
    "F-1",
    "C1",
    "C\t1",
    "D1",
    "D-1",
    "J0",
    "N60",
    "MS",
    "ME",
    "Me",
    "MINCR",
    "I",
    "x",
    "E7",
    "?",
    "[",
    "~",
    "1",
    "\t",
    "Pabc",
    "L9",
  ],
  ...["vv", "O1\t2", "\xff", "Z", "S5"],
];
/** What a server must never carry out. */
const DATA = ["incr c1 1", "flush_all", "set tenant2:secret 0 0 6", "delete a", "mn", "get a", "quit", "version", "x"];

export interface OddCommand {
  readonly bytes: string;
  /** The most answers that it may have. */
  readonly most: number;
  /** False: it may have none. */
  readonly isAnswered: boolean;
}

/** `skipsData`: the data of a storage line that is refused is not read as commands, as memcached 1.6.40 and later do it. */
export function oddCommand(random: Random, skipsData: boolean): OddCommand {
  const key = random.pick(KEYS);
  const gap = () => (random.oneIn(6) ? random.pick(["  ", "   "]) : " ");
  const lead = random.oneIn(12) ? " " : "";
  const lineEnd = random.oneIn(10) ? "\n" : "\r\n";
  const number = () => random.pick(NUMBERS);
  const noreply = random.oneIn(5) ? `${gap()}noreply` : "";
  const isQuiet = noreply !== "" || key === "noreply";
  // Where a refused line's data is read as commands, it is one that does nothing.
  const kind = random.below(10);
  const isSkipped = skipsData || (kind >= 6 && key.length <= 250);
  const data = isSkipped ? random.pick(DATA) : "x";
  const length = random.pick(LENGTH_FORMS)(data.length);
  const flags = Array.from({ length: random.below(5) }, () => gap() + random.pick(FLAGS)).join("");
  const one = (line: string, isAnswered = !isQuiet): OddCommand => ({
    bytes: `${lead}${line}${lineEnd}`,
    most: 1,
    isAnswered,
  });
  const stored = (line: string, isAnswered = !isQuiet): OddCommand => ({
    bytes: `${lead}${line}${lineEnd}${data}\r\n`,
    most: isSkipped ? 1 : 2,
    isAnswered,
  });
  switch (kind) {
    case 0:
      return one(
        `${random.pick(["get", "gets", "bget"])}${gap()}${key}${random.oneIn(3) ? `${gap()}noreply` : ""}`,
        true,
      );
    case 1:
      return one(`delete${gap()}${key}${random.oneIn(3) ? gap() + number() : ""}${noreply}`);
    case 2:
      return one(`${random.pick(["incr", "decr", "touch"])}${gap()}${key}${gap()}${number()}${noreply}`);
    case 3:
      return one(`gat${gap()}${number()}${gap()}${key}`, true);
    case 4: {
      const verb = random.pick(["set", "add", "replace", "append", "prepend"]);
      const extra = random.oneIn(6) ? " 5 6" : "";
      return stored(
        `${verb}${gap()}${key}${gap()}${number()}${gap()}${number()}${gap()}${length}${extra}${noreply}`,
        false,
      );
    }
    case 5:
      return stored(`cas${gap()}${key}${gap()}0${gap()}0${gap()}${length}${gap()}${number()}${noreply}`);
    case 6:
    case 7:
      return stored(`ms${gap()}${key}${gap()}${length}${flags}`, !/ q/.test(flags));
    default: {
      const verb = random.pick(["mg", "md", "ma", "me"]);
      return one(`${verb}${gap()}${key}${flags}`, !/ q/.test(flags));
    }
  }
}
