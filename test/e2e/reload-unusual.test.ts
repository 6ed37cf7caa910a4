/** Reloads that few operators try on purpose: users with workers, and a configuration file that is not a file any more. */
import { execFileSync } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { expect, it, type TestContext } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const CONNECTIONS = 8;

async function connectMany({ onTestFinished }: TestContext, port: number): Promise<TextClient[]> {
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => TextClient.connect(port)));
  onTestFinished(() => {
    for (const client of clients) client.close();
  });
  return clients;
}

function login(clients: readonly TextClient[], password: string): Promise<string[]> {
  return Promise.all(clients.map((client) => client.ask(`set any 0 0 ${4 + password.length}\r\nweb ${password}`)));
}

it("a reload gives the users of all workers their new passwords", async (context) => {
  const memcached = await MemcachedProcess.start();
  context.onTestFinished(() => memcached.stop());
  const config = (password: string) => `[server]
listen = "127.0.0.1:0"
workers = 2
[target]
servers = ["127.0.0.1:${memcached.port}"]
[user.web]
password = "${password}"
`;
  const platypus = await PlatypusProcess.start(config("first"));
  context.onTestFinished(() => platypus.stop());
  const before = await connectMany(context, platypus.port);
  expect(new Set(await login(before, "first"))).toEqual(new Set(["STORED\r\n"]));

  await writeFile(platypus.configFile, config("second"));
  platypus.child.kill("SIGHUP");
  await platypus.printed(/: reloaded/);
  await Promise.all(before.map((client) => client.end()));
  const after = await connectMany(context, platypus.port);
  const refused = await login(after.slice(0, CONNECTIONS / 2), "first");
  expect(new Set(refused)).toEqual(new Set(["CLIENT_ERROR authentication failure\r\n"]));
  expect(new Set(await login(after.slice(CONNECTIONS / 2), "second"))).toEqual(new Set(["STORED\r\n"]));
});

it("a pipe in place of the configuration file is refused, a later file is read, and SIGTERM ends the process", async (context) => {
  const config = (value: string) => `[server]
listen = "127.0.0.1:0"
[source.said]
type = "echo"
template = "${value}"
[get.said]
match = "said"
source = "said"
ttl = "1m"
`;
  const platypus = await PlatypusProcess.start(config("one"));
  context.onTestFinished(() => platypus.stop());
  await rm(platypus.configFile);
  execFileSync("/usr/bin/mkfifo", [platypus.configFile]);
  platypus.child.kill("SIGHUP");
  await platypus.printed(/could not be read: it is a pipe, not a file/);

  await rm(platypus.configFile);
  await writeFile(platypus.configFile, config("two"));
  platypus.child.kill("SIGHUP");
  await platypus.printed(/: reloaded/);
  execFileSync("/bin/rm", [platypus.configFile]);
  execFileSync("/usr/bin/mkfifo", [platypus.configFile]);
  platypus.child.kill("SIGHUP");
  await platypus.printed(/a pipe[\s\S]*: reloaded[\s\S]*a pipe/);
  platypus.child.kill("SIGTERM");
  expect(await platypus.exit()).toBe(0);
});
