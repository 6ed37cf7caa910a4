/**
 * Platypus against a real memcached in the binary protocol: the same frames to both, and equal answers.
 *
 * memcached gets one frame at a time, each with a noop behind it; Platypus gets a whole batch and a noop at once, cut at
 * random places. A frame on which memcached closes the connection is the last of the stream.
 *
 * Where the answers may differ:
 * - cas numbers: each server counts its own. Compared is whether there is one, and a cas that is meant to be right is
 *   the number that its own side gave out.
 * - version, stat: Platypus answers for itself. Not generated.
 * - a key that a text line cannot hold and that is over 186 bytes: its base64 form is over 250. Platypus answers 0x04
 *   for it. Not generated.
 * - a value that Platypus takes and a server refuses: the embedded store looks at cas before the length. Of these only a set
 *   without cas is generated; others stand below.
 * - the cas of an add or a replace of over 256 KiB: Platypus answers 0. Not generated.
 * - an unknown opcode with a body (SASL's without SASL too) and verbosity: memcached 1.6.18 throws the body away twice,
 *   and what comes next is lost. Generated without a body; Platypus' own answers stand below.
 * - touch and its gets with a value: memcached closes without an answer, or takes it for none. Platypus answers 0x04 and
 *   closes. Not generated.
 * - blanks behind a number that became shorter: memcached writes it in place, save where an answer with the item is still
 *   being sent, which depends on pipelining. They are cut off, and nothing is appended to the keys that are counted.
 * - a body shorter than its key: memcached waits for the bytes of the key before it says so. Generated with short keys.
 * - incr and decr with a cas: the embedded store looks at the cas before the number. Not generated.
 * - flush with a delay: memcached 1.6.18 forgets an earlier flush over it. Not generated.
 * - with several connections to a server, a flush keeps no order with commands on the others. It is sent in a separate batch.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { type Answer, arithmetic, BinaryClient, type Frame, words } from "../support/clients/binary-client.ts";
import { DIFFERENTIAL_SERVERS, differentialTrees } from "../support/rigs/differential-trees.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const RUNS = 80;

// ---- What is generated ------------------------------------------------------------------------------------------

/** A frame, and whether its cas is 0, no item's, or what was last given out for its key. */
interface Step extends Frame {
  readonly casKind: "none" | "wrong" | "right";
}
interface Stream {
  readonly batches: readonly (readonly Step[])[];
  readonly pieces: readonly number[];
}

const WRONG_CAS = 2n ** 60n + 7n;
const longestKey = `${"long".repeat(62)}ab`;
const key = fc.oneof(
  { arbitrary: fc.constantFrom("a", "b", "c", "d"), weight: 8 },
  {
    arbitrary: fc.constantFrom(
      ...["a b", "a\r\nb", "\x01", "\0", " ", "k\x80\xff", "\x7f", "cl\xc3\xa9", "t\tb", longestKey],
      ...[" ".repeat(186), "get a\r\n"],
    ),
    weight: 4,
  },
);
const countedKey = fc.constantFrom("n", "n", "n", "n n", "\x02");
const anyKey = fc.oneof(
  { arbitrary: key, weight: 150 },
  { arbitrary: countedKey, weight: 50 },
  { arbitrary: fc.constantFrom("", `${longestKey}x`, "z".repeat(300)), weight: 1 },
);
const value = fc.oneof(
  { arbitrary: fc.constantFrom("0", "1", "9", "10", "99", "18446744073709551615", "18446744073709551616"), weight: 5 },
  { arbitrary: fc.constantFrom("", "-1", "12 ", " 12", "x", "1\r\n", "END\r\n", "\0", "\xff\x80\x81"), weight: 3 },
  { arbitrary: fc.integer({ min: 0, max: 20_000 }).map((length) => "v".repeat(length)), weight: 1 },
);
const exptime = fc.oneof(
  { arbitrary: fc.constant(0), weight: 8 },
  {
    arbitrary: fc.constantFrom(1_000, 2_592_000, 2_592_001, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff),
    weight: 2,
  },
);
const flags = fc.constantFrom(0, 0, 1, 42, 0xffffffff);
const long = fc.constantFrom(0n, 1n, 7n, 100n, 2n ** 63n, 2n ** 64n - 1n);
const casKind = fc.oneof(
  { arbitrary: fc.constant("none" as const), weight: 4 },
  { arbitrary: fc.constantFrom("wrong" as const, "right" as const), weight: 2 },
);

const largeKey = fc.constantFrom("large", "large key");
const retrieval = fc.record({
  opcode: fc.constantFrom(0x00, 0x09, 0x0c, 0x0d),
  key: fc.oneof({ arbitrary: anyKey, weight: 9 }, { arbitrary: largeKey, weight: 1 }),
  casKind: fc.constant("none" as const),
});
const touch = fc.record({
  opcode: fc.constantFrom(0x1c, 0x1d, 0x1e, 0x23, 0x24),
  key: anyKey,
  extras: exptime.map((time) => words(time)),
  casKind: fc.constant("none" as const),
});
const store = fc.record({
  opcode: fc.constantFrom(0x01, 0x01, 0x02, 0x03, 0x11, 0x11, 0x12, 0x13),
  key: anyKey,
  extras: fc.tuple(flags, exptime).map(([mark, time]) => words(mark, time)),
  value,
  casKind,
});
const concat = fc.record({ opcode: fc.constantFrom(0x0e, 0x0f, 0x19, 0x1a), key, value, casKind });
const remove = fc.record({ opcode: fc.constantFrom(0x04, 0x14), key: anyKey, casKind });
const count = fc.record({
  opcode: fc.constantFrom(0x05, 0x06, 0x15, 0x16),
  key: countedKey,
  extras: fc
    .tuple(long, long, fc.oneof(fc.constant(0xffffffff), exptime))
    .map(([delta, initial, time]) => arithmetic(delta, initial, time)),
  casKind: fc.constant("none" as const),
});
const noop = fc.constant({ opcode: 0x0a, casKind: "none" as const });
/** Up to the largest value of a server's item, and over Platypus' own bound. */
const large = fc.oneof(
  fc.record({
    opcode: fc.constantFrom(0x01, 0x11),
    key: largeKey,
    extras: fc.constant(words(0, 0)),
    value: fc.constantFrom(1, 1_048_000, 1_048_500, 1_048_576).map((length) => "L".repeat(length)),
    casKind: fc.constant("none" as const),
  }),
  fc.record({
    opcode: fc.constantFrom(0x01, 0x01, 0x02, 0x03, 0x11, 0x11, 0x12, 0x13),
    key: largeKey,
    extras: fc.constant(words(0, 0)),
    value: fc.constantFrom(1_048_577, 1_100_000).map((length) => "L".repeat(length)),
    casKind,
  }),
  fc.record({
    opcode: fc.constantFrom(0x0e, 0x0f, 0x19, 0x1a),
    key: largeKey,
    value: fc.constantFrom(1_048_577).map((length) => "L".repeat(length)),
    casKind,
  }),
);
const unknown = fc.record({
  opcode: fc.constantFrom(0x20, 0x1f, 0x25, 0x30, 0x3d, 0x47, 0x80, 0xff),
  casKind: fc.constant("none" as const),
});
/** Any opcode with parts that may not fit it. */
const misfit = fc.record({
  opcode: fc.integer({ min: 0, max: 0x1a }).filter((opcode) => ![0x08, 0x18, 0x0b, 0x10].includes(opcode)),
  key: fc.constantFrom("", "a", longestKey, "z".repeat(251)),
  extras: fc.constantFrom("", words(0), words(0, 0), arithmetic(1n, 0n, 0), "x", "12345"),
  value: fc.constantFrom("", "5", "value"),
  casKind: fc.constant("none" as const),
});
const liar = fc
  .tuple(fc.oneof(retrieval, store, count, misfit), fc.integer({ min: 0, max: 40 }))
  .filter(([{ key }]) => key.length <= 4)
  .map(([step, bodyBytes]): Step => ({ ...step, bodyBytes }));
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: retrieval, weight: 40 },
  { arbitrary: store, weight: 30 },
  { arbitrary: touch, weight: 12 },
  { arbitrary: concat, weight: 10 },
  { arbitrary: remove, weight: 8 },
  { arbitrary: count, weight: 15 },
  { arbitrary: noop, weight: 3 },
  { arbitrary: large, weight: 2 },
  { arbitrary: unknown, weight: 4 },
  { arbitrary: misfit, weight: 1 },
  { arbitrary: liar, weight: 1 },
);
const flush = fc.record({
  opcode: fc.constantFrom(0x08, 0x18),
  extras: fc.constantFrom("", words(0)),
  casKind: fc.constant("none" as const),
});
const batch = fc.oneof(
  { arbitrary: fc.array(step, { minLength: 1, maxLength: 30 }), weight: 10 },
  { arbitrary: fc.tuple(flush), weight: 1 },
);
const stream: fc.Arbitrary<Stream> = fc.record({
  batches: fc.array(batch, { minLength: 1, maxLength: 4 }),
  pieces: fc.array(
    fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 4_000 }), fc.constant(100_000)),
    {
      minLength: 1,
      maxLength: 6,
    },
  ),
});

// ---- How it is told and compared --------------------------------------------------------------------------------

/** What can be compared. */
function comparable(answer: Answer): object {
  return { ...answer, value: answer.value.replace(/^(\d+) +$/, "$1"), cas: answer.cas > 0n };
}

/** The frames to be sent, `right` cas filled in; opaque numbers are the places in the stream. */
function frames(steps: readonly Step[], first: number, casOf: ReadonlyMap<string, bigint>): Frame[] {
  return steps.map((step, i) => {
    const right = casOf.get(step.key ?? "") ?? WRONG_CAS;
    const cas = step.casKind === "none" ? 0n : step.casKind === "wrong" ? WRONG_CAS : right;
    return { ...step, opaque: first + i, cas };
  });
}

function noteCas(answers: readonly Answer[], all: readonly Step[], casOf: Map<string, bigint>): void {
  for (const { opaque, cas } of answers) if (cas > 0n) casOf.set(all[opaque]!.key ?? "", cas);
}

/** What is said, by batch; up to and with the frame behind which the connection was closed. */
interface Told {
  readonly batches: Step[][];
  readonly answers: object[][];
  readonly isClosed: boolean;
}

async function converse(port: number, { batches, pieces }: Stream, isOneByOne: boolean): Promise<Told> {
  const client = await BinaryClient.connect(port);
  const casOf = new Map<string, bigint>();
  const said: Step[] = [];
  const told: Told = { batches: [], answers: [], isClosed: false };
  try {
    for (const steps of batches) {
      if (client.isClosed) break;
      const sent = frames(steps, said.length, casOf);
      said.push(...steps);
      const answers: Answer[] = [];
      let done = 0;
      if (isOneByOne) {
        for (; done < sent.length && !client.isClosed; done++) answers.push(...(await client.ask([sent[done]!])));
      } else {
        answers.push(...(await client.ask(sent, pieces)));
        done = sent.length;
      }
      noteCas(answers, said, casOf);
      told.answers.push(answers.map(comparable));
      told.batches.push(steps.slice(0, done));
    }
    return { ...told, isClosed: client.isClosed };
  } finally {
    client.close();
  }
}

describe.skipIf(MemcachedProcess.isMissing)("Platypus answers binary frames as memcached does", () => {
  const servers: MemcachedProcess[] = [];
  const platypuses: Platypus[] = [];
  const ports = new Map<string, number>();

  beforeAll(async () => {
    for (let i = 0; i < 5 + DIFFERENTIAL_SERVERS; i++)
      servers.push(await MemcachedProcess.start({ args: ["-m", "256"] }));
    const all = servers.map(({ port }) => port);
    const [, one, ...three] = all.slice(0, 5);
    const patient = 'server_timeout = "10s"\nconnect_timeout = "10s"';
    const configs = {
      "one memcached": targetOf([one!], patient),
      "three memcacheds": targetOf(three, `${patient}\nconnections = 2`),
      "the embedded store": "",
    };
    const native = Object.entries(configs).map(
      ([name, target]) => [name, nativeConfig(`[server]\nflush_all = true\n${target}`)] as const,
    );
    for (const [name, config] of [...native, ...(await differentialTrees(all.slice(5)))]) {
      const platypus = await Platypus.start(config);
      platypuses.push(platypus);
      const [address] = platypus.addresses;
      if (address?.type === "tcp") ports.set(name, address.port);
    }
  });

  afterAll(async () => {
    await Promise.all(platypuses.map((platypus) => platypus.close()));
    await Promise.all(servers.map((server) => server.stop()));
  });

  async function expectEqual(stream: Stream): Promise<void> {
    const all = [...servers.map(({ port }) => port), ports.get("the embedded store")!];
    const empty: Stream = { batches: [[{ opcode: 0x08, casKind: "none" }]], pieces: [100] };
    await Promise.all(all.map((port) => converse(port, empty, false)));
    const { batches, answers, isClosed } = await converse(servers[0]!.port, stream, true);
    for (const [over, port] of ports) {
      const told = await converse(port, { ...stream, batches }, false);
      expect({ over, answers: told.answers, isClosed: told.isClosed }).toEqual({ over, answers, isClosed });
    }
  }

  it("for any stream, cut anywhere", async () => {
    await fc.assert(fc.asyncProperty(stream, expectEqual), { numRuns: RUNS });
  }, 120_000);

  // ---- What the generated streams have shown ----

  const set: Step = { opcode: 0x01, key: "a", extras: words(7, 0), value: "old", casKind: "none" };
  const get: Step = { opcode: 0x00, key: "a", casKind: "none" };
  it.each<[string, Step]>([
    ["a time to live from 2^31 on is no negative one", { ...set, extras: words(0, 0x80000000) }],
    [
      "a touch with the largest time to live keeps the item",
      { opcode: 0x1c, key: "a", extras: words(0xffffffff), casKind: "none" },
    ],
    [
      "a gat with the largest time to live keeps the item",
      { opcode: 0x1d, key: "a", extras: words(0xffffffff), casKind: "none" },
    ],
    [
      "an initial value with a time to live from 2^31 on stays",
      { opcode: 0x05, key: "n", extras: arithmetic(1n, 5n, 0xfffffffe), casKind: "none" },
    ],
    [
      "an add with a cas stores nothing where there is no item",
      { ...set, opcode: 0x02, key: "none", casKind: "wrong" },
    ],
    ["a set over the largest value takes the old value with it", { ...set, value: "L".repeat(1_048_577) }],
    ["so does a quiet one, which is answered", { ...set, opcode: 0x11, value: "L".repeat(1_100_000) }],
    ["a replace over the largest value leaves the old value", { ...set, opcode: 0x03, value: "L".repeat(1_048_577) }],
    ["a replace that a server refuses leaves the old value", { ...set, opcode: 0x03, value: "L".repeat(1_048_570) }],
    ["an add that a server refuses leaves the old value", { ...set, opcode: 0x02, value: "L".repeat(1_048_570) }],
    ["so does a quiet append", { opcode: 0x19, key: "a", value: "L".repeat(1_048_570), casKind: "none" }],
    ["a body shorter than its key is an unknown command", { ...set, bodyBytes: 3 }],
    ["an unknown opcode with a key over 250 bytes closes", { opcode: 0x1f, key: "z".repeat(251), casKind: "none" }],
  ])("and %s", async (_, step) => {
    const after = [get, { ...get, key: "none" }, { ...get, key: "n" }];
    await expectEqual({ batches: [[set], [step], after], pieces: [1_000, 30] });
  });

  it("and discards bodies of unknown commands, SASL and verbosity once", async () => {
    const body = { key: "PLAIN", value: "\0user\0password" };
    for (const port of ports.values()) {
      const client = await BinaryClient.connect(port);
      const opcodes = [0x20, 0x21, 0x22, 0x1f, 0x47, 0xff];
      const asked: Frame[] = opcodes.map((opcode) => ({ opcode, ...body }));
      const answers = await client.ask(
        [...asked, { opcode: 0x1b, extras: words(1) }, { opcode: 0x00, key: "none" }],
        [7],
      );
      client.close();
      expect(answers.map(({ opcode, status }) => [opcode, status])).toEqual([
        ...opcodes.map((opcode) => [opcode, 0x81]),
        [0x1b, 0],
        [0x00, 1],
      ]);
    }
  });

  it("and treats a key without a text form as an invalid argument, with the connection in step", async () => {
    for (const port of ports.values()) {
      const client = await BinaryClient.connect(port);
      const key = " ".repeat(187);
      const asked: Frame[] = [
        { opcode: 0x00, key },
        { opcode: 0x11, key, extras: words(0, 0), value: "v" },
        { opcode: 0x11, key, extras: words(0, 0), value: "L".repeat(1_100_000) },
        { opcode: 0x00, key: "none" },
      ];
      const answers = await client.ask(asked);
      client.close();
      expect(answers.map(({ opcode, status }) => [opcode, status])).toEqual([
        [0, 4],
        [0x11, 4],
        [0x11, 4],
        [0, 1],
      ]);
    }
  });
});
