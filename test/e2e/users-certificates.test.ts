/** Clients whose certificate is their login. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.ts";
import type { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { afterTest, startPlatypus } from "../support/rigs/started.ts";

const OPENSSL = "/usr/bin/openssl";
const support = fileURLToPath(new URL("../support/tls", import.meta.url));
const ca = readFileSync(path.join(support, "ca.pem"));
let folder: string;

/** Certificates of an authority of the test's own, for each common name. */
function makeCertificates(): void {
  const openssl = (...args: string[]) => execFileSync(OPENSSL, args, { cwd: folder, stdio: "ignore" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  for (const authority of ["own", "strange"]) {
    openssl(
      ..."req -x509 -days 3".split(" "),
      ...newKey,
      "-subj",
      `/CN=${authority}`,
      "-keyout",
      `${authority}.key`,
      "-out",
      `${authority}.pem`,
    );
  }
  for (const [file, subject, authority] of [
    ["web", "/CN=web", "own"],
    ["host", "/O=Example/CN=app.example.org", "own"],
    ["nobody", "/CN=nobody", "own"],
    ["two", "/CN=web/CN=root", "own"],
    ["forged", "/CN=web", "strange"],
  ] as const) {
    openssl("req", ...newKey, "-subj", subject, "-keyout", `${file}.key`, "-out", `${file}.csr`);
    openssl(
      "x509",
      "-req",
      "-days",
      "3",
      "-in",
      `${file}.csr`,
      "-CA",
      `${authority}.pem`,
      "-CAkey",
      `${authority}.key`,
      "-out",
      `${file}.pem`,
    );
  }
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
  if (existsSync(OPENSSL)) makeCertificates();
});

afterAll(() => rm(folder, { recursive: true }));

function configOf(
  users = '[user.web]\nprefix = "web:"\n[user."app.example.org"]\n[user.root]\npassword = "root"\n',
): Config {
  return nativeConfig(`
[server]
tls_cert = "${support}/server.pem"
tls_key = "${support}/server.key"
[listen.apps]
address = "tls:127.0.0.1:0"
client_certificates = true
tls_ca = "${folder}/own.pem"
${users}`);
}

async function start(config = configOf(), log = new KeptLog()): Promise<{ platypus: Platypus; log: KeptLog }> {
  const platypus = await startPlatypus(config, { log: log.log });
  return { platypus, log };
}

async function connect(
  platypus: Platypus,
  name: string | null,
  options: tls.ConnectionOptions = {},
): Promise<TextClient> {
  const address = platypus.addresses.find((each) => each.type === "tcp" && each.isTls)!;
  const port = address.type === "tcp" ? address.port : 0;
  const own =
    name === null ? {} : { cert: readFileSync(`${folder}/${name}.pem`), key: readFileSync(`${folder}/${name}.key`) };
  const socket = tls.connect({ host: "127.0.0.1", port, ca, ...own, ...options });
  await once(socket, "secureConnect");
  const client = TextClient.over(socket);
  afterTest(() => client.close());
  return client;
}

describe.skipIf(!existsSync(OPENSSL))("a client certificate", () => {
  it("logs in the user of its common name", async () => {
    const { platypus } = await start();
    const web = await connect(platypus, "web");
    expect(await web.ask("set web:a 0 0 1\r\nv")).toBe("STORED\r\n");
    expect(await web.ask("get a")).toMatch(/^CLIENT_ERROR access denied/);
    const host = await connect(platypus, "host");
    expect(await host.ask("set a 0 0 1\r\nv")).toBe("STORED\r\n");
    expect(await host.ask("stats", "END\r\n")).toContain("STAT auth_cmds 2\r\nSTAT auth_errors 0\r\n");
  });

  it.each(["nobody", "two"])("without one user's name (%s) lets its client log in by password", async (name) => {
    const { platypus, log } = await start();
    const client = await connect(platypus, name);
    expect(await client.ask("get a")).toBe("CLIENT_ERROR unauthenticated\r\n");
    await log.said(/tcp:127\.0\.0\.1:\d+ could not log in at tls:127\.0\.0\.1:0 as an unknown user/);
    expect(await client.ask("set any 0 0 9\r\nroot root")).toBe("STORED\r\n");
    expect(await client.ask("get a", "END\r\n")).toBe("END\r\n");
  });

  it.each([["forged"], [null]])("closes the connection if it has another authority, or none (%s)", async (name) => {
    const { platypus } = await start();
    const client = await connect(platypus, name);
    client.send("get a\r\n");
    expect(await client.end()).toBe("");
  });

  it("logs in the clients of a resumed session", async () => {
    const { platypus } = await start();
    const first = await connect(platypus, "web");
    const [session] = await Promise.all([once(first.socket, "session"), first.ask("get web:a", "END\r\n")]);
    const second = await connect(platypus, "web", { session: session[0] as Buffer });
    expect((second.socket as tls.TLSSocket).isSessionReused()).toBe(true);
    expect(await second.ask("get web:a", "END\r\n")).toBe("END\r\n");
    expect(await second.ask("get a")).toMatch(/^CLIENT_ERROR access denied/);
  });

  it("does not log in a user that a reload has removed", async () => {
    const { platypus } = await start();
    const [web, host] = [await connect(platypus, "web"), await connect(platypus, "host")];
    platypus.reload(configOf('[user."app.example.org"]\nreadonly = true\n'));
    expect(await web.end()).toBe("");
    expect(await host.ask("delete a")).toBe("CLIENT_ERROR access denied: read only\r\n");
    expect(await (await connect(platypus, "web")).ask("get a")).toBe("CLIENT_ERROR unauthenticated\r\n");
  });
});
