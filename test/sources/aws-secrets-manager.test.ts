import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AwsConnection, AwsSecretsManagerSourceConfig } from "../../src/config/config.ts";
import { SourceError } from "../../src/errors.ts";
import { AwsSecretsManagerSource } from "../../src/sources/aws-secrets-manager.ts";
import { Limiter } from "../../src/sources/limiter.ts";
import { SecretsClient } from "../../src/sources/secrets-client.ts";
import { type AwsEnvironment, awsEnvironment } from "../support/aws-environment.ts";
import { contextOf } from "../support/fetch-context.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { freePort } from "../support/memcached-process.ts";
import { ACCESS_KEY, SECRET_KEY, SecretsManagerServer } from "../support/secrets-manager.ts";
import { settled } from "../support/settled.ts";
import { looseLimits } from "../support/source-limits.ts";

const ROLE = "arn:aws:iam::123456789012:role/cache";
const keys = { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY };

let server: SecretsManagerServer;
let environment: AwsEnvironment;
let clock: ManualClock;
let open: AwsSecretsManagerSource[];

beforeEach(async () => {
  server = await SecretsManagerServer.start();
  environment = await awsEnvironment({ ...keys, AWS_REGION: "eu-west-1" });
  clock = new ManualClock();
  open = [];
});
afterEach(async () => {
  for (const source of open) await source.close();
  await server.close();
  await environment.restore();
});

async function useEnvironment(variables: Record<string, string>, profiles = ""): Promise<void> {
  await environment.restore();
  environment = await awsEnvironment(variables, profiles);
}

function sourceOf(
  config: Partial<AwsSecretsManagerSourceConfig> = {},
  connection: Partial<AwsConnection> = {},
  requestTimeoutMs?: number,
): AwsSecretsManagerSource {
  const complete: AwsSecretsManagerSourceConfig = {
    ...{ type: "awssm", name: "vault", ...looseLimits, key: "app/{1}", versionStage: "AWSCURRENT", field: null },
    connection: { pool: null, region: null, profile: null, endpoint: server.url, assumeRole: null, ...connection },
    ...config,
  };
  const source = new AwsSecretsManagerSource(complete, new SecretsClient(complete.connection, clock, requestTimeoutMs));
  open.push(source);
  return source;
}

/** Asks for each of `parts` in one turn, and has the time for collecting them pass. */
function fetchAll(source: AwsSecretsManagerSource, parts: readonly string[], tag: string | null = null) {
  const fetching = parts.map((part) => source.fetch({ ...contextOf(part, [part]), tag }));
  clock.advance(5);
  return Promise.allSettled(fetching);
}

/** What a fetch ended with: the value's text, "not there", "unchanged", or the error's code and message. */
function shown(result: PromiseSettledResult<Awaited<ReturnType<AwsSecretsManagerSource["fetch"]>>>): string {
  if (result.status === "rejected") {
    const error: unknown = result.reason;
    expect(error).toBeInstanceOf(SourceError);
    const { code, message, cause } = error as SourceError;
    // It might hold what came with it.
    expect(cause).toBeUndefined();
    return `${code} ${message}`;
  }
  const { value } = result;
  return value.type === "value" ? value.value.toString("latin1") : value.type;
}

async function outcome(source: AwsSecretsManagerSource, part = "one", tag: string | null = null): Promise<string> {
  return shown((await fetchAll(source, [part], tag))[0]!);
}

describe("a secret", () => {
  it("that is text is the value as it is", async () => {
    server.put("app/one", 'p"ä\r\n');
    expect(await outcome(sourceOf())).toBe(Buffer.from('p"ä\r\n').toString("latin1"));
    expect(server.asked).toEqual(["GetSecretValue app/one"]);
  });

  it("that is bytes is the value byte for byte", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    server.put("app/one", bytes);
    expect(await outcome(sourceOf())).toBe(bytes.toString("latin1"));
  });

  it("may be empty", async () => {
    server.put("app/one", "");
    expect(await outcome(sourceOf())).toBe("");
  });

  it("is read at a version stage", async () => {
    server.put("app/one", "now");
    server.put("app/one", "before", "AWSPREVIOUS");
    expect(await outcome(sourceOf({ versionStage: "AWSPREVIOUS" }))).toBe("before");
    expect(server.asked).toEqual(["GetSecretValue app/one@AWSPREVIOUS"]);
    expect(await outcome(sourceOf({ versionStage: "AWSPENDING" }))).toBe("notThere");
  });

  it("that nobody has, or that is marked for deletion, is not there", async () => {
    expect(await outcome(sourceOf())).toBe("notThere");
    const message = "You can't perform this operation on the secret because it was marked for deletion.";
    server.fail("app/one", "InvalidRequestException", message);
    expect(await outcome(sourceOf())).toBe("notThere");
  });

  it("that may not be read is a failure that names it and what is not allowed", async () => {
    server.fail("app/one", "AccessDeniedException", "User: u is not authorized to perform: x");
    expect(await outcome(sourceOf())).toBe(
      'SOURCE_REFUSED source vault: access to secret "app/one" is denied: secretsmanager:GetSecretValue is not allowed',
    );
    server.fail("app/one", "AccessDeniedException", "Access to KMS is not allowed");
    expect(await outcome(sourceOf())).toContain('"app/one" is denied: kms:Decrypt is not allowed');
  });

  it.each([
    ["DecryptionFailure", 'SOURCE_FAILED source vault: secret "app/one" cannot be decrypted'],
    ["InvalidRequestException", 'SOURCE_REFUSED source vault: secret "app/one" cannot be read as it is now'],
    ["InvalidParameterException", 'SOURCE_REFUSED source vault: secret "app/one" was refused (InvalidParameter'],
    ["SomethingNewException", "SOURCE_FAILED source vault: AWS refused (SomethingNewException, status 400)"],
    ["ExpiredTokenException", "SOURCE_FAILED source vault: AWS does not accept the credentials (ExpiredToken"],
  ])("met by %s is a failure", async (type, expected) => {
    server.fail("app/one", type, "no");
    expect(await outcome(sourceOf())).toContain(expected);
  });

  it("is asked for by a name of AWS' alphabet only", async () => {
    for (const part of ["a b", "a\r\nb", "%2e", "..", "a/../b", "ключ", "a:b", "a*"]) {
      expect(await outcome(sourceOf(), part)).toMatch(/^SOURCE_REFUSED /);
    }
    expect(await outcome(sourceOf({ key: "{1}" }), "")).toMatch(/^SOURCE_REFUSED /);
    expect(server.calls).toEqual([]);
    server.put("app/a/b_c+d=e.f@g-1", "v");
    expect(await outcome(sourceOf(), "a/b_c+d=e.f@g-1")).toBe("v");
  });
});

describe("a field", () => {
  const secret = '{"user":"me","n":12345678901234567890,"list":[1.50,"a"],"no":null,"__proto__":"p","e":""}';

  it.each([
    ["user", "me"],
    ["n", "12345678901234567890"],
    ["list", '[1.50,"a"]'],
    ["no", "null"],
    ["__proto__", "p"],
    ["e", ""],
  ])("%s is %j", async (field, value) => {
    server.put("app/one", secret);
    expect(await outcome(sourceOf({ field }))).toBe(value);
  });

  it.each([
    ["a secret without it", '{"user":"hidden"}', "has no field"],
    ["a list", '["hidden"]', "is no JSON object"],
    ["plain text", "hidden", "is no JSON object"],
    ["half an object", '{"password":"hidden', "is no JSON object"],
    ["a number", "1", "is no JSON object"],
    ["bytes", Buffer.from('{"password":"hidden"}'), "is binary"],
  ])("of %s is a failure that shows nothing of it", async (_what, value, expected) => {
    server.put("app/one", value);
    const text = await outcome(sourceOf({ field: "password" }));
    expect(text).toMatch(/^SOURCE_REFUSED source vault: secret "app\/one" /);
    expect(text).toContain(expected);
    expect(text).not.toContain("hidden");
  });

  it("that every object inherits is missing", async () => {
    server.put("app/one", "{}");
    expect(await outcome(sourceOf({ field: "constructor" }))).toContain('has no field "constructor"');
  });
});

describe("a tag", () => {
  it("is the version; the same version again is unchanged, another one a value", async () => {
    const versionId = server.put("app/one", "first");
    const [first] = await fetchAll(sourceOf(), ["one"]);
    expect(first).toMatchObject({ value: { tag: versionId } });
    expect(await outcome(sourceOf(), "one", versionId)).toBe("unchanged");
    server.put("app/one", "second");
    expect(await outcome(sourceOf(), "one", versionId)).toBe("second");
  });

  it("of one field is not that of another", async () => {
    server.put("app/one", '{"a":"1","b":"2"}');
    const [result] = await fetchAll(sourceOf({ field: "a" }), ["one"]);
    const tag = result?.status === "fulfilled" && result.value.type === "value" ? result.value.tag : null;
    expect(await outcome(sourceOf({ field: "a" }), "one", tag)).toBe("unchanged");
    expect(await outcome(sourceOf({ field: "b" }), "one", tag)).toBe("2");
  });
});

describe("secrets that are asked for together", () => {
  const parts = Array.from({ length: 45 }, (_, i) => `s${i}`);

  it("come in batches of twenty, each with its own end", async () => {
    for (const part of parts) server.put(`app/${part}`, `value of ${part}`);
    server.fail("app/s7", "ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    server.fail("app/s33", "AccessDeniedException", "You are not authorized to perform: secretsmanager:GetSecretValue");
    const ends = (await fetchAll(sourceOf(), parts)).map(shown);
    expect(server.calls.map(({ action, ids }) => `${action} ${ids.length}`)).toEqual([
      "BatchGetSecretValue 20",
      "BatchGetSecretValue 20",
      "BatchGetSecretValue 5",
    ]);
    for (const [i, end] of ends.entries()) {
      if (i === 7) expect(end).toBe("notThere");
      else if (i === 33) expect(end).toMatch(/^SOURCE_REFUSED .*"app\/s33" is denied: secretsmanager:GetSecretValue/);
      else expect(end).toBe(`value of s${i}`);
    }
  });

  it("are asked for once each, whoever asks", async () => {
    server.put("app/a", "1");
    expect((await fetchAll(sourceOf(), ["a", "a", "a"])).map(shown)).toEqual(["1", "1", "1"]);
    expect(server.asked).toEqual(["GetSecretValue app/a"]);
  });

  it("may be named by ARN", async () => {
    server.put("app/a", "1");
    server.put("app/b", "2");
    const key = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/{1}";
    expect((await fetchAll(sourceOf({ key }), ["a", "b-AbCdEf", "c"])).map(shown)).toEqual(["1", "2", "notThere"]);
    expect(server.calls).toHaveLength(1);
  });

  it("at a version stage of their own are asked for alone", async () => {
    for (const part of ["a", "b"]) server.put(`app/${part}`, part, "AWSPREVIOUS");
    const source = sourceOf({ versionStage: "AWSPREVIOUS" });
    expect((await fetchAll(source, ["a", "b"])).map(shown)).toEqual(["a", "b"]);
    expect(server.calls.map(({ action }) => action)).toEqual(["GetSecretValue", "GetSecretValue"]);
  });

  it.each([
    ["AccessDeniedException", "are not allowed"],
    ["UnknownOperationException", "are not known"],
  ])("are asked for alone after %s: batches %s", async (type) => {
    for (const part of ["a", "b", "c", "d"]) server.put(`app/${part}`, part);
    const denied = { status: 400, type, message: "secretsmanager:BatchGetSecretValue" };
    server.intercept = ({ action }) => (action === "BatchGetSecretValue" ? denied : null);
    const source = sourceOf();
    expect((await fetchAll(source, ["a", "b"])).map(shown)).toEqual(["a", "b"]);
    expect((await fetchAll(source, ["c", "d"])).map(shown)).toEqual(["c", "d"]);
    expect(server.calls.map(({ action }) => action).sort()).toEqual([
      "BatchGetSecretValue",
      ...Array<string>(4).fill("GetSecretValue"),
    ]);
  });

  it("that a batch leaves out are asked for alone", async () => {
    for (const part of ["a", "b", "c"]) server.put(`app/${part}`, part);
    server.leftOut.add("app/b").add("app/d");
    expect((await fetchAll(sourceOf(), ["a", "b", "c", "d"])).map(shown)).toEqual(["a", "b", "c", "notThere"]);
    expect(server.asked.sort()).toEqual([
      "BatchGetSecretValue app/a app/b app/c app/d",
      "GetSecretValue app/b",
      "GetSecretValue app/d",
    ]);
  });

  it("do not fail with a batch that is refused for one of them", async () => {
    server.put("app/a", "1");
    server.fail("app/b", "InvalidParameterException", "bad");
    const refused = { status: 400, type: "InvalidParameterException", message: "bad" };
    server.intercept = ({ action }) => (action === "BatchGetSecretValue" ? refused : null);
    const ends = (await fetchAll(sourceOf(), ["a", "b"])).map(shown);
    expect(ends).toEqual(["1", expect.stringMatching(/^SOURCE_REFUSED .*"app\/b"/)]);
  });

  it("through sources of one pool share a client and its batches", async () => {
    for (const name of ["app/a", "db/b"]) server.put(name, name);
    const one = sourceOf();
    const client = one.client;
    const other = new AwsSecretsManagerSource(
      {
        ...{ type: "awssm", name: "other", ...looseLimits, key: "db/{1}", versionStage: "AWSCURRENT", field: null },
        connection: client.connection,
      },
      client,
    );
    const fetching = [one.fetch(contextOf("a", ["a"])), other.fetch(contextOf("b", ["b"]))];
    clock.advance(5);
    expect(await Promise.all(fetching)).toMatchObject([{ type: "value" }, { type: "value" }]);
    expect(server.asked).toEqual(["BatchGetSecretValue app/a db/b"]);
    await other.close();
    expect(await outcome(one, "a")).toBe("app/a");
  });
});

describe("a service", () => {
  it("that throttles is asked again", async () => {
    server.put("app/one", "v");
    const throttled = { status: 400, type: "ThrottlingException", message: "Rate exceeded" };
    server.intercept = () => (server.calls.length === 1 ? throttled : null);
    expect(await outcome(sourceOf())).toBe("v");
    expect(server.calls).toHaveLength(2);
  });

  it("that goes on throttling, or fails, is a failure that may pass", async () => {
    process.env.AWS_MAX_ATTEMPTS = "1";
    for (const [status, type] of [
      [400, "ThrottlingException"],
      [500, "InternalServiceError"],
      [503, "ServiceUnavailable"],
    ] as const) {
      server.intercept = () => ({ status, type, message: "later" });
      const [result] = await fetchAll(sourceOf(), ["one"]);
      expect(result).toMatchObject({ reason: { code: "SOURCE_STATUS", isTransient: true } });
    }
  });

  it("that hangs is given up at the time-out, and its connection closed", async () => {
    server.intercept = () => "hang";
    const limiter = new Limiter(sourceOf(), looseLimits, clock);
    const failed = expect(limiter.fetch(contextOf("k", ["k"]), "fill", null)).rejects.toMatchObject({
      code: "SOURCE_TIMEOUT",
    });
    await settled();
    clock.advance(5);
    await server.origin.received(1);
    clock.advance(5_000);
    await failed;
    await server.origin.left();
    expect(limiter.inFlight).toBe(0);
  });

  it("is asked on for those of a batch that still wait", async () => {
    let release = () => {};
    for (const part of ["a", "b"]) server.put(`app/${part}`, part);
    const origin = server.origin;
    const serve = origin.handle;
    origin.handle = (request, response) => {
      release = () => serve(request, response);
    };
    const abort = new AbortController();
    const source = sourceOf();
    const left = source.fetch(contextOf("a", ["a"], abort.signal));
    const waits = source.fetch(contextOf("b", ["b"]));
    clock.advance(5);
    await origin.received(1);
    abort.abort();
    await expect(left).rejects.toBeInstanceOf(SourceError);
    release();
    expect(await waits).toMatchObject({ type: "value", value: Buffer.from("b") });
  });

  it("is not asked for what was given up before", async () => {
    const abort = new AbortController();
    const fetching = sourceOf().fetch(contextOf("a", ["a"], abort.signal));
    abort.abort();
    await expect(fetching).rejects.toBeInstanceOf(SourceError);
    clock.advance(5);
    expect(server.calls).toEqual([]);
  });

  it("that is not there is unreachable", async () => {
    process.env.AWS_MAX_ATTEMPTS = "1";
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    expect(await outcome(sourceOf({}, { endpoint }))).toMatch(/^SOURCE_UNREACHABLE /);
  });

  it("that answers with something else is a failure that shows nothing of it", async () => {
    process.env.AWS_MAX_ATTEMPTS = "1";
    server.origin.handle = (_request, response) => response.end('{"SecretString":"hidden');
    const text = await outcome(sourceOf());
    expect(text).toMatch(/^SOURCE_FAILED /);
    expect(text).not.toContain("hidden");
  });

  it("is left when the source is closed, with what is under way", async () => {
    server.intercept = () => "hang";
    const source = sourceOf();
    const fetching = source.fetch(contextOf("a", ["a"]));
    const failed = expect(fetching).rejects.toBeInstanceOf(SourceError);
    clock.advance(5);
    await server.origin.received(1);
    await Promise.all([failed, server.origin.left(), source.close()]);
    open = [];
    expect(await outcome(source)).toMatch(/^SOURCE_FAILED /);
  });
});

describe("a connection", () => {
  const profiles = `
    [profile other]
    region = ap-southeast-2
    aws_access_key_id = AKIDOFPROFILE
    aws_secret_access_key = key-of-profile
  `.replace(/^ +/gm, "");

  beforeEach(() => {
    server.put("app/one", "v");
  });

  it("has region and credentials of the environment", async () => {
    expect(await outcome(sourceOf())).toBe("v");
    expect(server.calls).toMatchObject([{ accessKeyId: ACCESS_KEY, region: "eu-west-1", service: "secretsmanager" }]);
  });

  it("has the region it is given", async () => {
    expect(await outcome(sourceOf({}, { region: "us-west-2" }))).toBe("v");
    expect(server.calls).toMatchObject([{ region: "us-west-2" }]);
  });

  it("has region and credentials of the profile it is given", async () => {
    await useEnvironment({}, profiles);
    server.addKey("AKIDOFPROFILE", "key-of-profile");
    expect(await outcome(sourceOf({}, { profile: "other" }))).toBe("v");
    expect(server.calls).toMatchObject([{ accessKeyId: "AKIDOFPROFILE", region: "ap-southeast-2" }]);
  });

  it("takes on the role it is given", async () => {
    process.env.AWS_ENDPOINT_URL_STS = server.url;
    const source = sourceOf({}, { assumeRole: ROLE });
    expect([await outcome(source), await outcome(source)]).toEqual(["v", "v"]);
    expect(server.calls).toMatchObject([
      { action: "AssumeRole", ids: [ROLE, "platypus"], accessKeyId: ACCESS_KEY, service: "sts", region: "eu-west-1" },
      { action: "GetSecretValue", accessKeyId: expect.stringMatching(/^ASIA/) },
      { action: "GetSecretValue" },
    ]);
  });

  it("takes on a role with the credentials of its profile", async () => {
    await useEnvironment({}, profiles);
    process.env.AWS_ENDPOINT_URL_STS = server.url;
    server.addKey("AKIDOFPROFILE", "key-of-profile");
    expect(await outcome(sourceOf({}, { assumeRole: ROLE, profile: "other" }))).toBe("v");
    expect(server.calls).toMatchObject([
      { action: "AssumeRole", accessKeyId: "AKIDOFPROFILE", region: "ap-southeast-2" },
      { action: "GetSecretValue", region: "ap-southeast-2" },
    ]);
  });

  it("whose role may not be taken on is a failure of the source, told once for a batch", async () => {
    process.env.AWS_ENDPOINT_URL_STS = server.url;
    server.intercept = () => ({ status: 403, type: "AccessDenied", message: "not authorized: sts:AssumeRole" });
    const ends = (await fetchAll(sourceOf({}, { assumeRole: ROLE }), ["one", "two"])).map(shown);
    for (const end of ends) {
      expect(end).toBe("SOURCE_FAILED source vault: no AWS credentials: AWS refused them (AccessDenied, status 403)");
    }
    expect(server.calls.map(({ action }) => action)).toEqual(["AssumeRole"]);
  });

  it("whose role is never given is given up at the time-out", async () => {
    process.env.AWS_ENDPOINT_URL_STS = server.url;
    server.intercept = () => "hang";
    const limiter = new Limiter(sourceOf({}, { assumeRole: ROLE }), looseLimits, clock);
    const failed = expect(limiter.fetch(contextOf("k", ["k"]), "fill", null)).rejects.toMatchObject({
      code: "SOURCE_TIMEOUT",
    });
    await settled();
    clock.advance(5);
    await server.origin.received(1);
    clock.advance(5_000);
    await failed;
    await settled();
    expect(limiter.inFlight).toBe(0);
  });

  it("whose role is not given the first time asks for it again", async () => {
    Object.assign(process.env, { AWS_ENDPOINT_URL_STS: server.url, AWS_MAX_ATTEMPTS: "1" });
    server.intercept = () => (server.calls.length === 1 ? "hang" : null);
    const source = sourceOf({}, { assumeRole: ROLE }, 500);
    expect(await outcome(source)).toMatch(/^SOURCE_FAILED source vault: no AWS credentials: /);
    expect(await outcome(source)).toBe("v");
  });

  it("whose signature is not accepted is a failure", async () => {
    process.env.AWS_SECRET_ACCESS_KEY = "another";
    expect(await outcome(sourceOf())).toMatch(/^SOURCE_FAILED .*does not accept the credentials \(InvalidSignature/);
    expect(server.badSignatures).not.toEqual([]);
    expect(server.calls).toEqual([]);
  });

  it("without credentials, or without a region, says so", async () => {
    await useEnvironment({ AWS_REGION: "eu-west-1" });
    expect(await outcome(sourceOf())).toMatch(/^SOURCE_FAILED source vault: no AWS credentials: /);
    await useEnvironment(keys);
    expect(await outcome(sourceOf())).toMatch(/^SOURCE_FAILED source vault: no AWS region is set/);
  });
});
