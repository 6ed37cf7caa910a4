/** AWS Secrets Manager sources over a server and a clock of the test, each with its own client. */

import { expect } from "vitest";
import type { AwsConnection } from "../../../src/config/native-aws.ts";
import { SourceError } from "../../../src/errors.ts";
import {
  AwsSecretsManagerSource,
  type AwsSecretsManagerSourceConfig,
} from "../../../src/sources/aws-secrets-manager.ts";
import { SecretsClient } from "../../../src/sources/secrets-client.ts";
import type { FetchResult } from "../../../src/sources/source.ts";
import { contextOf } from "../fakes/fetch-context.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { ACCESS_KEY, SECRET_KEY, SecretsManagerServer } from "../servers/secrets-manager.ts";
import { type AwsEnvironment, awsEnvironment } from "./aws-environment.ts";
import { looseLimits } from "./source-limits.ts";

/** Variables that name the credentials which the server knows. */
export const accessKeys = { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY };

/** `close` also closes the sources and restores the environment. */
export class SecretSources {
  readonly server: SecretsManagerServer;
  readonly clock = new ManualClock();
  private environment: AwsEnvironment;
  private readonly open: AwsSecretsManagerSource[] = [];

  private constructor(server: SecretsManagerServer, environment: AwsEnvironment) {
    this.server = server;
    this.environment = environment;
  }

  /** With credentials and a region in the environment. */
  static async start(): Promise<SecretSources> {
    const environment = await awsEnvironment({ ...accessKeys, AWS_REGION: "eu-west-1" });
    return new SecretSources(await SecretsManagerServer.start(), environment);
  }

  /** Has another environment from now on. */
  async useEnvironment(variables: Record<string, string>, profiles = ""): Promise<void> {
    await this.environment.restore();
    this.environment = await awsEnvironment(variables, profiles);
  }

  /** A source of secrets called `app/{1}`, unless the test says otherwise. */
  make(
    config: Partial<AwsSecretsManagerSourceConfig> = {},
    connection: Partial<AwsConnection> = {},
    requestTimeoutMs?: number,
  ): AwsSecretsManagerSource {
    const nothing = { pool: null, region: null, profile: null, assumeRole: null, maxCalls: null };
    const own = { ...nothing, endpoint: this.server.url, ...connection };
    return this.makeOver(new SecretsClient(own, this.clock, requestTimeoutMs), config);
  }

  /** The same over a client that is there. */
  makeOver(client: SecretsClient, config: Partial<AwsSecretsManagerSourceConfig> = {}): AwsSecretsManagerSource {
    const { connection } = client;
    const usual = { key: "app/{1}", versionStage: "AWSCURRENT", field: null, connection };
    const source = new AwsSecretsManagerSource(
      { type: "awssm", name: "vault", ...looseLimits, ...usual, ...config },
      client,
    );
    this.open.push(source);
    return source;
  }

  /** Asks for each of `parts` in one turn, and has the time for collecting them pass. Tells what each ended with. */
  async outcomes(
    source: AwsSecretsManagerSource,
    parts: readonly string[],
    tag: string | null = null,
  ): Promise<string[]> {
    const fetching = parts.map((part) => source.fetch({ ...contextOf(part, [part]), tag }));
    this.clock.advance(5);
    return (await Promise.allSettled(fetching)).map(outcomeOf);
  }

  async outcome(source: AwsSecretsManagerSource, part = "one", tag: string | null = null): Promise<string> {
    return (await this.outcomes(source, [part], tag))[0]!;
  }

  /** The tag that a fetch of `part` gives with its value. */
  async tagOf(source: AwsSecretsManagerSource, part: string): Promise<string | null> {
    const fetching = source.fetch(contextOf(part, [part]));
    this.clock.advance(5);
    const result = await fetching;
    return result.type === "value" ? result.tag : null;
  }

  async close(): Promise<void> {
    for (const source of this.open) await source.close();
    await this.server.close();
    await this.environment.restore();
  }
}

/** The value's text, "notThere", "unchanged", or the error's code and message, with "(transient)" where it may pass. */
function outcomeOf(result: PromiseSettledResult<FetchResult>): string {
  if (result.status === "fulfilled") {
    const { value } = result;
    return value.type === "value" ? value.value.toString("latin1") : value.type;
  }
  expect(result.reason).toBeInstanceOf(SourceError);
  const { code, message, cause, isTransient } = result.reason as SourceError;
  // It might hold what came with it.
  expect(cause).toBeUndefined();
  return `${code} ${message}${isTransient ? " (transient)" : ""}`;
}
