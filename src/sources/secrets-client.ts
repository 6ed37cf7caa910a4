/**
 * A client of AWS Secrets Manager: one SDK client, for one source or for all sources of one pool.
 *
 * Secrets that are requested within a few milliseconds share one BatchGetSecretValue of at most 20. A single secret,
 * and a secret with a version stage, use GetSecretValue:
 *
 *     get ─► waits 5 ms ─┬─ one ─────► GetSecretValue ◄── secrets that a batch left out, or all secrets of a failed batch
 *                        └─ 2 to 20 ─► BatchGetSecretValue
 *
 * If batches fail and single secrets do not, batches pause, for a minute at first and for an hour at most.
 *
 * A request for a secret that is already in the next batch shares its answer. A request is aborted when no caller waits
 * for any of its secrets. The SDK is loaded with the first client, so that processes without one do not load it.
 */
import type {
  APIErrorType,
  BatchGetSecretValueCommandOutput,
  GetSecretValueCommandOutput,
  SecretsManagerClient,
} from "@aws-sdk/client-secrets-manager";
import type { Clock, Timer } from "../clock.ts";
import type { AwsConnection } from "../config/native-aws.ts";
import { Places } from "./places.ts";
import {
  type AwsError,
  answerOfError,
  credentialsError,
  errorOf,
  isOfService,
  mayWorkAlone,
  type SecretAnswer,
} from "./secret-answer.ts";

const BATCH_WINDOW_MS = 5;
const MAX_BATCH = 20;
const CONNECT_TIMEOUT_MS = 1_000;
/**
 * Limiters time out earlier. This timeout ends operations that no caller can abort: all requests wait for the
 * credentials.
 */
const REQUEST_TIMEOUT_MS = 10_000;
/** The version in a batch. */
const CURRENT = "AWSCURRENT";
const BATCH = "BatchGetSecretValue";
/** Batches are not allowed, or the program in place of AWS does not support them. */
const NO_BATCHES: ReadonlySet<string> = new Set(["AccessDeniedException", "UnknownOperationException"]);
/** A batch response that names none of its secrets. */
const EMPTY_ANSWER: AwsError = { name: "EmptyAnswer", message: "", status: 200 };
/** First pause of batches after a failure (ms). It doubles with each further pause. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 3_600_000;
const ROLE_SESSION = "platypus";

/** A requested secret and its waiters. */
interface Ask {
  readonly secretId: string;
  readonly waiters: Set<(answer: SecretAnswer) => void>;
  /** Called when the last waiter leaves. */
  onDeserted: () => void;
}

/** Never throws: failures are answers. Users call `retain`, and `release` at the end. */
export class SecretsClient {
  readonly connection: AwsConnection;
  private readonly clock: Clock;
  private readonly client: Promise<SecretsManagerClient>;
  private users = 0;
  private isClosed = false;
  /** Abort controllers of the requests in flight. */
  private readonly requests = new Set<AbortController>();
  /** The next batch, by secret. */
  private readonly collected = new Map<string, Ask>();
  private windowTimer: Timer | null = null;
  private readonly places: Places;
  /** Until this time, each secret is requested separately. */
  private batchesFromMs = Number.NEGATIVE_INFINITY;
  /** Length of the next pause. */
  private pauseMs = FIRST_PAUSE_MS;

  /** `requestTimeoutMs`: timeout of one request, including requests for credentials. */
  constructor(connection: AwsConnection, clock: Clock, requestTimeoutMs = REQUEST_TIMEOUT_MS) {
    this.connection = connection;
    this.clock = clock;
    this.places = new Places(connection.maxCalls ?? Number.POSITIVE_INFINITY);
    this.client = createClient(connection, requestTimeoutMs);
    // Each request reports this error.
    this.client.catch(() => {});
  }

  retain(): void {
    this.users++;
  }

  /** The last release closes the connections and aborts the requests in flight. */
  async release(): Promise<void> {
    this.users--;
    if (this.users > 0) return;
    this.isClosed = true;
    for (const abort of this.requests) abort.abort();
    if (this.windowTimer !== null) this.clock.clearTimer(this.windowTimer);
    for (const ask of this.collected.values()) settle(ask, givenUp);
    this.collected.clear();
    const client = await this.client.catch(() => null);
    client?.destroy();
  }

  /** The secret in a version stage. An abort resolves immediately with a failure that the caller ignores. */
  get(secretId: string, versionStage: string, signal: AbortSignal): Promise<SecretAnswer> {
    if (signal.aborted || this.isClosed) return Promise.resolve(givenUp);
    const isBatched = versionStage === CURRENT && this.clock.nowMs() >= this.batchesFromMs;
    const ask: Ask = (isBatched ? this.collected.get(secretId) : undefined) ?? {
      secretId,
      waiters: new Set(),
      onDeserted: () => {},
    };
    const answer = waitFor(ask, signal);
    if (isBatched) this.collect(ask);
    else this.askAlone(ask, versionStage);
    return answer;
  }

  private collect(ask: Ask): void {
    this.collected.set(ask.secretId, ask);
    if (this.collected.size >= MAX_BATCH) this.askCollected();
    else this.windowTimer ??= this.clock.setTimer(BATCH_WINDOW_MS, () => this.askCollected());
  }

  private askCollected(): void {
    if (this.windowTimer !== null) this.clock.clearTimer(this.windowTimer);
    this.windowTimer = null;
    const asks = [...this.collected.values()].filter(({ waiters }) => waiters.size > 0);
    this.collected.clear();
    if (asks.length === 1) this.askAlone(asks[0]!, CURRENT);
    else if (asks.length > 1) this.askTogether(asks);
  }

  /** Settles `ask`. Returns the name of AWS' error, or `null` if AWS answered without an error. */
  private async askAlone(ask: Ask, versionStage: string): Promise<string | null> {
    const { secretId } = ask;
    const abort = this.beginRequest([ask]);
    try {
      const { GetSecretValueCommand } = await import("@aws-sdk/client-secrets-manager");
      const command = new GetSecretValueCommand({ SecretId: secretId, VersionStage: versionStage });
      const output = await this.call(abort.signal, (client) => client.send(command, { abortSignal: abort.signal }));
      settle(ask, answerOf(output));
      return null;
    } catch (thrown) {
      const error = errorOf(thrown);
      const answer = answerOfError(error, secretId, "GetSecretValue");
      settle(ask, answer);
      return answer.type === "notThere" ? null : error.name;
    } finally {
      this.requests.delete(abort);
    }
  }

  private async askTogether(asks: readonly Ask[]): Promise<void> {
    const abort = this.beginRequest(asks);
    let leftOut: readonly Ask[];
    try {
      const { BatchGetSecretValueCommand } = await import("@aws-sdk/client-secrets-manager");
      const command = new BatchGetSecretValueCommand({ SecretIdList: asks.map(({ secretId }) => secretId) });
      const output = await this.call(abort.signal, (client) => client.send(command, { abortSignal: abort.signal }));
      leftOut = settleFrom(output, asks);
    } catch (thrown) {
      const error = errorOf(thrown);
      if (mayWorkAlone(error)) await this.askEachAfter(error, asks);
      else for (const ask of asks) settle(ask, answerOfError(error, ask.secretId, BATCH));
      return;
    } finally {
      this.requests.delete(abort);
    }
    if (leftOut.length === asks.length) {
      await this.askEachAfter(EMPTY_ANSWER, asks);
      return;
    }
    this.pauseMs = FIRST_PAUSE_MS;
    for (const ask of leftOut) this.askAlone(ask, CURRENT);
  }

  /**
   * Requests each secret of a batch that failed with `error`. Batches pause if a secret succeeds and none fails with that
   * error: then AWS, or a program in its place, cannot do the batch itself.
   */
  private async askEachAfter(error: AwsError, asks: readonly Ask[]): Promise<void> {
    if (NO_BATCHES.has(error.name)) this.pauseBatches();
    let others = asks;
    const names: (string | null)[] = [];
    if (isOfService(error)) {
      // If the service fails, only the first secret is requested.
      const [first, ...rest] = asks;
      const name = await this.askAlone(first!, CURRENT);
      if (name === error.name) {
        for (const ask of rest) settle(ask, answerOfError(error, ask.secretId, BATCH));
        return;
      }
      names.push(name);
      others = rest;
    }
    names.push(...(await Promise.all(others.map((ask) => this.askAlone(ask, CURRENT)))));
    if (names.includes(null) && !names.includes(error.name)) this.pauseBatches();
  }

  private pauseBatches(): void {
    const nowMs = this.clock.nowMs();
    // Several batches that were in flight together count as one failure.
    if (nowMs < this.batchesFromMs) return;
    this.batchesFromMs = nowMs + this.pauseMs;
    this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
  }

  /** Makes a call once the number of calls is below the limit. Rejects if `signal` is aborted while it waits. */
  private async call<T>(signal: AbortSignal, make: (client: SecretsManagerClient) => Promise<T>): Promise<T> {
    await this.places.take(signal);
    try {
      return await make(await this.client);
    } finally {
      this.places.leave();
    }
  }

  /** Aborted when no caller waits for any of `asks`, or when the client closes. */
  private beginRequest(asks: readonly Ask[]): AbortController {
    const abort = new AbortController();
    this.requests.add(abort);
    for (const ask of asks) {
      ask.onDeserted = () => {
        if (asks.every(({ waiters }) => waiters.size === 0)) abort.abort();
      };
    }
    asks[0]!.onDeserted();
    return abort;
  }
}

const givenUp: SecretAnswer = {
  type: "failure",
  code: "SOURCE_FAILED",
  text: "given up",
  isTransient: false,
};

/** Waits for the answer to `ask` until `signal` is aborted. */
function waitFor(ask: Ask, signal: AbortSignal): Promise<SecretAnswer> {
  const { promise, resolve } = Promise.withResolvers<SecretAnswer>();
  const leave = () => {
    ask.waiters.delete(hear);
    resolve(givenUp);
    if (ask.waiters.size === 0) ask.onDeserted();
  };
  const hear = (answer: SecretAnswer) => {
    signal.removeEventListener("abort", leave);
    resolve(answer);
  };
  ask.waiters.add(hear);
  signal.addEventListener("abort", leave, { once: true });
  return promise;
}

function settle({ waiters }: Ask, answer: SecretAnswer): void {
  for (const hear of waiters) hear(answer);
  waiters.clear();
}

/** Settles the secrets in a batch response. Returns the secrets that it left out. */
function settleFrom(output: BatchGetSecretValueCommandOutput, asks: readonly Ask[]): Ask[] {
  const { SecretValues: found = [], Errors: errors = [] } = output;
  return asks.filter((ask) => {
    const secret = found.find(({ Name: name, ARN: arn }) => isNamed(ask.secretId, name, arn));
    const error = errors.find(({ SecretId: id }) => id === ask.secretId);
    if (secret !== undefined) settle(ask, answerOf(secret));
    else if (error !== undefined) settle(ask, answerOfError(listedError(error), ask.secretId, "GetSecretValue"));
    return secret === undefined && error === undefined;
  });
}

type SecretValue = Pick<GetSecretValueCommandOutput, "SecretString" | "SecretBinary" | "VersionId">;

function answerOf({ SecretString: text, SecretBinary: bytes, VersionId: version }: SecretValue): SecretAnswer {
  const value = text ?? (bytes === undefined ? null : Buffer.from(bytes));
  // A version without a value was staged but never stored.
  return value === null ? { type: "notThere" } : { type: "secret", value, versionId: version ?? null };
}

/** A secret id is a name, an ARN, or an ARN without the dash and six characters that AWS adds to the name. */
function isNamed(secretId: string, name: string | undefined, arn: string | undefined): boolean {
  return secretId === name || (arn !== undefined && (secretId === arn || secretId === arn.slice(0, -7)));
}

/** Errors in a batch have no status. None of them is a connection failure. */
function listedError({ ErrorCode: name = "Error", Message: message = "" }: APIErrorType): AwsError {
  return { name, message, status: 400 };
}

/** The SDK finds the settings that the connection does not set, such as region and credentials. */
async function createClient(
  { region, profile, endpoint, assumeRole }: AwsConnection,
  requestTimeout: number,
): Promise<SecretsManagerClient> {
  const [{ SecretsManagerClient }, { fromNodeProviderChain, fromTemporaryCredentials }] = await Promise.all([
    import("@aws-sdk/client-secrets-manager"),
    import("@aws-sdk/credential-providers"),
  ]);
  const own = fromNodeProviderChain(profile === null ? {} : { profile });
  // Limiters limit the requests.
  const agent = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY };
  const provider =
    assumeRole === null
      ? own
      : fromTemporaryCredentials({
          masterCredentials: own,
          params: { RoleArn: assumeRole, RoleSessionName: ROLE_SESSION },
          clientConfig: profile === null ? {} : { profile },
        });
  return new SecretsManagerClient({
    ...(region === null ? {} : { region }),
    ...(profile === null ? {} : { profile }),
    ...(endpoint === null ? {} : { endpoint }),
    credentials: async (...context) => {
      try {
        return await provider(...context);
      } catch (error) {
        throw credentialsError(error);
      }
    },
    retryMode: "adaptive",
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
}
