/**
 * What AWS Secrets Manager said of one secret, and how the SDK's errors and the per-secret errors of a batch become it.
 * Nothing here holds on to an SDK error: one may carry the body of a response, and with it a secret. Its own words are
 * passed on only where they come from the credentials on this machine.
 */
import type { SourceErrorCode } from "../errors.ts";

/** A secret's value: text, or bytes of a binary secret. */
interface FoundSecret {
  readonly type: "secret";
  readonly value: string | Buffer;
  readonly versionId: string | null;
}

/** Why there is no answer. */
interface SecretFailure {
  readonly type: "failure";
  readonly code: SourceErrorCode;
  /** Names the secret where it concerns one; never what is in it. */
  readonly text: string;
  readonly isTransient: boolean;
}

export type SecretAnswer = FoundSecret | { readonly type: "notThere" } | SecretFailure;

/** An error as the SDK throws it, or a batch lists it. */
export interface AwsError {
  readonly name: string;
  readonly message: string;
  /** Null: none came. */
  readonly status: number | null;
}

const THROTTLED: ReadonlySet<string> = new Set([
  "ThrottlingException",
  "Throttling",
  "ThrottledException",
  "TooManyRequestsException",
  "RequestLimitExceeded",
  "LimitExceededException",
  "SlowDown",
]);
const BAD_CREDENTIALS: ReadonlySet<string> = new Set([
  "UnrecognizedClientException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "SignatureDoesNotMatch",
  "IncompleteSignature",
  "MissingAuthenticationToken",
  "MissingAuthenticationTokenException",
  "ExpiredToken",
  "ExpiredTokenException",
  "OptInRequired",
]);
const BAD_REQUEST: ReadonlySet<string> = new Set(["InvalidParameterException", "ValidationException"]);
/** By this name go all failures to get credentials. */
const NO_CREDENTIALS = "CredentialsProviderError";

/** What the SDK threw, without what it carries. */
export function errorOf(thrown: unknown): AwsError {
  if (!(thrown instanceof Error)) return { name: "Error", message: "", status: null };
  const { $metadata: metadata } = thrown as { readonly $metadata?: { readonly httpStatusCode?: number } };
  return { name: thrown.name, message: thrown.message, status: metadata?.httpStatusCode ?? null };
}

/** What a provider of credentials threw, by the name of what it kept from being done. Answers of AWS are told by their code. */
export function credentialsError(thrown: unknown): Error {
  const { name, message, status } = errorOf(thrown);
  const error = new Error(status === null ? message : `AWS refused them (${name}, status ${status})`);
  error.name = NO_CREDENTIALS;
  return error;
}

/** What `error` means to whoever asked for `secretId` with `action` ("GetSecretValue"). */
export function answerOfError({ name, message, status }: AwsError, secretId: string, action: string): SecretAnswer {
  const secret = JSON.stringify(secretId);
  const failure = (code: SourceErrorCode, text: string): SecretFailure => ({
    type: "failure",
    code,
    text,
    isTransient: code === "SOURCE_STATUS",
  });
  if (name === "ResourceNotFoundException") return { type: "notThere" };
  if (name === "InvalidRequestException") {
    if (/delet/i.test(message)) return { type: "notThere" };
    return failure("SOURCE_REFUSED", `secret ${secret} cannot be read as it is now (${name})`);
  }
  if (name === "AccessDeniedException") {
    const needed = deniedAction(message) ?? `secretsmanager:${action}`;
    return failure("SOURCE_REFUSED", `access to secret ${secret} is denied: ${needed} is not allowed`);
  }
  if (name === "DecryptionFailure") return failure("SOURCE_FAILED", `secret ${secret} cannot be decrypted`);
  if (THROTTLED.has(name) || status === 429) return failure("SOURCE_STATUS", `throttled by AWS (${name})`);
  if (BAD_CREDENTIALS.has(name)) return failure("SOURCE_FAILED", `AWS does not accept the credentials (${name})`);
  if (name === NO_CREDENTIALS) return failure("SOURCE_FAILED", `no AWS credentials: ${message.split("\n")[0]}`);
  if (message === "Region is missing") return failure("SOURCE_FAILED", "no AWS region is set (region, or AWS_REGION)");
  if (name === "InternalServiceError" || (status !== null && status >= 500)) {
    return failure("SOURCE_STATUS", `AWS failed (${name}${status === null ? "" : `, status ${status}`})`);
  }
  if (BAD_REQUEST.has(name)) return failure("SOURCE_REFUSED", `secret ${secret} was refused (${name})`);
  if (status !== null && status >= 400) return failure("SOURCE_FAILED", `AWS refused (${name}, status ${status})`);
  // Answered, and not with what was asked for.
  if (status !== null || name === "SyntaxError") return failure("SOURCE_FAILED", "the answer cannot be read");
  return failure("SOURCE_UNREACHABLE", `AWS was not reached (${name})`);
}

/**
 * Whether secrets may be had one by one though a batch of them failed with `error`: AWS, or a program that stands in for
 * it, answered, and not about the rate of requests.
 */
export function mayWorkAlone({ name, status }: AwsError): boolean {
  if (THROTTLED.has(name) || status === 429 || name === NO_CREDENTIALS) return false;
  // A page of HTML in place of JSON is a SyntaxError.
  return status !== null || name === "SyntaxError";
}

/** Whether an error is about the service or the credentials, and so about every secret. */
export function isOfService({ name, status }: AwsError): boolean {
  if (name === "SyntaxError" || BAD_CREDENTIALS.has(name)) return true;
  return status !== null && (status < 400 || status >= 500);
}

/** The action that a message of IAM or KMS names; null: it names none. */
function deniedAction(message: string): string | null {
  const named = /not authorized to perform:? ([a-z0-9-]+:[A-Za-z]+)/.exec(message)?.[1];
  return named ?? (/\bKMS\b/.test(message) ? "kms:Decrypt" : null);
}
