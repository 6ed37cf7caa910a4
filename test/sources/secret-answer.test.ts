import { describe, expect, it } from "vitest";
import { answerOfError, credentialsError, errorOf } from "../../src/sources/secret-answer.ts";

/** What an error of this name and message, with this status, is to who asked for the secret "s". */
function answer(name: string, message = "", status: number | null = 400) {
  return answerOfError({ name, message, status }, "s", "GetSecretValue");
}

function thrown(name: string, message: string, carried: object = {}): Error {
  return Object.assign(new Error(message), { name }, carried);
}

describe("an error of AWS", () => {
  it.each([
    ["ResourceNotFoundException", "Secrets Manager can't find the specified secret."],
    ["ResourceNotFoundException", "… can't find the specified secret value for staging label: AWSPENDING"],
    ["InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion."],
    ["InvalidRequestException", "You can't perform this operation on the secret because it was deleted."],
  ])("is a miss for %s, %j", (name, message) => {
    expect(answer(name, message)).toEqual({ type: "notThere" });
  });

  it.each([
    [
      "User: arn:aws:iam::1:user/u is not authorized to perform: secretsmanager:GetSecretValue on",
      "secretsmanager:GetS",
    ],
    ["User: u is not authorized to perform: kms:Decrypt on resource: k", "kms:Decrypt"],
    ["Access to KMS is not allowed", "kms:Decrypt"],
    ["", "secretsmanager:GetSecretValue"],
  ])("names the denied action for the message %j", (message, action) => {
    const text = expect.stringContaining(`access to secret "s" is denied: ${action}`);
    expect(answer("AccessDeniedException", message)).toMatchObject({ code: "SOURCE_REFUSED", text });
  });

  it.each([
    ["ThrottlingException", 400, "SOURCE_STATUS", true],
    ["Whatever", 429, "SOURCE_STATUS", true],
    ["InternalServiceError", 500, "SOURCE_STATUS", true],
    ["Whatever", 503, "SOURCE_STATUS", true],
    ["DecryptionFailure", 400, "SOURCE_FAILED", false],
    ["InvalidParameterException", 400, "SOURCE_REFUSED", false],
    ["Whatever", 404, "SOURCE_FAILED", false],
    ["SyntaxError", 200, "SOURCE_FAILED", false],
    ["TimeoutError", null, "SOURCE_UNREACHABLE", false],
    ["Error", null, "SOURCE_UNREACHABLE", false],
  ] as const)("%s with status %s is %s", (name, status, code, isTransient) => {
    expect(answer(name, "hidden", status)).toMatchObject({ type: "failure", code, isTransient });
    expect(JSON.stringify(answer(name, "hidden", status))).not.toContain("hidden");
  });
});

describe("an error thrown by the AWS SDK", () => {
  it("is reported without its attached data", () => {
    const carried = { $metadata: { httpStatusCode: 400, requestId: "r" }, $response: { body: "hidden" } };
    expect(errorOf(thrown("DecryptionFailure", "m", carried))).toEqual({
      ...{ name: "DecryptionFailure", message: "m", status: 400 },
    });
    expect(errorOf("hidden")).toEqual({ name: "Error", message: "", status: null });
  });

  it("is reported by its first line or AWS' code if it occurs while credentials are looked up", () => {
    const local = credentialsError(thrown("CredentialsProviderError", "Profile p could not be found\nin these files"));
    expect(answer(local.name, local.message, null)).toMatchObject({
      ...{ code: "SOURCE_FAILED", text: "no AWS credentials: Profile p could not be found" },
    });
    const remote = credentialsError(thrown("AccessDenied", "hidden", { $metadata: { httpStatusCode: 403 } }));
    expect(answer(remote.name, remote.message, null)).toMatchObject({
      text: "no AWS credentials: AWS refused them (AccessDenied, status 403)",
    });
  });
});
