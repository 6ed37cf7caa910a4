/** What users may do, by text and binary, on addresses with options of their own. */

import { once } from "node:events";
import net from "node:net";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { Platypus } from "../../src/server/platypus.ts";
import { BinaryClient, type Frame, words } from "../support/clients/binary-client.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { afterTest, connect, portOf, startPlatypus, temporaryFolder } from "../support/rigs/started.ts";

const USERS = `
[server]
flush_all = true
[user.web]
password = "web"
prefix = ["app1:", "app2:"]
[user.reader]
password = "reader"
readonly = true
[user.root]
password = "root"
`;
const KEY = "CLIENT_ERROR access denied: key has none of your prefixes\r\n";
const READ_ONLY = "CLIENT_ERROR access denied: read only\r\n";
const OTHERS = "CLIENT_ERROR access denied: concerns keys of others\r\n";
const AUTH_ERROR = 0x20;

function start(toml = USERS, log?: KeptLog): Promise<Platypus> {
  return startPlatypus(toml, log === undefined ? {} : { log: log.log });
}

const loginLine = (name: string) => `set any 0 0 ${2 * name.length + 1}\r\n${name} ${name}`;

async function connectAs(name: string, platypus: Platypus): Promise<TextClient> {
  const client = await connect(platypus);
  expect(await client.ask(loginLine(name))).toBe("STORED\r\n");
  return client;
}

async function connectBinary(platypus: Platypus, name: string): Promise<BinaryClient> {
  const client = await BinaryClient.connect(portOf(platypus));
  afterTest(() => client.close());
  const answers = await client.ask([{ opcode: 0x21, key: "PLAIN", value: `\0${name}\0${name}` }]);
  expect(answers.map(({ status, value }) => [status, value])).toEqual([[0, "Authenticated"]]);
  return client;
}

/** Everything that is answered to these lines, up to the answer to a `mn` behind them. */
async function answers(client: TextClient, lines: string): Promise<string> {
  client.send(`${lines}mn\r\n`);
  return (await client.until("MN\r\n")).slice(0, -"MN\r\n".length);
}

describe("a user with prefixes", () => {
  it("can access its keys, in each command", async () => {
    const client = await connectAs("web", await start());
    expect(
      await answers(client, "set app1:a 0 0 1\r\nv\r\nadd app2:n 0 0 1\r\n5\r\nget app1:a app2:n app1:none\r\n"),
    ).toBe("STORED\r\nSTORED\r\nVALUE app1:a 0 1\r\nv\r\nVALUE app2:n 0 1\r\n5\r\nEND\r\n");
    expect(await answers(client, "incr app2:n 1\r\nmg app1:a v\r\ntouch app1:a 60\r\ndelete app1:a\r\n")).toBe(
      "6\r\nVA 1\r\nv\r\nTOUCHED\r\nDELETED\r\n",
    );
  });

  it.each([
    "get other\r\n",
    "get app1:a other app2:a\r\n",
    "gets other app1:a\r\n",
    "gat 60 app1:a other\r\n",
    "get app1\r\n",
    "get /a/b/app1:x\r\n",
    "get __mcrouter__.version\r\n",
    "set other 0 0 9\r\nflush_all\r\n",
    "cas other 0 0 9 1\r\nflush_all\r\n",
    `set other 0 0 2000000\r\n${"flush_all\r\n".repeat(181_818)}xx\r\n`,
    "append other 0 0 9\r\nflush_all\r\n",
    "delete other\r\n",
    "incr other 1\r\n",
    "touch other 1\r\n",
    "mg other v\r\n",
    "mg other v q\r\n",
    `mg ${Buffer.from("other").toString("base64")} v b\r\n`,
    "ms other 9\r\nflush_all\r\n",
    "ms other 9 q\r\nflush_all\r\n",
    "md other q\r\n",
    "ma other\r\n",
    "me other\r\n",
  ])("cannot send %j, and gets one answer", async (lines) => {
    const platypus = await start();
    const root = await connectAs("root", platypus);
    await root.ask("set kept 0 0 1\r\nv");
    const client = await connectAs("web", platypus);
    expect(await answers(client, lines)).toBe(KEY);
    expect(await root.ask("get kept", "END\r\n")).toContain("VALUE");
  });

  it.each(["set other 0 0 9 noreply\r\nflush_all\r\n", "delete other noreply\r\n", "incr other 1 noreply\r\n"])(
    "cannot send %j, and gets no answer",
    async (lines) => {
      const platypus = await start();
      const root = await connectAs("root", platypus);
      await root.ask("set other 0 0 1\r\n7");
      const client = await connectAs("web", platypus);
      expect(await answers(client, lines)).toBe("");
      expect(await root.ask("get other", "END\r\n")).toBe("VALUE other 0 1\r\n7\r\nEND\r\n");
    },
  );

  it("cannot run commands that affect all keys", async () => {
    const client = await connectAs("web", await start());
    const refused = "flush_all\r\nstats reset\r\nstats cachedump 1 0\r\nstats detail dump\r\nstats detail on\r\n";
    expect(await answers(client, refused)).toBe(OTHERS.repeat(5));
    expect(await client.ask("flush_all 0 noreply\r\nversion")).toMatch(/^VERSION/);
    expect(await client.ask("stats", "END\r\n")).toContain("STAT cmd_get");
  });

  it("is refused byte by byte if its commands arrive so", async () => {
    const client = await connectAs("web", await start());
    for (const byte of "set other 0 0 3\r\nabc\r\nget app1:a other\r\nget app1:a\r\n") {
      client.send(byte);
      await new Promise(setImmediate);
    }
    expect(await answers(client, "")).toBe(`${KEY}${KEY}END\r\n`);
  });

  it("is refused in binary, even for commands whose normal answer is suppressed", async () => {
    const client = await connectBinary(await start(), "web");
    const store = { extras: words(0, 0), value: "v" };
    const ok: Frame[] = [{ opcode: 0x01, key: "app1:a", ...store }, { opcode: 0x00, key: "app1:a" }, { opcode: 0x10 }];
    for (const frame of ok) expect((await client.ask([frame]))[0], JSON.stringify(frame)).toMatchObject({ status: 0 });
    const refused: Frame[] = [
      { opcode: 0x00, key: "other" },
      { opcode: 0x09, key: "other" },
      { opcode: 0x01, key: "other", ...store },
      { opcode: 0x11, key: "other", ...store },
      { opcode: 0x01, key: "other", extras: words(0, 0), value: "x".repeat(2_000_000) },
      { opcode: 0x04, key: "other" },
      { opcode: 0x1c, key: "other", extras: words(60) },
      { opcode: 0x00, key: "bad key" },
      { opcode: 0x08 },
      { opcode: 0x10, key: "reset" },
    ];
    for (const frame of refused) {
      const got = await client.ask([
        { ...frame, opaque: 77 },
        { opcode: 0x0a, opaque: 78 },
      ]);
      expect(got.map(({ status, opaque }) => [opaque, status])).toEqual([
        [77, AUTH_ERROR],
        [78, 0],
      ]);
    }
  });
});

describe("a read-only user", () => {
  it("can read", async () => {
    const platypus = await start();
    await (await connectAs("root", platypus)).ask("set a 0 0 1\r\nv");
    const client = await connectAs("reader", platypus);
    expect(await answers(client, "get a b\r\nmg a v f t\r\nme none\r\nversion\r\n")).toMatch(
      /^VALUE a 0 1\r\nv\r\nEND\r\nVA 1 f0 t-1\r\nv\r\nEN\r\nVERSION .*\r\n$/,
    );
    expect(await client.ask("stats", "END\r\n")).toContain("STAT cmd_get");
  });

  it.each([
    ...["set", "add", "replace", "append", "prepend"].map((verb) => `${verb} a 0 0 9\r\nflush_all\r\n`),
    "cas a 0 0 9 1\r\nflush_all\r\n",
    `set a 0 0 2000000\r\n${"flush_all\r\n".repeat(181_818)}xx\r\n`,
    "delete a\r\n",
    "incr a 1\r\n",
    "decr a 1\r\n",
    "touch a 1\r\n",
    "gat 1 a\r\n",
    "gats 1 a b\r\n",
    "mg a v T1\r\n",
    "mg b N1 v\r\n",
    "mg a v R30\r\n",
    "mg a E5 v\r\n",
    "ms a 9 q\r\nflush_all\r\n",
    "md a q\r\n",
    "ma a\r\n",
    "flush_all\r\n",
    "verbosity 1\r\n",
    "stats reset\r\n",
    "stats detail on\r\n",
  ])("cannot send %j, and gets one answer", async (lines) => {
    const platypus = await start();
    const root = await connectAs("root", platypus);
    await root.ask("set a 0 0 1\r\n7");
    const client = await connectAs("reader", platypus);
    expect(await answers(client, lines)).toBe(READ_ONLY);
    expect(await root.ask("get a", "END\r\n")).toContain("VALUE a 0 1\r\n7\r\n");
    if (!/ q\r|gat|m[dsg]|ma/.test(lines) && !/stats/.test(lines)) {
      const quiet = lines.replace("\r\n", " noreply\r\n");
      expect(await answers(client, quiet)).toBe("");
    }
  });

  it("cannot run cache_memlimit and shutdown, like every user", async () => {
    const client = await connectAs("reader", await start());
    expect(await answers(client, "cache_memlimit 64\r\nshutdown\r\n")).toMatch(/^CLIENT_ERROR.*\r\nERROR.*\r\n$/);
  });

  it("is refused in binary", async () => {
    const client = await connectBinary(await start(), "reader");
    const refused: Frame[] = [
      { opcode: 0x01, key: "a", extras: words(0, 0), value: "v" },
      { opcode: 0x11, key: "a", extras: words(0, 0), value: "v" },
      { opcode: 0x04, key: "a" },
      { opcode: 0x05, key: "a", extras: words(0, 1, 0, 0, 0) },
      { opcode: 0x1c, key: "a", extras: words(1) },
      { opcode: 0x1d, key: "a", extras: words(1) },
      { opcode: 0x1e, key: "a", extras: words(1) },
      { opcode: 0x08 },
      { opcode: 0x1b, extras: words(1) },
    ];
    for (const frame of refused) {
      const got = await client.ask([
        { ...frame, opaque: 77 },
        { opcode: 0x0a, opaque: 78 },
      ]);
      expect(got.map(({ status, opaque }) => [opaque, status])).toEqual([
        [77, AUTH_ERROR],
        [78, 0],
      ]);
    }
    expect((await client.ask([{ opcode: 0x00, key: "a" }]))[0]).toMatchObject({ status: 0x01 });
  });
});

describe("an address with users", () => {
  async function connectUnix(file: string): Promise<TextClient> {
    const socket = net.connect(file);
    await once(socket, "connect");
    const client = TextClient.over(socket);
    afterTest(() => client.close());
    return client;
  }

  it("has a separate list of users, and may be read-only", async () => {
    const folder = await temporaryFolder();
    const [own, open] = [path.join(folder, "own"), path.join(folder, "open")];
    const platypus = await start(`${USERS}
[listen.own]
address = "unix:${own}"
users = ["root"]
readonly = true
[listen.open]
address = "unix:${open}"
login = false
`);
    const client = await connectUnix(own);
    expect(await client.ask(loginLine("web"))).toBe("CLIENT_ERROR authentication failure\r\n");
    expect(await client.ask(loginLine("root"))).toBe("STORED\r\n");
    expect(await client.ask("set a 0 0 1\r\nv")).toBe(READ_ONLY);
    expect(await (await connectAs("root", platypus)).ask("set a 0 0 1\r\nv")).toBe("STORED\r\n");
    expect(await client.ask("get a", "END\r\n")).toContain("VALUE");
    expect(await (await connectUnix(open)).ask("set any 0 0 7\r\nweb bad")).toBe("STORED\r\n");
  });

  it("checks SASL logins even if it needs no login", async () => {
    const platypus = await start(`${USERS}[listen.a]\naddress = "127.0.0.1:0"\nlogin = false\nreadonly = true\n`);
    const client = await BinaryClient.connect(portOf(platypus));
    afterTest(() => client.close());
    const [wrong, get, right] = await client.ask([
      { opcode: 0x21, key: "PLAIN", value: "\0web\0bad" },
      { opcode: 0x00, key: "other" },
      { opcode: 0x21, key: "PLAIN", value: "\0web\0web" },
    ]);
    expect([wrong, get, right].map((answer) => answer!.status)).toEqual([AUTH_ERROR, 0x01, 0]);
    const [other, set] = await client.ask([
      { opcode: 0x00, key: "other" },
      { opcode: 0x01, key: "app1:a", extras: words(0, 0), value: "v" },
    ]);
    expect([other!.status, set!.status]).toEqual([AUTH_ERROR, AUTH_ERROR]);
  });

  it("closes the clients without a login if a reload makes it need one", async () => {
    const toml = (login: boolean) => `${USERS}[listen.a]\naddress = "127.0.0.1:0"\nlogin = ${login}\n`;
    const platypus = await start(toml(false));
    const [anonymous, web] = [await connect(platypus), await connectBinary(platypus, "web")];
    expect(await anonymous.ask("set a 0 0 1\r\nv")).toBe("STORED\r\n");
    platypus.reload(nativeConfig(toml(true)));
    expect(await anonymous.end()).toBe("");
    platypus.reload(nativeConfig(toml(false)));
    expect((await web.ask([{ opcode: 0x00, key: "app1:none" }]))[0]).toMatchObject({ status: 0x01 });
    // It would have more rights without its login.
    platypus.reload(nativeConfig(toml(false).replace("[user.web]", "[user.other]")));
    await once(web.socket, "close");
  });

  it("is read-only without users if configured", async () => {
    const client = await connect(await start('[listen.a]\naddress = "127.0.0.1:0"\nreadonly = true\n'));
    expect(await answers(client, "get a\r\nset a 0 0 1\r\nv\r\n")).toBe(`END\r\n${READ_ONLY}`);
  });
});

describe("users", () => {
  it("are counted and logged, without text that may be a password", async () => {
    const log = new KeptLog();
    const platypus = await start(USERS, log);
    const client = await connect(platypus);
    for (let i = 0; i < 50; i++) await client.ask("set any 0 0 10\r\nweb secret");
    await client.ask("set any 0 0 14\r\nsecret-in-name x".replace("14", "16"));
    await client.ask(loginLine("web"));
    await client.ask("get other");
    const stats = await client.ask("stats", "END\r\n");
    expect(stats).toContain("STAT auth_cmds 52\r\n");
    expect(stats).toContain("STAT auth_errors 51\r\n");
    expect(await client.ask("stats platypus", "END\r\n")).toContain("STAT commands_denied 1\r\n");
    const settings = await client.ask("stats settings", "END\r\n");
    expect(settings).toContain("STAT auth_enabled_sasl yes\r\nSTAT auth_enabled_ascii yes\r\n");
    const said = log.lines.filter((line) => line.includes("could not log in"));
    expect(said).toHaveLength(2);
    expect(said[0]).toMatch(/warn +client: tcp:127\.0\.0\.1:\d+ could not log in at 127\.0\.0\.1:0 as user web$/);
    expect(said[1]).toMatch(/as an unknown user$/);
    expect(log.lines.join("\n")).not.toContain("secret");
  });

  it("change on a reload: a user who is removed is disconnected, permissions change at once", async () => {
    const platypus = await start();
    const [web, reader, root, stranger] = [
      await connectAs("web", platypus),
      await connectAs("reader", platypus),
      await connectAs("root", platypus),
      await connect(platypus),
    ];
    platypus.reload(
      nativeConfig(
        USERS.replace('password = "web"', 'password = "new"\nprevious_password = "web"')
          .replace('prefix = ["app1:", "app2:"]', 'prefix = ["app3:"]')
          .replace("[user.reader]", "[user.gone]")
          .replace('password = "root"', 'password = "changed"'),
      ),
    );
    expect(await reader.end()).toBe("");
    expect(await root.end()).toBe("");
    expect(await answers(web, "get app1:a\r\nget app3:a\r\n")).toBe(`${KEY}END\r\n`);
    expect(await stranger.ask(loginLine("root"))).toBe("CLIENT_ERROR authentication failure\r\n");
    expect(await stranger.ask("set any 0 0 7\r\nweb new")).toBe("STORED\r\n");
    platypus.reload(nativeConfig(USERS.replace('password = "web"', 'password = "new"')));
    expect(await web.end()).toBe("");
    expect(await answers(stranger, "get app1:a\r\n")).toBe("END\r\n");
  });

  it("are added and removed by a reload", async () => {
    const platypus = await start("");
    const before = await connect(platypus);
    expect(await before.ask("set a 0 0 1\r\nv")).toBe("STORED\r\n");
    platypus.reload(nativeConfig(USERS));
    expect(await before.end()).toBe("");
    const web = await connectAs("web", platypus);
    const stranger = await connect(platypus);
    expect(await stranger.ask("get a")).toBe("CLIENT_ERROR unauthenticated\r\n");
    platypus.reload(nativeConfig(""));
    for (const client of [web, stranger]) expect(await client.ask("get a", "END\r\n")).toContain("VALUE");
  });

  it("have commands that were read before a reload refused after it", async () => {
    const platypus = await start();
    const root = await connectAs("root", platypus);
    // More than its share of a turn: the rest is read later.
    root.send("get a\r\n".repeat(5_000));
    await root.until("END\r\n");
    platypus.reload(nativeConfig(USERS.replace("[user.root]", "[user.other]")));
    const rest = await root.end();
    expect(rest).toContain("CLIENT_ERROR unauthenticated");
    expect(rest.split("\r\n").slice(0, -1)).toHaveLength(4_999);
  });
});
