/**
 * Stands between a scripted server and Platypus. It shows the test the classic commands that Platypus sends as meta commands,
 * and adds the opaques to the test's classic replies. It answers markers itself, each after the command before it.
 */

const OPAQUE = / O(\d+)$/;
const SET = /^ms (\S+) (\d+)(?: F([1-9]\d*))?(?: T(-?[1-9]\d*))?(?: C(\d+))?(?: M([ERAP]))?$/;
const DELETE = /^md (\S+)$/;
const COUNT = /^ma (\S+) v( MD)? D(\d+)$/;
const verbs: Readonly<Record<string, string>> = { E: "add", R: "replace", A: "append", P: "prepend" };

interface Pending {
  /** `null` for a marker. */
  readonly opaque: string | null;
}

/** One connection's worth of it. */
export class WireFace {
  private readonly pending: Pending[] = [];

  /** The line that the test sees. `null` for a marker, which `answer` answers if it is not `null`. */
  show(line: string): { readonly shown: string } | { readonly shown: null; readonly answer: string | null } {
    if (line === "mn") {
      if (this.pending.length === 0) return { shown: null, answer: "MN\r\n" };
      this.pending.push({ opaque: null });
      return { shown: null, answer: null };
    }
    const opaque = OPAQUE.exec(line)?.[1];
    const isMeta = /^m[gsda] /.test(line);
    this.pending.push({ opaque: isMeta ? (opaque ?? "") : "" });
    return { shown: isMeta && opaque !== undefined ? classic(line.replace(OPAQUE, "")) : line };
  }

  /** What is sent when the test answers `text`: answers to the next commands, in their order. */
  answer(text: string): string {
    let rest = text;
    let sent = "";
    while (rest !== "") {
      const [answer, length] = next(rest);
      const { opaque = "" } = this.pending.shift() ?? {};
      sent += opaque === "" || opaque === null ? answer : withOpaque(answer, opaque);
      rest = rest.slice(length);
      for (; this.pending[0]?.opaque === null; this.pending.shift()) sent += "MN\r\n";
    }
    return sent;
  }
}

function classic(line: string): string {
  const set = SET.exec(line);
  if (set !== null) {
    const [, key, length, flags = "0", exptime = "0", cas, mode] = set;
    const verb = cas !== undefined ? "cas" : mode === undefined ? "set" : verbs[mode];
    return `${verb} ${key} ${flags} ${exptime} ${length}${cas === undefined ? "" : ` ${cas}`}`;
  }
  const count = COUNT.exec(line);
  if (count !== null) return `${count[2] === undefined ? "incr" : "decr"} ${count[1]} ${count[3]}`;
  return line.replace(DELETE, "delete $1");
}

/** The first answer of `text`, and its length. What has no end is one answer. */
function next(text: string): readonly [string, number] {
  let at = 0;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at) + 2;
    if (lineEnd === 1) return [text, text.length];
    const [word, ...words] = text.slice(at, lineEnd - 2).split(" ");
    if (word === "VA") {
      const end = lineEnd + Number(words[0]) + 2;
      return [text.slice(0, end), end];
    }
    // STAT lines go on as VALUE blocks do.
    if (word !== "VALUE" && word !== "STAT") return [text.slice(0, lineEnd), lineEnd];
    at = word === "STAT" ? lineEnd : lineEnd + Number(words[2]) + 2;
    if (Number.isNaN(at) || at > text.length) return [text, text.length];
  }
}

const codes: Readonly<Record<string, string>> = {
  STORED: "HD",
  DELETED: "HD",
  NOT_STORED: "NS",
  EXISTS: "EX",
  NOT_FOUND: "NF",
};

function withOpaque(answer: string, opaque: string): string {
  const line = answer.slice(0, answer.indexOf("\r\n"));
  const code = codes[line];
  if (code !== undefined) return `${code} O${opaque}\r\n`;
  if (/^\d+ *$/.test(line)) return `VA ${line.trim().length} O${opaque}\r\n${line.trim()}\r\n`;
  const isAnswer = /^(?:HD|VA|EN|NF|NS|EX)\b/.test(line);
  return isAnswer ? `${line} O${opaque}${answer.slice(line.length)}` : answer;
}
