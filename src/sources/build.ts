/**
 * Config → named sources behind their bounds.
 */
import type { Clock } from "../clock.ts";
import type { AwsConnection, SourceConfig } from "../config/config.ts";
import { AwsSecretsManagerSource } from "./aws-secrets-manager.ts";
import { EchoSource } from "./echo.ts";
import { FileSource } from "./file.ts";
import { HttpSource } from "./http.ts";
import { Limiter } from "./limiter.ts";
import { SecretsClient } from "./secrets-client.ts";
import type { Source } from "./source.ts";

/** A source as it runs. */
export interface BuiltSource {
  readonly config: SourceConfig;
  readonly source: Source;
  readonly limiter: Limiter;
}

/** Builds the sources; those whose configuration has not changed are taken over from `previous`. */
export function buildSources(
  configs: readonly SourceConfig[],
  previous: ReadonlyMap<string, BuiltSource>,
  clock: Clock,
): Map<string, BuiltSource> {
  const clients = new SharedClients(previous, clock);
  return new Map(
    configs.map((config) => {
      const old = previous.get(config.name);
      if (old !== undefined && JSON.stringify(old.config) === JSON.stringify(config)) return [config.name, old];
      const source = createSource(config, clients);
      return [config.name, { config, source, limiter: new Limiter(source, config, clock) }];
    }),
  );
}

function createSource(config: SourceConfig, clients: SharedClients): Source {
  switch (config.type) {
    case "echo":
      return new EchoSource(config);
    case "file":
      return new FileSource(config);
    case "http":
      return new HttpSource(config);
    case "awssm":
      return new AwsSecretsManagerSource(config, clients.of(config.connection));
  }
}

/** Clients of pools, those of the sources that were there before included. */
class SharedClients {
  private readonly clients = new Map<string, SecretsClient>();
  private readonly clock: Clock;

  constructor(previous: ReadonlyMap<string, BuiltSource>, clock: Clock) {
    this.clock = clock;
    for (const { source } of previous.values()) {
      if (source instanceof AwsSecretsManagerSource) {
        this.clients.set(JSON.stringify(source.client.connection), source.client);
      }
    }
  }

  /** That of the connection's pool, or one of its own. */
  of(connection: AwsConnection): SecretsClient {
    const id = JSON.stringify(connection);
    const shared = connection.pool === null ? undefined : this.clients.get(id);
    const client = shared ?? new SecretsClient(connection, this.clock);
    this.clients.set(id, client);
    return client;
  }
}
