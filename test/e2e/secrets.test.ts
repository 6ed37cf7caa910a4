/** Secrets as clients see them: real sockets, a real memcached, the SDK, and a server that checks its signatures. */
import { beforeEach, describe, expect, it } from "vitest";
import type { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { awsEnvironment } from "../support/rigs/aws-environment.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, startMemcached, startPlatypus } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";
import { ACCESS_KEY, SECRET_KEY, SecretsManagerServer } from "../support/servers/secrets-manager.ts";

let server: SecretsManagerServer;
let kept: KeptLog;

beforeEach(async () => {
  const environment = await awsEnvironment({ AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY });
  afterTest(() => environment.restore());
  server = await SecretsManagerServer.start();
  afterTest(() => server.close());
  kept = new KeptLog();
});

/** Two rules over one pool of AWS: whole secrets, and a field of them. */
function secretRules(settings = ""): string {
  return `
    [pool.aws]
    type = "aws_secrets_manager"
    region = "eu-central-1"
    endpoint = "${server.url}"

    [get.field]
    match = "secret/(?P<name>.+)#(?:password)"
    source = "fields"
    fill_timeout = "10s"

    [get.whole]
    match = "secret/(.+)"
    source = "secrets"
    fill_timeout = "10s"
    ${settings}

    [source.secrets]
    type = "aws_secrets_manager"
    secret_id = "app/{1}"
    pool = "aws"

    [source.fields]
    type = "awssm"
    key = "app/{name}"
    field = "password"
    pool = "aws"
  `;
}

async function clientOf(toml: string): Promise<TextClient> {
  return connect(await startPlatypus(toml, { log: kept.log }));
}

describe("a secret", () => {
  it("is filled, whole or by field, and is a miss if it does not exist", async () => {
    server.put("app/db", '{"user":"me","password":"hunter2"}');
    server.put("app/bytes", Buffer.from([0, 255, 13, 10]));
    const client = await clientOf(secretRules());
    expect(await client.ask("get secret/db", "END\r\n")).toContain('{"user":"me","password":"hunter2"}');
    expect(await client.ask("get secret/db#password", "END\r\n")).toBe(
      "VALUE secret/db#password 0 7\r\nhunter2\r\nEND\r\n",
    );
    expect(await client.ask("get secret/bytes", "END\r\n")).toBe("VALUE secret/bytes 0 4\r\n\0\xff\r\n\r\nEND\r\n");
    expect(await client.ask("get secret/none", "END\r\n")).toBe("END\r\n");
    expect(server.calls).toHaveLength(4);
    expect(await client.ask("get secret/db", "END\r\n")).toContain("hunter2");
    expect(server.calls).toHaveLength(4);
    expect(server.badSignatures).toEqual([]);
  });

  it("is fetched together with others of a get", async () => {
    for (const name of ["a", "b", "c"]) server.put(`app/${name}`, `{"password":"of ${name}"}`);
    const client = await clientOf(secretRules());
    const answer = await client.ask("get secret/a secret/b#password secret/c secret/none", "END\r\n");
    expect(answer.match(/of [abc]/g)).toEqual(["of a", "of b", "of c"]);
    expect(server.asked).toEqual(["BatchGetSecretValue app/a app/b app/c app/none"]);
  });

  it("is refused without a request if its name is invalid for AWS", async () => {
    const client = await clientOf(secretRules());
    for (const key of ["secret/a:b", "secret/../root", "secret/%2e%2e", "secret/a*"]) {
      expect(await client.ask(`get ${key}`, "END\r\n")).toBe("END\r\n");
    }
    expect(server.origin.requests).toEqual([]);
  });

  it("is a miss if it cannot be read, logged with its name; no secret value is in logs or stats", async () => {
    server.put("app/good", '{"password":"hunter2"}');
    server.put("app/bad", '{"passwort":"hunter2"}');
    server.put("app/text", "hunter2");
    server.fail("app/mine", "AccessDeniedException", "not authorized to perform: secretsmanager:GetSecretValue");
    const client = await clientOf(secretRules());
    expect(await client.ask("get secret/good#password", "END\r\n")).toContain("hunter2");
    for (const key of ["secret/bad#password", "secret/text#password", "secret/mine"]) {
      expect(await client.ask(`get ${key}`, "END\r\n")).toBe("END\r\n");
    }
    await kept.said(/access to secret "app\/mine" is denied: secretsmanager:GetSecretValue is not allowed/);
    await kept.said(/secret "app\/bad" has no field "password"/);
    const shown = [...kept.lines];
    for (const stats of ["stats", "stats platypus", "stats settings"]) shown.push(await client.ask(stats, "END\r\n"));
    expect(shown.join()).toContain("source:secrets");
    for (const word of ["hunter2", SECRET_KEY]) expect(shown.join()).not.toContain(word);
    expect(shown.join()).toMatch(/source:fields:breaker closed/);
  });
});

describe("config/secrets.toml", () => {
  it("serves whole secrets and passwords, unmodified", async () => {
    server.put("app/db", '{"username":"me","password":"hunter2"}');
    const platypus = PlatypusProcess.run(["--config", "config/secrets.toml", "--listen", "127.0.0.1:0"], {
      PLATYPUS_POOL_AWS_ENDPOINT: server.url,
      PLATYPUS_GET_PASSWORD_FILL_TIMEOUT: "10s",
      PLATYPUS_GET_SECRET_FILL_TIMEOUT: "10s",
    });
    afterTest(() => platypus.stop());
    await platypus.printed(/listens on/);
    const client = await connect(platypus.port);
    expect(await client.ask("get secret/app/db/password", "END\r\n")).toContain(" 0 7\r\nhunter2\r\n");
    expect(await client.ask("get secret/app/db", "END\r\n")).toContain('{"username":"me","password":"hunter2"}');
    expect(await client.ask("get secret/app/none", "END\r\n")).toBe("END\r\n");
    expect(server.badSignatures).toEqual([]);
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a secret in a pool", () => {
  it("is touched by the refresh if its version is unchanged, and written if it has another version", async () => {
    const memcached = await startMemcached();
    server.put("app/one", "first");
    const client = await clientOf(targetOf([memcached.port]) + secretRules('ttl = "2s"'));
    const direct = await connect(memcached.port);
    expect(await client.ask("get secret/one", "END\r\n")).toContain("first");
    const filled = await direct.ask("mg secret/one c v", "first\r\n");
    while (!/rule:whole:unchanged 1\r\n/.test(await client.ask("stats platypus", "END\r\n")));
    // The very item that the fill wrote, with a whole ttl before it.
    expect(await direct.ask("mg secret/one c v", "first\r\n")).toBe(filled);
    expect(await direct.ask("mg secret/one t")).toMatch(/^HD t[23]\r\n$/);
    expect(server.asked).toEqual(["GetSecretValue app/one", "GetSecretValue app/one"]);
    server.put("app/one", "second");
    while (!(await client.ask("get secret/one", "END\r\n")).includes("second"));
    expect(await client.ask("stats platypus", "END\r\n")).toMatch(/rule:whole:refreshed 1\r\n/);
  });

  it("is fetched once for two processes, and kept fresh by the remaining one", async () => {
    const memcached = await startMemcached();
    server.put("app/one", "hunter2");
    const toml = targetOf([memcached.port]) + secretRules('ttl = "2s"');
    const first = await PlatypusProcess.start(`[server]\nlisten = "127.0.0.1:0"\nlog_level = "debug"\n${toml}`);
    afterTest(() => first.stop());
    const clients = [await connect(first.port), await clientOf(toml)] as const;
    const answers = await Promise.all(clients.map((client) => client.ask("get secret/one", "END\r\n")));
    for (const answer of answers) expect(answer).toBe("VALUE secret/one 0 7\r\nhunter2\r\nEND\r\n");
    expect(server.calls).toHaveLength(1);
    first.child.kill("SIGTERM");
    expect(await first.exit()).toBe(0);
    expect(first.stdout + first.stderr).not.toContain("hunter2");
    // Whose item it was, and of which version, the other one learns by its first refresh; its next one touches.
    while (!/rule:whole:unchanged [1-9]/.test(await clients[1].ask("stats platypus", "END\r\n"))) {
      expect(await clients[1].ask("get secret/one", "END\r\n")).toContain("hunter2");
    }
    expect(server.badSignatures).toEqual([]);
  });
});

describe("a reload", () => {
  it("keeps the connection of unchanged sources, and lets other sources use the new one", async () => {
    server.put("app/one", "first");
    const platypus = await startPlatypus(secretRules(), { log: kept.log });
    const client = await connect(platypus);
    await client.ask("get secret/one", "END\r\n");
    platypus.reload(nativeConfig(secretRules("stale = '1m'").replaceAll('field = "password"', 'field = "user"')));
    await client.ask("get secret/two", "END\r\n");
    expect(server.origin.connections).toBe(1);
    platypus.reload(nativeConfig(secretRules().replaceAll("eu-central-1", "eu-west-1")));
    await client.ask("get secret/three", "END\r\n");
    expect(server.calls.map(({ region }) => region)).toEqual(["eu-central-1", "eu-central-1", "eu-west-1"]);
  });
});
