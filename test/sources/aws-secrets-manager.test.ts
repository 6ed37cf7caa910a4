import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SecretSources } from "../support/rigs/secret-sources.ts";
import type { SecretsManagerServer } from "../support/servers/secrets-manager.ts";

let aws: SecretSources;
let server: SecretsManagerServer;

beforeEach(async () => {
  aws = await SecretSources.start();
  server = aws.server;
});
afterEach(() => aws.close());

describe("a secret", () => {
  it("is the value unchanged if it is text", async () => {
    server.put("app/one", 'p"ä\r\n');
    expect(await aws.outcome(aws.make())).toBe(Buffer.from('p"ä\r\n').toString("latin1"));
    expect(server.asked).toEqual(["GetSecretValue app/one"]);
  });

  it("is the value byte for byte if it is binary", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    server.put("app/one", bytes);
    expect(await aws.outcome(aws.make())).toBe(bytes.toString("latin1"));
  });

  it("may be empty", async () => {
    server.put("app/one", "");
    expect(await aws.outcome(aws.make())).toBe("");
  });

  it("is read at a version stage", async () => {
    server.put("app/one", "now");
    server.put("app/one", "before", "AWSPREVIOUS");
    expect(await aws.outcome(aws.make({ versionStage: "AWSPREVIOUS" }))).toBe("before");
    expect(server.asked).toEqual(["GetSecretValue app/one@AWSPREVIOUS"]);
    expect(await aws.outcome(aws.make({ versionStage: "AWSPENDING" }))).toBe("notThere");
  });

  it("is a miss if it does not exist, or if it is marked for deletion", async () => {
    expect(await aws.outcome(aws.make())).toBe("notThere");
    const message = "You can't perform this operation on the secret because it was marked for deletion.";
    server.fail("app/one", "InvalidRequestException", message);
    expect(await aws.outcome(aws.make())).toBe("notThere");
  });

  it("is a failure that names the secret and the missing permission if access is denied", async () => {
    server.fail("app/one", "AccessDeniedException", "User: u is not authorized to perform: x");
    expect(await aws.outcome(aws.make())).toBe(
      'SOURCE_REFUSED source vault: access to secret "app/one" is denied: secretsmanager:GetSecretValue is not allowed',
    );
    server.fail("app/one", "AccessDeniedException", "Access to KMS is not allowed");
    expect(await aws.outcome(aws.make())).toContain('"app/one" is denied: kms:Decrypt is not allowed');
  });

  it.each([
    ["DecryptionFailure", 'SOURCE_FAILED source vault: secret "app/one" cannot be decrypted'],
    ["InvalidRequestException", 'SOURCE_REFUSED source vault: secret "app/one" cannot be read as it is now'],
    ["InvalidParameterException", 'SOURCE_REFUSED source vault: secret "app/one" was refused (InvalidParameter'],
    ["SomethingNewException", "SOURCE_FAILED source vault: AWS refused (SomethingNewException, status 400)"],
    ["ExpiredTokenException", "SOURCE_FAILED source vault: AWS does not accept the credentials (ExpiredToken"],
  ])("is a failure if AWS answers with %s", async (type, expected) => {
    server.fail("app/one", type, "no");
    expect(await aws.outcome(aws.make())).toContain(expected);
  });

  it("is requested only by a name in AWS' alphabet", async () => {
    for (const part of ["a b", "a\r\nb", "%2e", "..", "a/../b", "ключ", "a:b", "a*"]) {
      expect(await aws.outcome(aws.make(), part)).toMatch(/^SOURCE_REFUSED /);
    }
    expect(await aws.outcome(aws.make({ key: "{1}" }), "")).toMatch(/^SOURCE_REFUSED /);
    expect(server.calls).toEqual([]);
    server.put("app/a/b_c+d=e.f@g-1", "v");
    expect(await aws.outcome(aws.make(), "a/b_c+d=e.f@g-1")).toBe("v");
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
  ])("selects %s as %j", async (field, value) => {
    server.put("app/one", secret);
    expect(await aws.outcome(aws.make({ field }))).toBe(value);
  });

  it.each([
    ["a secret without it", '{"user":"hidden"}', "has no field"],
    ["a list", '["hidden"]', "is no JSON object"],
    ["plain text", "hidden", "is no JSON object"],
    ["a field of too many levels", `{"password":${"[".repeat(2_000)}${"]".repeat(2_000)}}`, "nested too deeply"],
    ["half an object", '{"password":"hidden', "is no JSON object"],
    ["a number", "1", "is no JSON object"],
    ["bytes", Buffer.from('{"password":"hidden"}'), "is binary"],
  ])("is, in %s, a failure that shows nothing of the secret", async (_what, value, expected) => {
    server.put("app/one", value);
    const text = await aws.outcome(aws.make({ field: "password" }));
    expect(text).toMatch(/^SOURCE_REFUSED source vault: secret "app\/one" /);
    expect(text).toContain(expected);
    expect(text).not.toContain("hidden");
  });

  it("is missing if only the object prototype has it", async () => {
    server.put("app/one", "{}");
    expect(await aws.outcome(aws.make({ field: "constructor" }))).toContain('has no field "constructor"');
  });
});

describe("a tag", () => {
  it("is the version; an equal version is unchanged, another version is a value", async () => {
    const versionId = server.put("app/one", "first");
    expect(await aws.tagOf(aws.make(), "one")).toBe(versionId);
    expect(await aws.outcome(aws.make(), "one", versionId)).toBe("unchanged");
    server.put("app/one", "second");
    expect(await aws.outcome(aws.make(), "one", versionId)).toBe("second");
  });

  it("differs between two fields of one secret", async () => {
    server.put("app/one", '{"a":"1","b":"2"}');
    const tag = await aws.tagOf(aws.make({ field: "a" }), "one");
    expect(await aws.outcome(aws.make({ field: "a" }), "one", tag)).toBe("unchanged");
    expect(await aws.outcome(aws.make({ field: "b" }), "one", tag)).toBe("2");
  });
});
