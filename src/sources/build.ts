/**
 * Config → named sources behind their bounds.
 */
import type { Clock } from "../clock.ts";
import type { AwsConnection, MergeSourceConfig, SourceConfig } from "../config/config.ts";
import { AwsSecretsManagerSource } from "./aws-secrets-manager.ts";
import { EchoSource } from "./echo.ts";
import { FileSource } from "./file.ts";
import { GetterSource, moduleSource } from "./getter.ts";
import { HttpSource } from "./http-source.ts";
import { Limiter } from "./limiter.ts";
import { MergeSource } from "./merge.ts";
import { SecretsClient } from "./secrets-client.ts";
import type { Source } from "./source.ts";

/** A source as it runs. */
export interface BuiltSource {
  readonly config: SourceConfig;
  readonly source: Source;
  readonly limiter: Limiter;
}

/**
 * Builds the sources, those of a merge before it; those whose configuration has not changed are taken over from
 * `previous`. The configuration has been checked: every name exists, and no merge needs itself.
 */
export function buildSources(
  configs: readonly SourceConfig[],
  previous: ReadonlyMap<string, BuiltSource>,
  clock: Clock,
): Map<string, BuiltSource> {
  const built = new Map<string, BuiltSource>();
  const clients = new SharedClients(previous, clock);
  const build = (config: SourceConfig): BuiltSource => {
    const done = built.get(config.name);
    if (done !== undefined) return done;
    const parts =
      config.type === "merge" ? partsOf(config).map((name) => build(configs.find((each) => each.name === name)!)) : [];
    const old = previous.get(config.name);
    // A merge holds on to its parts: it is the same only where they are.
    const isSame =
      old !== undefined &&
      JSON.stringify(old.config) === JSON.stringify(config) &&
      parts.every((part) => previous.get(part.config.name) === part);
    const result = isSame ? old : create(config, built, clients, clock);
    built.set(config.name, result);
    return result;
  };
  for (const config of configs) build(config);
  return new Map(configs.map(({ name }) => [name, built.get(name)!]));
}

/**
 * Closes the sources of `previous` that are not in `current`, each when its last fetch has ended, and the parts of a merge
 * after the merge: its fetches may still wait for their turn. `failed` is told of those that cannot be closed.
 */
export function retireSources(
  previous: ReadonlyMap<string, BuiltSource>,
  current: ReadonlyMap<string, BuiltSource>,
  failed: (name: string, error: unknown) => void,
): void {
  const gone = [...previous].filter(([name, { source }]) => current.get(name)?.source !== source);
  const retiring = new Map<string, Promise<void>>();
  const retire = ([name, { limiter }]: (typeof gone)[number]): Promise<void> => {
    const users = gone.filter(([, { config }]) => config.type === "merge" && partsOf(config).includes(name));
    const retired =
      retiring.get(name) ??
      Promise.all(users.map(retire))
        .then(() => limiter.retire())
        .catch((error: unknown) => failed(name, error));
    retiring.set(name, retired);
    return retired;
  };
  for (const each of gone) void retire(each);
}

function create(
  config: SourceConfig,
  built: ReadonlyMap<string, BuiltSource>,
  clients: SharedClients,
  clock: Clock,
): BuiltSource {
  const source = createSource(config, built, clients);
  return { config, source, limiter: new Limiter(source, config, clock) };
}

function createSource(config: SourceConfig, built: ReadonlyMap<string, BuiltSource>, clients: SharedClients): Source {
  switch (config.type) {
    case "echo":
      return new EchoSource(config);
    case "file":
      return new FileSource(config);
    case "http":
      return new HttpSource(config);
    case "merge":
      return new MergeSource(config, (name) => built.get(name)!.limiter);
    case "module":
      return moduleSource(config);
    case "getter":
      return new GetterSource(config.name, async () => config.getter);
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

function partsOf({ parts }: MergeSourceConfig): string[] {
  return parts.map(({ source }) => source);
}
