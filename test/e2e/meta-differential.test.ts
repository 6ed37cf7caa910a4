/**
 * Platypus against a real memcached in the meta protocol: the same bytes to both, equal answers byte for byte.
 *
 * What is the same as in differential.test.ts, the one for classic commands, is told there. Where answers may differ:
 * - cas numbers, seconds counted from a server's own clock (`t`, `l`, `exp`, `la`), and the slab class in the answer to
 *   `me`, which the embedded store has none of: replaced by a sign.
 * - `ma` with `N` and `q` of a key that is not there: memcached 1.6.18 answers HD, though it is quiet about a success
 *   otherwise. An answer does not tell that an item was made, so Platypus withholds it. Not generated.
 * - `ma` with `T` of a number that gets a digit more: memcached 1.6.18 gives the new ttl to the item it has just replaced,
 *   and it is lost; the embedded store keeps it. Generated for decrements only, which need no more digits.
 * - `ms` with a value over Platypus' bound and a flag that memcached refuses: memcached tells of the flag, Platypus of the
 *   value. Not generated.
 * - `ms` with a broken data block and a flag or key that memcached refuses: memcached tells of the flag, Platypus of the
 *   data. Not generated.
 * - base64 keys with a line feed: memcached 1.6.18 writes them as they are after `N`. Not generated.
 * - memcached 1.6.40 and later (docs/protocols.md, "Which memcached"): spaces before a command, a NUL or a CR within a line,
 *   `mn` with a bare line feed, and `ms` with a length that has a plus or a flag that is no letter, lines
 *   of over 19 words, and `me` with `b` alone are not generated. Which of
 *   several errors a line has is told is not compared.
 * - `touch` of an item that is marked as stale: the `mg` that stands for it wins the right to recache it, and gives that back; an
 *   `mg` in the same batch may be told that another client has it (Z). Generated for a key that nothing marks.
 * - `flush_all`: it keeps no order with commands on the other connection to a server. Between streams only.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { type Command, converse, linesOf, plain, type Stream } from "../support/clients/conversation.ts";
import { DIFFERENTIAL_SERVERS, differentialTrees } from "../support/rigs/differential-trees.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const RUNS = 400;
const { isCurrent } = MemcachedProcess;

function base64(text: string): string {
  return Buffer.from(text, "latin1").toString("base64");
}

const longestKey = "m".repeat(250);
/** A word for the key; `b`: it is meant to be decoded. */
const key: fc.Arbitrary<{ readonly word: string; readonly isBase64: boolean }> = fc.oneof(
  { arbitrary: fc.constantFrom("a", "b", "c").map((word) => ({ word, isBase64: false })), weight: 12 },
  {
    arbitrary: fc
      .constantFrom("a", "b", "a b", "\0\r\t", "k\xff")
      .map((text) => ({ word: base64(text), isBase64: true })),
    weight: 5,
  },
  {
    arbitrary: fc
      .constantFrom(...["!!!!", "YQ", "YQ=", "=", "====", "Y", "YQ==YQ==", "YWJj\t", "a", "Y=Q=", "AAAA", "-_-_"])
      .map((word) => ({ word, isBase64: true })),
    weight: 1,
  },
  {
    arbitrary: fc
      .constantFrom(longestKey, `${longestKey}x`, "k\x80\xff", "t\tb", "q", "noreply")
      .map((word) => ({ word, isBase64: false })),
    weight: 1,
  },
  {
    arbitrary: fc
      .constantFrom("l".repeat(186), "l".repeat(187), "l".repeat(250))
      .map((text) => ({ word: base64(text), isBase64: true })),
    weight: 1,
  },
);

/** Flags that most commands take; what ends a value is far away or has been. */
const goodFlags: Record<string, readonly string[]> = {
  mg: [
    "v",
    "v",
    "v",
    "f",
    "t",
    "s",
    "k",
    "c",
    "h",
    "l",
    "u",
    "q",
    "q",
    "O1",
    "Oabc",
    "T0",
    "T1000",
    "T-1",
    "N0",
    "N1000",
    "R30",
    "R2000",
    "R-1",
  ],
  ms: [
    "k",
    "c",
    "q",
    "q",
    "O1",
    "Oabc",
    "T0",
    "T1000",
    "T-1",
    "F5",
    "F4294967295",
    "I",
    "MS",
    "ME",
    "MA",
    "MP",
    "MR",
    "C1",
    "C18446744073709551615",
  ],
  md: ["k", "q", "q", "O1", "Oabc", "I", "T30", "T1000", "C1", "C0"],
  ma: [
    "v",
    "t",
    "c",
    "k",
    "q",
    "O1",
    "Oabc",
    "N0",
    "N1000",
    "J5",
    "D3",
    "D18446744073709551615",
    "T1000",
    "MI",
    "MD",
    "M+",
    "M-",
    "C1",
  ],
  me: ["v", "q", "O1"],
};
const oddFlag = fc.constantFrom(
  ...[
    "E12",
    "S5",
    "X",
    "W",
    "Z",
    "Tabc",
    "T",
    "N",
    "Rx",
    "M",
    "MX",
    "MSS",
    "Mi",
    "Jx",
    "Dx",
    "D",
    "C",
    "Cx",
    "Fx",
    "F-1",
  ],
  ...[
    `O${"o".repeat(31)}`,
    `O${"o".repeat(32)}`,
    "\xffq",
    "\x7f",
    "qq",
    "bb",
    "b",
    "kk",
    "vx",
    "0",
    "-",
    "T4294967296",
    "T99999999999",
  ],
  ...["O", "P1", "Lx", "q", "\tq", "Oq b", "C18446744073709551616", "F4294967296", "J18446744073709551616", "I5"],
);
const tooManyFlags = fc
  .shuffledSubarray([..."vftskchluqOPLFJDI", "T0", "N0", "R0", "C1", "MS"], { minLength: 16 })
  .map((flags) => flags.join(" "));

const isQuietCreation = (line: string) => / N/.test(line) && / q/.test(line);
/** Flags of `ms` with which 1.6.40 and later read the data as commands. */
const hasOddLetter = (line: string) => / [^A-Za-z0-9!=+-]| -( |$)/.test(line.slice(3));
const isIncrementWithTtl = (line: string) => / T[1-9]/.test(line) && !/ M[D-]/.test(line);

/** The command line without its end; `length` stands behind the key. */
function lineOf(verb: string, length = ""): fc.Arbitrary<string> {
  const good = fc.uniqueArray(fc.constantFrom(...goodFlags[verb]!), { maxLength: 6, selector: (flag) => flag[0] });
  const flags = fc.tuple(good, fc.option(fc.oneof(oddFlag, isCurrent ? oddFlag : tooManyFlags), { freq: 8 }), fc.nat());
  return fc
    .tuple(key, flags)
    .map(([{ word, isBase64 }, [good, odd, at]]) => {
      const words = isBase64 ? [...good, "b"] : [...good];
      // Where `b` and the odd one stand is part of it.
      if (isBase64) words.splice(at % words.length, 0, words.pop()!);
      if (odd !== null) words.splice(at % (words.length + 1), 0, odd);
      return [verb, word, length, ...words].filter((part) => part !== "").join(" ");
    })
    .filter((line) => verb !== "ma" || !(isQuietCreation(line) || isIncrementWithTtl(line)))
    .filter((line) => !(isCurrent && verb === "ms" && hasOddLetter(line)));
}

const lineEnd = fc.oneof(
  { arbitrary: fc.constant("\r\n"), weight: 12 },
  fc.constant("\n"),
  fc.constant(isCurrent ? "\n" : "\r\r\n"),
);
/** How a line is spoiled. */
const spoil = fc.oneof(
  { arbitrary: fc.constant((line: string) => line), weight: 24 },
  fc.constant((line: string) => line.replaceAll(" ", "  ")),
  fc.constant((line: string) => (isCurrent ? line : `  ${line}`)),
  fc.constant((line: string) => `${line} `),
  fc.constant((line: string) => (isCurrent ? line : line.replace(" ", "\0 "))),
  fc.constant((line: string) => (isCurrent ? line : `${line}\0 q v`)),
  fc.constant((line: string) => (isCurrent ? line : line.replace(/ (\S)(\S*)$/, " $1\0$2"))),
  fc.constant((line: string) => line.slice(0, line.lastIndexOf(" "))),
  fc.constant((line: string) => line.toUpperCase()),
  fc.constant((line: string) => `${line} noreply`),
);

/** memcached reads a number that begins with blanks on beyond the end of an item that has nothing else. */
const isBlank = (text: string) => /^\s+$/.test(text);
const value = fc.oneof(
  { arbitrary: fc.constantFrom("0", "5", "18446744073709551615", "007", "12 ", "x", ""), weight: 4 },
  {
    arbitrary: fc
      .array(
        fc.constantFrom(
          "\r\n",
          "EN\r\n",
          "MN\r\n",
          "VA 1 v\r\n",
          "mg a v\r\n",
          "md b q\r\n",
          "\0",
          "\xff",
          isCurrent ? "_" : " ",
          "x",
        ),
        { maxLength: 10 },
      )
      .map((parts) => parts.join(""))
      .map((text) => (isBlank(text) ? `${text}x` : text)),
    weight: 4,
  },
  { arbitrary: fc.integer({ min: 0, max: 5_000 }).map(linesOf), weight: 2 },
  { arbitrary: fc.integer({ min: 15_000, max: 40_000 }).map(linesOf), weight: 1 },
);
/** The data is as long as declared or no data at all, and ends in a line feed, so that what follows is a command. */
const declared = fc.oneof(
  { arbitrary: fc.constant((length: number) => `${length}`), weight: 24 },
  fc.constant((length: number) => (isCurrent ? `${length}` : `+${length}`)),
  fc.constantFrom("-1", "abc", "2147483647", "9223372036854775808", "S1").map((word) => () => word),
);
const terminator = fc.oneof(
  { arbitrary: fc.constant("\r\n"), weight: 20 },
  fc.constant("xx\n"),
  fc.constant("\n\n"),
  fc.constant("\r\r\n"),
);

function linesOfVerbs(...verbs: readonly { readonly arbitrary: fc.Arbitrary<string>; readonly weight: number }[]) {
  return fc
    .tuple(fc.oneof(...verbs), spoil, lineEnd)
    .map(([text, change, end]) => change(text) + end)
    .filter((text) => !(isCurrent && /^me +\S+ +b *\r?\n$/.test(text)))
    .map(plain);
}

const readingLine = linesOfVerbs(
  { arbitrary: lineOf("mg"), weight: 10 },
  { arbitrary: lineOf("md"), weight: 3 },
  { arbitrary: lineOf("me"), weight: 1 },
);
const countingLine = linesOfVerbs({ arbitrary: lineOf("ma"), weight: 3 }, { arbitrary: lineOf("md"), weight: 1 });
const metaSet = fc
  .tuple(value, declared)
  .chain(([data, declare]) =>
    fc
      .tuple(lineOf("ms", declare(data.length)), spoil, lineEnd)
      .map(([text, change, end]) => plain(`${change(text)}${end}${data}\r\n`)),
  );
const brokenData = fc
  .tuple(
    fc.constantFrom("a", "b"),
    value,
    fc.integer({ min: 0, max: 3 }),
    terminator,
    fc.constantFrom("", " q", " k O1", " q c T0"),
  )
  .filter(([, data, short]) => !isBlank(data.slice(0, Math.max(0, data.length - short))))
  .map(([name, data, short, close, flags]) =>
    plain(`ms ${name} ${Math.max(0, data.length - short)}${flags}\r\n${data}${close}`),
  );
/** With the cas number that its own side gave out, so that it succeeds where nothing came between. */
const withCas = fc
  .tuple(
    fc.constantFrom("a", "b", "c"),
    fc.constantFrom("ms", "ms", "md"),
    fc.constantFrom("", " I", " I T30", " q", " k q"),
  )
  .map(([name, verb, flags]): Command => {
    const before = verb === "ms" ? `ms ${name} 2 C` : `${verb} ${name} C`;
    return { before, casOf: name, after: `${flags}\r\n${verb === "ms" ? "77\r\n" : ""}` };
  });
/** Around the largest value of a server's item, and of Platypus. */
const largeSet = fc
  .tuple(
    fc.constantFrom("a", "b", `${base64("a")} b`),
    fc.constantFrom(1_048_000, 1_048_500, 1_048_576, 1_048_577),
    fc.constantFrom("", " q k"),
  )
  .map(([name, length, flags]): Command => {
    const [word, b] = name.split(" ");
    return { before: `ms ${word} ${length}${b === undefined ? "" : " b"}${flags}\r\n`, padding: length, after: "\r\n" };
  });
const retrieving = fc.constantFrom("get a", "get a b c", "gets a b c", "gets a b c", "gat 0 a b");
const writing = fc.constantFrom(
  ...["delete a", "touch d 1000", "set a 0 0 1\r\n7", "set b 9 0 2 noreply\r\n12", "append a 0 0 1\r\nx"],
  ...["add c 0 1000 3\r\nabc", "delete c noreply", "cas a 0 0 1 1\r\n1"],
);
const keyless = fc.constantFrom(
  "mg",
  "ms",
  "md",
  "ma",
  "me",
  "mn x",
  "mx a",
  "ms a",
  "mg ",
  isCurrent ? "mn" : "mn\0",
  "MN",
  "mnx",
  "m",
  "me a b c",
);
/** Quiet ones with their `mn`, as clients send a batch. */
const batch = fc
  .array(
    fc.constantFrom(
      "mg a v f c k q s",
      "mg b k v q",
      "mg YQ== b k q O7 v",
      "mg c q",
      "md c q",
      "ms b 1 q\r\n1",
      "ms c 1 T30 q MR O9\r\n2",
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map((lines) => plain([...lines, "mn", ""].join("\r\n")));
const any = fc.oneof(
  { arbitrary: metaSet, weight: 24 },
  { arbitrary: brokenData, weight: 2 },
  { arbitrary: withCas, weight: 6 },
  { arbitrary: writing.map((text) => plain(`${text}\r\n`)), weight: 8 },
  { arbitrary: fc.constantFrom("mn\r\n", isCurrent ? "mn\r\n" : "mn\n").map(plain), weight: 6 },
  { arbitrary: keyless.map((text) => plain(`${text}\r\n`)), weight: 2 },
  { arbitrary: largeSet, weight: 1 },
);
const reading = fc.oneof(
  { arbitrary: any, weight: 3 },
  { arbitrary: readingLine, weight: 4 },
  { arbitrary: batch, weight: 1 },
  { arbitrary: retrieving.map((text) => plain(`${text}\r\n`)), weight: 1 },
);
/** The data of a refused `ms` is read as commands, and may ask for a value. */
const asksForNoValue = ({ before }: Command) => !before.includes("mg a v");
const counting = fc.oneof({ arbitrary: any.filter(asksForNoValue), weight: 1 }, { arbitrary: countingLine, weight: 1 });
const sectionsOf = (command: fc.Arbitrary<Command>, maxLength: number) =>
  fc.array(fc.array(command, { minLength: 1, maxLength: 15 }), { maxLength });
const stream: fc.Arbitrary<Stream> = fc.record({
  /**
   * memcached 1.6.18 writes a number in place, but into a new item, without the marks of the old one (stale, won, base64
   * key), its padding and the ttl of `T`, while something holds the old one: an answer being sent, or the queue of items
   * that are to move up in the LRU, for a while after the second read. So that numbers are counted before they are read.
   */
  sections: fc
    .tuple(sectionsOf(counting, 2), sectionsOf(reading, 4))
    .map(([first, then]) => [...first, ...then])
    .filter(({ length }) => length > 0),
  tail: fc.constantFrom("", "", "mg a v", "ms a 10\r\nhalf", "mn\r\nmg a q", "ms a 1 q\r\nx\r"),
  pieces: fc.array(
    fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 4_000 }), fc.constant(100_000)),
    { minLength: 1, maxLength: 6 },
  ),
});

/** An answer without what every server counts for itself. */
function comparable(answer: string): string {
  const text = isCurrent ? answer.replace(/^CLIENT_ERROR .*\r\n/gm, "CLIENT_ERROR\r\n") : answer;
  return text.replace(/( [ctl]| cas=| cls=| la=| exp=-?(?=\d\d))\d+/g, "$1#");
}

describe.skipIf(MemcachedProcess.isMissing)("Platypus answers meta commands as memcached does", () => {
  const servers: MemcachedProcess[] = [];
  const platypuses: Platypus[] = [];
  const ports = new Map<string, number>();
  let embeddedPort = 0;

  beforeAll(async () => {
    for (let i = 0; i < 5 + DIFFERENTIAL_SERVERS; i++)
      servers.push(await MemcachedProcess.start({ args: ["-m", "256"] }));
    const all = servers.map(({ port }) => port);
    const [, one, ...three] = all.slice(0, 5);
    // Time-outs are no part of this: a machine that is busy must not make a difference.
    const patient = 'connections = 2\nserver_timeout = "10s"\nconnect_timeout = "10s"';
    const targets = {
      "one memcached": targetOf([one!], patient),
      "three memcacheds": targetOf(three, patient),
      "the embedded store": "[server]\nflush_all = true",
    };
    const native = Object.entries(targets).map(([name, target]) => [name, nativeConfig(target)] as const);
    for (const [name, config] of [...native, ...(await differentialTrees(all.slice(5)))]) {
      const platypus = await Platypus.start(config);
      platypuses.push(platypus);
      const [address] = platypus.addresses;
      if (address?.type === "tcp") ports.set(name, address.port);
    }
    embeddedPort = ports.get("the embedded store")!;
    // It answers as 1.6.18 does.
    if (isCurrent) ports.delete("the embedded store");
    // Lines are read as the servers read them, once a server has told its version.
    const first = { sections: [[plain("get a\r\n")]], tail: "", pieces: [100] };
    await Promise.all([...ports.values()].map((port) => converse(port, first, false)));
  });

  afterAll(async () => {
    await Promise.all(platypuses.map((platypus) => platypus.close()));
    await Promise.all(servers.map((server) => server.stop()));
  });

  async function expectEqual(stream: Stream): Promise<void> {
    const empty = { sections: [[plain("flush_all\r\n")]], tail: "", pieces: [100] };
    const stores = [...servers.map(({ port }) => port), embeddedPort];
    await Promise.all(stores.map((port) => converse(port, empty, false)));
    const expected = (await converse(servers[0]!.port, stream, true)).map(comparable);
    for (const [name, port] of ports) {
      const answers = (await converse(port, stream, false)).map(comparable);
      expect({ over: name, answers }).toEqual({ over: name, answers: expected });
    }
  }

  it("for any stream of commands, cut anywhere", async () => {
    await fc.assert(fc.asyncProperty(stream, expectEqual), { numRuns: RUNS, timeout: 20_000 });
  }, 120_000);

  it("for a get that is refused after the item was read, including whether it counts as a get", async () => {
    const refused = `O${"x".repeat(33)}`;
    const gets = ["", "u", "v", "t", "c", "N0", "T0", "R0", "l", "h", "h u"].flatMap((flags) => [
      `mg a ${refused} ${flags}`,
      `mg a ${flags} ${refused}`,
    ]);
    const commands = gets.flatMap((get) => ["set a 0 0 1\r\n7", get, "me a"]).map((text) => plain(`${text}\r\n`));
    await expectEqual({ sections: [commands], tail: "", pieces: [100_000] });
  });

  it("except for the ttl of a number that gets one more digit, which the embedded store keeps", async () => {
    const asked = plain("set grows 0 50 1\r\n7\r\nma grows T1000 D3\r\nmg grows t v\r\n");
    const answers = await converse(embeddedPort, { sections: [[asked]], tail: "", pieces: [100] }, false);
    expect(answers.join("")).toMatch(/^STORED\r\nHD\r\nVA 2 t(1000|9\d\d)\r\n10\r\n/);
  });
});
