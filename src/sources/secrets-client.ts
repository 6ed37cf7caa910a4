/**
 * The way to AWS Secrets Manager: one SDK client, for one source or for all sources that name one pool.
 *
 * Secrets that are asked for within a few milliseconds go in one BatchGetSecretValue of at most 20; one that is alone,
 * and any with a version stage of its own, in a GetSecretValue:
 *
 *     get ─► waits 5 ms ─┬─ alone ──────────► GetSecretValue ◄── of what a batch left out, or failed over as a whole
 *                        └─ 2 to 20 of them ─► BatchGetSecretValue
 *
 * Where batches fail and single secrets do not, batches pause, for a minute at first and an hour at last.
 *
 * Who asks for a secret that the next batch has already shares its answer. A request is aborted when nobody waits for any
 * of it any more. The SDK is loaded when the first client is made, so that processes without one start without it.
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
/** Limiters give up earlier. This ends what nobody can abort: credentials, which all requests wait for together. */
const REQUEST_TIMEOUT_MS = 10_000;
/** The version that a batch gives. */
const CURRENT = "AWSCURRENT";
const BATCH = "BatchGetSecretValue";
/** Batches are not allowed, or not known to the program that stands in for AWS. */
const NO_BATCHES: ReadonlySet<string> = new Set(["AccessDeniedException", "UnknownOperationException"]);
/** A batch whose answer names none of its secrets. */
const EMPTY_ANSWER: AwsError = { name: "EmptyAnswer", message: "", status: 200 };
/** The first pause of batches after a failure. Each further pause is twice as long. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 3_600_000;
const ROLE_SESSION = "platypus";

/** A secret that is asked for, and who waits for it. */
interface Ask {
  readonly secretId: string;
  readonly waiters: Set<(answer: SecretAnswer) => void>;
  /** Called when the last waiter went away. */
  onDeserted: () => void;
}

/** Gives answers, never throws. Whoever uses one says so with `retain`, and `release`s it in the end. */
export class SecretsClient {
  readonly connection: AwsConnection;
  private readonly clock: Clock;
  private readonly client: Promise<SecretsManagerClient>;
  private users = 0;
  private isClosed = false;
  /** By which those under way are given up. */
  private readonly requests = new Set<AbortController>();
  /** For the next batch, by secret. */
  private readonly collected = new Map<string, Ask>();
  private windowTimer: Timer | null = null;
  private readonly places: Places;
  /** Until then each secret is asked for alone. */
  private batchesFromMs = Number.NEGATIVE_INFINITY;
  /** For the next time that batches fail. */
  private pauseMs = FIRST_PAUSE_MS;

  /** `requestTimeoutMs`: after which one request, those for credentials included, is given up as lost. */
  constructor(connection: AwsConnection, clock: Clock, requestTimeoutMs = REQUEST_TIMEOUT_MS) {
    this.connection = connection;
    this.clock = clock;
    this.places = new Places(connection.maxCalls ?? Number.POSITIVE_INFINITY);
    this.client = createClient(connection, requestTimeoutMs);
    // Whoever asks is told.
    this.client.catch(() => {});
  }

  retain(): void {
    this.users++;
  }

  /** The last one closes its connections and gives up what is under way. */
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

  /** The secret as of a version stage. An abort answers at once, with a failure that nobody hears. */
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

  /** Settles `ask`, and returns the name of the error with which AWS answered. `null` if AWS answered without an error. */
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
   * Asks for each secret of a batch that failed with `error`. Batches pause if AWS answers for a secret and for none with
   * the same error: then it is the batch that AWS, or a program in its place, cannot do.
   */
  private async askEachAfter(error: AwsError, asks: readonly Ask[]): Promise<void> {
    if (NO_BATCHES.has(error.name)) this.pauseBatches();
    let others = asks;
    const names: (string | null)[] = [];
    if (isOfService(error)) {
      // A service that fails is not asked for each secret: the first one tells how it is.
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
    // Batches that were under way together tell one thing.
    if (nowMs < this.batchesFromMs) return;
    this.batchesFromMs = nowMs + this.pauseMs;
    this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
  }

  /** Makes one call once fewer than the maximum are under way. Rejects if `signal` is aborted while it waits. */
  private async call<T>(signal: AbortSignal, make: (client: SecretsManagerClient) => Promise<T>): Promise<T> {
    await this.places.take(signal);
    try {
      return await make(await this.client);
    } finally {
      this.places.leave();
    }
  }

  /** Aborts once nobody waits for any of `asks`, or the client is closed. */
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

/** Waits for the answer to `ask`, until `signal` is aborted. */
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

/** Settles what a batch answered, and returns what it left out. */
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
  // A version without a value: it was staged and never put.
  return value === null ? { type: "notThere" } : { type: "secret", value, versionId: version ?? null };
}

/** Secrets are asked for by name, by ARN, or by ARN without the dash and six characters that AWS adds to the name. */
function isNamed(secretId: string, name: string | undefined, arn: string | undefined): boolean {
  return secretId === name || (arn !== undefined && (secretId === arn || secretId === arn.slice(0, -7)));
}

/** Errors in a batch come without a status of their own; none of them is of the way to AWS. */
function listedError({ ErrorCode: name = "Error", Message: message = "" }: APIErrorType): AwsError {
  return { name, message, status: 400 };
}

/** Region, credentials and what else the connection leaves open are found as the SDK finds them. */
async function createClient(
  { region, profile, endpoint, assumeRole }: AwsConnection,
  requestTimeout: number,
): Promise<SecretsManagerClient> {
  const [{ SecretsManagerClient }, { fromNodeProviderChain, fromTemporaryCredentials }] = await Promise.all([
    import("@aws-sdk/client-secrets-manager"),
    import("@aws-sdk/credential-providers"),
  ]);
  const own = fromNodeProviderChain(profile === null ? {} : { profile });
  // Limiters bound the requests.
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
