/**
 * The answer of AWS Secrets Manager about one secret, and the conversion of the SDK's errors and of the per-secret
 * errors of a batch. No SDK error is kept: it may contain the body of a response, and therefore a secret. Only messages
 * about the credentials on this machine are passed on.
 */
import type { SourceErrorCode } from "../errors.ts";

/** A secret's value: text, or bytes of a binary secret. */
interface FoundSecret {
  readonly type: "secret";
  readonly value: string | Buffer;
  readonly versionId: string | null;
}

/** The reason why there is no answer. */
interface SecretFailure {
  readonly type: "failure";
  readonly code: SourceErrorCode;
  /** Names the secret if the failure concerns one. Never contains its content. */
  readonly text: string;
  readonly isTransient: boolean;
}

export type SecretAnswer = FoundSecret | { readonly type: "notThere" } | SecretFailure;

/** An error of the SDK, or of an entry in a batch. */
export interface AwsError {
  readonly name: string;
  readonly message: string;
  /** `null` if there was no response. */
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
/** Name of all failures to get credentials. */
const NO_CREDENTIALS = "CredentialsProviderError";

/** The name, message and status of an SDK exception, without its other data. */
export function errorOf(thrown: unknown): AwsError {
  if (!(thrown instanceof Error)) return { name: "Error", message: "", status: null };
  const { $metadata: metadata } = thrown as { readonly $metadata?: { readonly httpStatusCode?: number } };
  return { name: thrown.name, message: thrown.message, status: metadata?.httpStatusCode ?? null };
}

/** The exception of a credentials provider under one name. Errors of AWS keep their code in the message. */
export function credentialsError(thrown: unknown): Error {
  const { name, message, status } = errorOf(thrown);
  const error = new Error(status === null ? message : `AWS refused them (${name}, status ${status})`);
  error.name = NO_CREDENTIALS;
  return error;
}

/** Converts `error` for a request for `secretId` with `action` ("GetSecretValue"). */
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
  // A response came, but not the expected one.
  if (status !== null || name === "SyntaxError") return failure("SOURCE_FAILED", "the answer cannot be read");
  return failure("SOURCE_UNREACHABLE", `AWS was not reached (${name})`);
}

/**
 * True if requests for single secrets may succeed although a batch failed with `error`: AWS, or a program in its place,
 * has answered, and the answer is not about the request rate.
 */
export function mayWorkAlone({ name, status }: AwsError): boolean {
  if (THROTTLED.has(name) || status === 429 || name === NO_CREDENTIALS) return false;
  // HTML in place of JSON is a SyntaxError.
  return status !== null || name === "SyntaxError";
}

/** True if an error concerns the service or the credentials, and therefore all secrets. */
export function isOfService({ name, status }: AwsError): boolean {
  if (name === "SyntaxError" || BAD_CREDENTIALS.has(name)) return true;
  return status !== null && (status < 400 || status >= 500);
}

/** The action in an error message of IAM or KMS. `null` if absent. */
function deniedAction(message: string): string | null {
  const named = /not authorized to perform:? ([a-z0-9-]+:[A-Za-z]+)/.exec(message)?.[1];
  return named ?? (/\bKMS\b/.test(message) ? "kms:Decrypt" : null);
}
