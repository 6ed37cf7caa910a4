import { readdirSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { loadConfig } from "../../src/server/load-config.ts";
import { packageVersion } from "../../src/version.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const CONFIG_FOLDER = fileURLToPath(new URL("../../config", import.meta.url));
const ECHO = `[server]
listen = "127.0.0.1:0"
[get.hello]
match = "hello/(.*)"
source = "greeting"
[source.greeting]
type = "echo"
template = "Hello, {1}!"
`;

let running: PlatypusProcess[] = [];
let clients: TextClient[] = [];

async function start(toml: string): Promise<PlatypusProcess> {
  const started = await PlatypusProcess.start(toml);
  running.push(started);
  return started;
}

function run(args: string[], env: Record<string, string> = {}): PlatypusProcess {
  const started = PlatypusProcess.run(args, env);
  running.push(started);
  return started;
}

async function connect(port: number): Promise<TextClient> {
  const client = await TextClient.connect(port);
  clients.push(client);
  return client;
}

afterEach(async () => {
  for (const client of clients) client.close();
  await Promise.all(running.map((one) => one.stop()));
  clients = [];
  running = [];
});

describe("the start of platypus", () => {
  it("shows for the quickstart the address and examples, and each of its sources answers", async () => {
    const platypus = run([], { PLATYPUS_SERVER_LISTEN: "127.0.0.1:0" });
    await platypus.printed(/Try: {2}printf/);
    expect(platypus.stdout).toContain(`nc -q1 127.0.0.1 ${platypus.port}`);
    const client = await connect(platypus.port);
    const first = await client.ask("get quickstart/hello", "END\r\n");
    expect(first).toMatch(/^VALUE quickstart\/hello 0 \d+\r\nhello from the origin at \d\d:\d\d:\d\d\r\nEND\r\n$/);
    expect(await client.ask("get hello/Bob", "END\r\n")).toBe("VALUE hello/Bob 0 11\r\nHello, Bob!\r\nEND\r\n");
    expect(await client.ask("get file/about.txt", "END\r\n")).toContain("This value came from a file.");
    expect(await client.ask("get file/nothing.txt", "END\r\n")).toBe("END\r\n");
  });

  it("names a port that is in use and the fix, and exits with 1", async () => {
    const first = await start(ECHO);
    const second = run(["--config", first.configFile, "--listen", `127.0.0.1:${first.port}`]);
    expect(await second.exit()).toBe(1);
    expect(second.stderr).toContain(`127.0.0.1:${first.port} is in use`);
    expect(second.stderr).toContain("--listen");
  });

  it.each([
    [["--version"], `platypus ${packageVersion}\n`],
    [["-V"], `platypus ${packageVersion}\n`],
  ])("prints the version for %s and exits with 0", async (args, expected) => {
    const platypus = run(args);
    expect(await platypus.exit()).toBe(0);
    expect(platypus.stdout).toBe(expected);
  });

  it("names an unknown flag and exits with 2", async () => {
    const platypus = run(["--confg", "x.toml"]);
    expect(await platypus.exit()).toBe(2);
    expect(platypus.stderr).toContain("--confg");
  });
});

describe("platypus check", () => {
  it("lists every problem with file and line and exits with 2", async () => {
    const platypus = await start(ECHO);
    await writeFile(
      platypus.configFile,
      `[server]\nlissen = "x"\n\n[get.a]\nmatch = "("\nsource = "nowhere"\nttl = "5"\n`,
    );
    const check = run(["check", platypus.configFile]);
    expect(await check.exit()).toBe(2);
    const lines = check.stderr.split("\n").filter((line) => line.startsWith(platypus.configFile));
    expect(lines.map((line) => line.slice(platypus.configFile.length + 1).split(":")[0])).toEqual(["2", "5", "6", "7"]);
    expect(check.stderr).toContain("listen");
    expect(check.stderr).toContain("4 problems found");
  });

  it("reports a missing file as a problem", async () => {
    const check = run(["check", "/nowhere/platypus.toml"]);
    expect(await check.exit()).toBe(2);
    expect(check.stderr).toContain("/nowhere/platypus.toml: there is no such file");
  });

  it("summarises a valid file and exits with 0", async () => {
    const check = run(["check", `${CONFIG_FOLDER}/quickstart.toml`]);
    expect(await check.exit()).toBe(0);
    expect(check.stdout).toContain("no problems");
  });
});

describe("a reload", () => {
  it("applies a changed file without dropping a connection", async () => {
    const platypus = await start(ECHO);
    const client = await connect(platypus.port);
    expect(await client.ask("get hello/a", "END\r\n")).toContain("Hello, a!");
    await writeFile(`${platypus.configFile}.new`, ECHO.replace("Hello", "Goodbye"));
    await rename(`${platypus.configFile}.new`, platypus.configFile);
    await platypus.printed(/reloaded/);
    expect(await client.ask("get hello/b", "END\r\n")).toContain("Goodbye, b!");
  });

  it("happens at once on SIGHUP", async () => {
    const platypus = await start(ECHO);
    await writeFile(platypus.configFile, ECHO.replace("Hello", "Salut"));
    platypus.child.kill("SIGHUP");
    await platypus.printed(/reloaded/);
    const client = await connect(platypus.port);
    expect(await client.ask("get hello/b", "END\r\n")).toContain("Salut, b!");
  });

  it("applies the levels of the log, module by module", async () => {
    const quiet = ECHO.replace("[server]", '[server]\nlog_level = "error,config=info"');
    const platypus = await start(quiet.replace("error", "info"));
    await writeFile(platypus.configFile, quiet);
    platypus.child.kill("SIGHUP");
    await platypus.printed(/: reloaded/);
    platypus.child.kill("SIGTERM");
    expect(await platypus.exit()).toBe(0);
    expect(platypus.stderr).not.toContain("SIGTERM: answering");
  });

  it("of an invalid file changes nothing, is logged with its line and shown in stats until the file is corrected", async () => {
    const platypus = await start(ECHO);
    await writeFile(platypus.configFile, ECHO.replace('"greeting"', '"greetin"'));
    platypus.child.kill("SIGHUP");
    await platypus.printed(/not reloaded/);
    expect(platypus.stderr).toContain(`${platypus.configFile}:5:`);
    const client = await connect(platypus.port);
    expect(await client.ask("get hello/a", "END\r\n")).toContain("Hello, a!");
    expect(await client.ask("stats platypus", "END\r\n")).toMatch(/STAT config_error .*greetin/);
    await writeFile(platypus.configFile, ECHO.replace("Hello", "Hi"));
    platypus.child.kill("SIGHUP");
    await platypus.printed(/: reloaded/);
    expect(await client.ask("stats platypus", "END\r\n")).toContain("STAT config_error none");
    expect(await client.ask("get hello/c", "END\r\n")).toContain("Hi, c!");
  });
});

describe("the stop of platypus", () => {
  it("answers everything that was read before SIGTERM, then exits with 0", async () => {
    const platypus = await start(ECHO);
    const client = await connect(platypus.port);
    await client.ask("set k 0 0 5\r\nvalue");
    const count = 10_000;
    client.send("get k\r\n".repeat(count));
    await client.until("END\r\n");
    platypus.child.kill("SIGTERM");
    const rest = await client.end();
    client.close();
    expect(await platypus.exit()).toBe(0);
    const answer = "VALUE k 0 5\r\nvalue\r\nEND\r\n";
    // Every answer is whole and right; what had not been read yet may be unanswered.
    expect(rest).toBe(answer.repeat(rest.length / answer.length));
  });

  it("closes a client that remains connected once it has its answers", async () => {
    const platypus = await start(ECHO);
    const client = await connect(platypus.port);
    await client.ask("version");
    client.socket.once("end", () => client.socket.end());
    platypus.child.kill("SIGTERM");
    await client.end();
    expect(await platypus.exit()).toBe(0);
  });

  it("does not wait for handles that a module has left open", async () => {
    const module = fileURLToPath(new URL("../support/modules/open-connection.ts", import.meta.url));
    const rule = `[get.a]\nmatch = "a"\nsource = "own"\nfill_timeout = "10s"\n`;
    const platypus = await start(
      `[server]\nlisten = "127.0.0.1:0"\n${rule}[source.own]\ntype = "module"\npath = "${module}"\n`,
    );
    const client = await connect(platypus.port);
    expect(await client.ask("get a", "END\r\n")).toBe("VALUE a 0 1\r\nv\r\nEND\r\n");
    client.close();
    const explaining = run(["explain", "a", "--config", platypus.configFile, "--fetch"]);
    expect(await explaining.exit()).toBe(0);
    expect(explaining.stdout).toContain("1 bytes in");
    platypus.child.kill("SIGTERM");
    expect(await platypus.exit()).toBe(0);
  });
});

describe("config/", () => {
  it.each(readdirSync(CONFIG_FOLDER).filter((name) => name.endsWith(".toml")))("%s loads", async (name) => {
    const env = { SESSIONS_PASSWORD: "one", REPORTS_PASSWORD: "two" };
    const config = await loadConfig({ path: `${CONFIG_FOLDER}/${name}`, env });
    expect(config.file).toBe(`${CONFIG_FOLDER}/${name}`);
  });
});

describe("README", () => {
  it("its configuration example loads", async () => {
    const readme = await readFile(fileURLToPath(new URL("../../README.md", import.meta.url)), "utf8");
    const examples = [...readme.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, text]) => text!);
    expect(examples.length).toBeGreaterThan(0);
    for (const text of examples) {
      const platypus = await start(ECHO);
      await writeFile(platypus.configFile, text);
      const check = run(["check", platypus.configFile]);
      expect([await check.exit(), check.stderr]).toEqual([0, ""]);
    }
  });
});
