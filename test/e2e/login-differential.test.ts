/** Clients that log in, or do not: Platypus answers as a memcached with the same user does, byte for byte. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { type Frame, frameBytes } from "../support/clients/binary-client.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const SASLPASSWD = "/usr/sbin/saslpasswd2";
const USERS = '[user.foo]\npassword = "bar"\n[user.baaaz]\npassword = "q uux"\n';

/** Everything that is answered to these bytes, up to the end of the connection. */
async function answersTo(port: number, bytes: Buffer, isByteByByte: boolean): Promise<string> {
  const client = await TextClient.connect(port);
  const pieces = isByteByByte ? [...bytes].map((_, i) => bytes.subarray(i, i + 1)) : [bytes];
  for (const piece of pieces) {
    if (client.socket.destroyed) break;
    client.send(piece);
    if (isByteByByte) await new Promise(setImmediate);
  }
  client.socket.end();
  return client.end();
}

/** The answers to steps that each wait for the one before. memcached loses answers of a client that does not wait for its login. */
async function answersInStep(port: number, steps: readonly string[]): Promise<string> {
  const client = await TextClient.connect(port);
  for (const step of steps) {
    const before = client.received.length;
    const isClosed = new Promise<void>((resolve) => client.socket.once("close", () => resolve()));
    client.send(step);
    const answered = async () => {
      while (client.received.length === before || !client.received.toString("latin1").endsWith("\r\n")) {
        await new Promise((resolve) => client.socket.once("data", resolve));
      }
    };
    await Promise.race([isClosed, answered()]);
    if (client.socket.destroyed) break;
  }
  client.socket.end();
  return client.end();
}

async function startPlatypus(toml: string): Promise<{ platypus: Platypus; port: number }> {
  const platypus = await Platypus.start(nativeConfig(toml));
  const [address] = platypus.addresses;
  return { platypus, port: address!.type === "tcp" ? address!.port : 0 };
}

describe("text logins", () => {
  let folder: string;
  /** `null` if the server is older than 1.6.40, which loses answers, and ends on a login that is too long. */
  let memcached: MemcachedProcess | null = null;
  let platypus: Platypus;
  let port: number;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    const file = path.join(folder, "users");
    await writeFile(file, "foo:bar\nbaaaz:q uux\n");
    if (MemcachedProcess.isCurrent) memcached = await MemcachedProcess.start({ args: ["-Y", file] });
    ({ platypus, port } = await startPlatypus(USERS));
  });

  afterAll(async () => {
    await platypus.close();
    await memcached?.stop();
    await rm(folder, { recursive: true });
  });

  const login = "set any 0 0 7\r\nfoo bar\r\n";
  const cases: readonly (readonly [steps: readonly string[], answers: string])[] = [
    [
      [login, "set a 0 0 2\r\nhi\r\n", "get a\r\n", login, "get any\r\n"],
      "STORED\r\nSTORED\r\nVALUE a 0 2\r\nhi\r\nEND\r\nSTORED\r\nVALUE any 0 7\r\nfoo bar\r\nEND\r\n",
    ],
    [["set any 0 0 11\r\nbaaaz q uux\r\n", "get none\r\n"], "STORED\r\nEND\r\n"],
    [
      ["set any 0 0 7\r\nfoo bab\r\n", "get none\r\n", login, "get none\r\n"],
      "CLIENT_ERROR authentication failure\r\nCLIENT_ERROR unauthenticated\r\nSTORED\r\nEND\r\n",
    ],
    [
      ["get something\r\n", "gets something\r\n", login, "get none\r\n"],
      "CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\nSTORED\r\nEND\r\n",
    ],
    [["set any 0 0 2\r\nhi\r\n", login], "CLIENT_ERROR bad authentication token format\r\nSTORED\r\n"],
    [["set foo 0 0 2147483646\r\n", login, "get none\r\n"], "CLIENT_ERROR auth token too long\r\nSTORED\r\nEND\r\n"],
    [["set any 0 0 7 noreply\r\nfoo bar\r\n", "get none\r\n"], "STORED\r\nEND\r\n"],
    [
      [
        "version\r\n",
        "verbosity 1\r\n",
        "flush_all\r\n",
        "stats settings\r\n",
        "shutdown\r\n",
        "watch mutations\r\n",
        login,
      ],
      "CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\nSTORED\r\n",
    ],
    [
      ["mg something v\r\n", "md something q\r\n", "me something\r\n", login],
      "CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\nSTORED\r\n",
    ],
    [["ms something 2\r\n", "hi\r\n"], "CLIENT_ERROR unauthenticated\r\n"],
    [["quit\r\n"], ""],
    [["mn\r\n"], ""],
    [["set any 0 0 7\n", "get something\r\n"], "CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\n"],
    [["set any 0 0 6\r\nfoo bar\r", "\nget", "get something\r\n"], "CLIENT_ERROR bad command line termination\r\n"],
    [["set any 0 0 3\r\nfoo\r\n", login], "CLIENT_ERROR bad authentication token format\r\nSTORED\r\n"],
    [["set any 0 0 8\r\nfoo bar \r\n", login], "CLIENT_ERROR authentication failure\r\nSTORED\r\n"],
    [["set any 0 0 3\r\n ba\r\n", login], "CLIENT_ERROR authentication failure\r\nSTORED\r\n"],
    [["set any 0 0\r\n", login], "CLIENT_ERROR unauthenticated\r\nSTORED\r\n"],
    [["set any 0 0 -7\r\n", login], "CLIENT_ERROR unauthenticated\r\nSTORED\r\n"],
    [["set any 0 0 x\r\n", login], "CLIENT_ERROR unauthenticated\r\nSTORED\r\n"],
    [["set any 0 0 7x\r\n", login], "CLIENT_ERROR unauthenticated\r\nSTORED\r\n"],
    [["set any 0 0 4294967296\r\n", login], "CLIENT_ERROR unauthenticated\r\nSTORED\r\n"],
    [["set any 0 0 4294967295\r\n", login], "CLIENT_ERROR auth token too long\r\nSTORED\r\n"],
    [["set  any  0  0  7 \r\nfoo bar\r\n", "get none\r\n"], "STORED\r\nEND\r\n"],
    [[" set any 0 0 7\r\n", login], "CLIENT_ERROR unauthenticated\r\nSTORED\r\n"],
    [["settle any 0 0 7\r\nfoo bar\r\n", "get none\r\n"], "STORED\r\nEND\r\n"],
    [["add any 0 0 7\r\n", login], "CLIENT_ERROR unauthenticated\r\nSTORED\r\n"],
    [["set any word word 7\r\nfoo bar\r\n", "get none\r\n"], "STORED\r\nEND\r\n"],
  ];

  it.each(cases)("%j are answered as by memcached, one by one, together, and byte by byte", async (steps, answers) => {
    if (memcached !== null) expect(await answersInStep(memcached.port, steps)).toBe(answers);
    const bytes = Buffer.from(steps.join(""), "latin1");
    expect(await answersInStep(port, steps)).toBe(answers);
    expect(await answersTo(port, bytes, false)).toBe(answers);
    expect(await answersTo(port, bytes, true)).toBe(answers);
  });

  it("have at most 16 KiB", async () => {
    const steps = [`set any 0 0 16384\r\n${"x".repeat(16_384)}\r\n`, "set any 0 0 16385\r\n", login];
    const answers = ["CLIENT_ERROR bad authentication token format", "CLIENT_ERROR auth token too long", "STORED"];
    expect(await answersTo(port, Buffer.from(steps.join(""), "latin1"), false)).toBe(`${answers.join("\r\n")}\r\n`);
  });

  it("close the connection on a line without an end", async () => {
    expect(await answersTo(port, Buffer.from("x".repeat(2100), "latin1"), false)).toBe("");
  });

  it("are counted, if they have a name and a password", async () => {
    const client = await TextClient.connect(port);
    await client.ask("set any 0 0 7\r\nfoo bar");
    const counts = async () => {
      const stats = await client.ask("stats", "END\r\n");
      return ["auth_cmds", "auth_errors"].map((name) => Number(new RegExp(`STAT ${name} (\\d+)`).exec(stats)![1]));
    };
    const before = await counts();
    const steps = ["set any 0 0 7\r\nfoo bab\r\n", "set any 0 0 3\r\nfoo\r\n", "get a\r\n", login];
    await answersTo(port, Buffer.from(steps.join(""), "latin1"), false);
    const after = await counts();
    expect(after.map((count, i) => count - before[i]!)).toEqual([2, 1]);
    client.close();
  });
});

describe.skipIf(MemcachedProcess.isMissing || !existsSync(SASLPASSWD))("SASL logins", () => {
  let folder: string;
  let memcached: MemcachedProcess;
  let platypus: Platypus;
  let port: number;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    const file = path.join(folder, "users");
    const lines = ["mech_list: plain", "pwcheck_method: auxprop", "auxprop_plugin: sasldb", `sasldb_path: ${file}`];
    await writeFile(path.join(folder, "memcached.conf"), `${lines.join("\n")}\n`);
    execFileSync(SASLPASSWD, ["-p", "-a", "memcached", "-c", "-u", "memcached", "-f", file, "foo"], { input: "bar" });
    memcached = await MemcachedProcess.start({ args: ["-S", "-B", "binary"], env: { SASL_CONF_PATH: folder } });
    ({ platypus, port } = await startPlatypus('[user."foo@memcached"]\npassword = "bar"\n'));
  });

  afterAll(async () => {
    await platypus.close();
    await memcached.stop();
    await rm(folder, { recursive: true });
  });

  const list = { opcode: 0x20, opaque: 7 };
  const auth = { opcode: 0x21, key: "PLAIN", value: "\0foo@memcached\0bar", opaque: 9 };
  const wrong = { ...auth, value: "\0foo@memcached\0bab" };
  const get = { opcode: 0x00, key: "none" };
  const version = { opcode: 0x0b };
  const noop = { opcode: 0x0a };
  const cases: readonly (readonly Frame[])[] = [
    [list, auth, get, noop],
    [wrong, auth, noop],
    [wrong, noop, noop],
    [get, noop],
    [{ opcode: 0x09, key: "none" }, noop],
    [{ opcode: 0x01, key: "a", extras: "\0\0\0\0\0\0\0\0", value: "value" }, noop],
    [{ opcode: 0x10 }, noop],
    [{ opcode: 0x07 }],
    [{ opcode: 0x17 }],
    [{ opcode: 0x66 }, noop],
    [auth, list, noop],
    [auth, wrong, noop],
    [{ opcode: 0x21, key: "PLAIN" }, { ...auth, opcode: 0x22 }, noop],
    [{ opcode: 0x21, key: "PLAIN" }, { ...wrong, opcode: 0x22 }, { ...auth, opcode: 0x22 }, noop],
    [{ ...auth, opcode: 0x22 }, noop],
    [{ ...auth, key: "CRAM-MD5" }, noop],
    [{ ...auth, key: "plain" }, noop],
    [{ ...auth, value: "foo@memcached\0foo@memcached\0bar" }, noop],
    [{ ...auth, value: "other@memcached\0foo@memcached\0bar" }, noop],
    [{ ...auth, value: "foo@memcached" }, noop],
    [{ ...auth, value: "\0foo@memcached\0bar\0" }, noop],
    [{ ...auth, key: "x".repeat(33) }, auth, noop],
  ];

  it.each(cases)("frames %# are answered as by memcached, whole and byte by byte", async (...frames) => {
    const bytes = Buffer.concat(frames.map(frameBytes));
    const expected = await answersTo(memcached.port, bytes, false);
    const hex = (text: string) => Buffer.from(text, "latin1").toString("hex");
    expect(hex(await answersTo(port, bytes, false))).toBe(hex(expected));
    expect(hex(await answersTo(port, bytes, true))).toBe(hex(expected));
  });

  it("are allowed to request the version", async () => {
    const answer = await answersTo(port, frameBytes(version), false);
    expect(answer.slice(24)).toMatch(/^\d+\.\d+\.\d+/);
  });
});
