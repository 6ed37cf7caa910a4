/** Whatever a client sends, a gate lets nothing through that the client may not give. */
import { describe, expect, it } from "vitest";
import { Access } from "../../../src/proxy/client/access.ts";
import { Gate } from "../../../src/proxy/client/gate.ts";
import { Operation, type Request } from "../../../src/proxy/request.ts";
import { BinaryParser } from "../../../src/proxy/wire/binary-parser.ts";
import { ClassicParser, Parsed } from "../../../src/proxy/wire/classic-parser.ts";
import { hostileStream } from "../../fuzz/hostile-traffic.ts";
import { oddCommand } from "../../fuzz/odd-command.ts";
import { Random } from "../../fuzz/random.ts";
import { frameBytes } from "../../support/clients/binary-client.ts";
import { nativeConfig } from "../../support/rigs/native-config.ts";

const ADDRESS = { type: "tcp", host: "127.0.0.1", port: 0, isTls: false } as const;
const USERS = `
[user.own]
password = "own"
prefix = ["k:", "n", "fill/a"]
[user.reader]
password = "reader"
readonly = true
[user.root]
password = "root"
`;
const limits = { maxValueBytes: 100, isFlushAllAllowed: true, prefix: "" };
const nobody = { onReply: () => {} };
const access = Access.of(nativeConfig(USERS).access, ADDRESS)!;

/** What a stream led to. */
interface Led {
  readonly requests: Request[];
  readonly words: string[][];
  refused: number;
}

/** Reads a stream as a connection does; `name` has logged in before it. */
function lead(name: string | null, stream: Buffer, isCurrent: boolean): Led {
  const counters = { authCommands: 0, authErrors: 0, denied: 0 };
  const gate = new Gate(access, { counters, loginFailed: () => {} }, "test", null);
  const isBinary = stream[0] === 0x80;
  const login = isBinary
    ? frameBytes({ opcode: 0x21, key: "PLAIN", value: `\0${name}\0${name}` })
    : Buffer.from(`set a 0 0 ${String(name).length * 2 + 1}\r\n${name} ${name}\r\n`);
  const bytes = name === null ? stream : Buffer.concat([login, stream]);
  const parser = isBinary
    ? new BinaryParser(() => limits)
    : new ClassicParser(
        () => limits,
        () => isCurrent,
      );
  const led: Led = { requests: [], words: [], refused: 0 };
  for (let at = 0; at < bytes.length; ) {
    const parsed = gate.parse(parser, nobody, bytes, at, bytes.length, true);
    if (parsed === Parsed.incomplete || parsed === Parsed.close) break;
    expect(parser.next).toBeGreaterThan(at);
    at = parser.next + parser.swallowBytes;
    parser.swallowBytes = 0;
    if (parsed === Parsed.request) led.requests.push(parser.request!);
    if (parsed === Parsed.local) led.words.push(parser.words);
    if (parser.isLast) break;
  }
  if (name !== null) expect(counters.authCommands).toBeGreaterThan(0);
  led.refused = counters.denied;
  return led;
}

function keysOf({ keys, chunk, keyStart, keyEnd }: Request): string[] {
  if (keys === null) return [chunk.toString("latin1", keyStart, keyEnd)];
  return keys.starts.map((start, i) => keys.bytes.toString("latin1", start, keys.ends[i]));
}

const lineOf = ({ chunk, frameStart, lineEnd }: Request) => chunk.toString("latin1", frameStart, lineEnd);

const streams = Array.from({ length: 1_000 }, (_, seed) => {
  const random = new Random(seed);
  const odd = () =>
    Buffer.concat(Array.from({ length: 20 }, () => Buffer.from(oddCommand(random, true).bytes, "latin1")));
  const extra = "stats cachedump 1 1\r\nflush_all\r\nget k:1 n a\r\nget k:1 n\r\n";
  return { stream: seed % 2 === 0 ? hostileStream(random) : Buffer.concat([odd(), Buffer.from(extra)]), seed };
});
const all = (name: string | null) => streams.map(({ stream, seed }) => lead(name, stream, seed % 4 < 2));

describe("a gate", () => {
  it("lets a user with prefixes send commands only for its own keys", () => {
    const led = all("own");
    const requests = led.flatMap((each) => each.requests);
    const strange = requests.filter((request) => {
      return request.operation === Operation.flushAll || !keysOf(request).every((key) => /^(k:|n|fill\/a)/.test(key));
    });
    expect(strange.map(lineOf)).toEqual([]);
    expect(led.flatMap(({ words }) => words).filter(([, group]) => group === "cachedump")).toEqual([]);
    expect(requests.length).toBeGreaterThan(1_000);
    expect(led.reduce((sum, { refused }) => sum + refused, 0)).toBeGreaterThan(1_000);
  });

  it("lets a read-only user change nothing", () => {
    const led = all("reader");
    const requests = led.flatMap((each) => each.requests);
    const { get, gets, metaGet, metaDebug } = Operation;
    const reads: readonly Operation[] = [get, gets, metaGet, metaDebug];
    const strange = requests.filter((request) => {
      return (
        !reads.includes(request.operation) || (request.operation === metaGet && / [NTER]\S*( |$)/.test(lineOf(request)))
      );
    });
    expect(strange.map(lineOf)).toEqual([]);
    expect(requests.length).toBeGreaterThan(1_000);
    expect(led.reduce((sum, { refused }) => sum + refused, 0)).toBeGreaterThan(1_000);
  });

  it("lets everything through for a user with all rights, and nothing without a login", () => {
    expect(all("root").reduce((sum, { refused }) => sum + refused, 0)).toBe(0);
    const led = all(null);
    expect(led.flatMap(({ requests }) => requests)).toEqual([]);
    expect(led.flatMap(({ words }) => words).filter(([word]) => word !== "version")).toEqual([]);
  });
});
