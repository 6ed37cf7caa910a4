/**
 * Values from AWS Secrets Manager: a whole secret, or one field of a JSON secret. The key selects the secret's name,
 * within the template and AWS' alphabet. Connection and credentials come from the configuration.
 *
 * A secret that does not exist or is marked for deletion is "not there". A secret without read permission, or without
 * the field, is a failure of this secret only: the breaker does not count it.
 */
import { type AwsConnection, readAwsConnection } from "../config/native-aws.ts";
import type { Place, Problems } from "../config/section.ts";
import { type Complete, type Settings, template, text } from "../config/setting.ts";
import { awsSettings, awsTypes } from "../config/settings.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { SourceError } from "../errors.ts";
import { awsProblems } from "./aws-environment.ts";
import { isJsonObject, jsonText, parseJson } from "./exact-json.ts";
import { SecretsClient } from "./secrets-client.ts";
import type { FetchContext, FetchResult, Source } from "./source.ts";
import type { CreateContext, SourceType } from "./source-type.ts";
import { asSecretName, parseTemplate, renderTemplate, type Template } from "./template.ts";

const settings = {
  key: {
    type: template,
    default: null,
    example: "example/{1}",
    isRequired: true,
    synonyms: ["secret_id"],
    meaning: "Template of the secret's name or ARN. Captures are not escaped; they may have only `A-Za-z0-9/_+=.@-`.",
  },
  version_stage: { type: text, default: "AWSCURRENT", meaning: "Staging label of the version." },
  field: {
    type: text,
    default: null,
    example: "password",
    meaning:
      "Field of a secret that is a JSON object. A string is given as it is, anything else as JSON. Default: the whole secret.",
  },
  pool: {
    type: text,
    default: null,
    example: "aws",
    meaning:
      "Name of a `[pool.NAME]` of this type, whose connection is used instead of `region`, `profile`, `endpoint` and `assume_role`.",
  },
  ...awsSettings,
} as const satisfies Settings;

type Replaced = "pool" | "region" | "profile" | "endpoint" | "assumeRole";

/** `key` is the template of the secret's name or ARN. */
export interface AwsSecretsManagerSourceConfig extends SourceConfig, Omit<Complete<typeof settings>, Replaced> {
  readonly connection: AwsConnection;
}

export const awsSecretsManagerType: SourceType<typeof settings, AwsSecretsManagerSourceConfig> = {
  names: awsTypes,
  about: "Asks AWS Secrets Manager; a secret that does not exist is not there. See [sources.md](sources.md).",
  settings,
  read(values, { section, awsPools, problems, placeOf }) {
    const { key, versionStage, field } = values;
    const connection = readAwsConnection(section, values, awsPools, problems);
    if (!/^[!-~]{1,256}$/.test(versionStage)) {
      problems.add(placeOf("version_stage"), "expected the staging label of a version");
    }
    if (field === "") problems.add(placeOf("field"), "expected the name of a field");
    if (key === null) return null;
    checkSecretName(key, placeOf("key"), problems);
    return { key, versionStage, field, connection };
  },
  create: (config, context) => new AwsSecretsManagerSource(config, clientFor(config.connection, context)),
  warnings: ({ connection }, env) => awsProblems(connection, env),
};

/** Characters in a template of a secret's name; `:` only occurs in an ARN. */
const literalText = /^[A-Za-z0-9/_+=.@:-]*$/;
const placeholder = /\{\$?\w+(?::path)?\}|%\(\w+\)/g;

/** Reports a template whose literal text cannot be part of a secret's name. */
function checkSecretName(name: string, place: Place, problems: Problems): void {
  if (name === "" || !literalText.test(name.replace(placeholder, ""))) {
    problems.add(place, `expected the name of a secret: letters, digits and /_+=.@-, got ${JSON.stringify(name)}`);
  }
}

/** Sources of one `[pool.NAME]` share a client, also across reloads. Other sources have one client each. */
function clientFor(connection: AwsConnection, { peers, clock }: CreateContext): SecretsClient {
  if (connection.pool !== null) {
    for (const peer of peers) {
      const isSame =
        peer instanceof AwsSecretsManagerSource &&
        JSON.stringify(peer.client.connection) === JSON.stringify(connection);
      if (isSame) return peer.client;
    }
  }
  return new SecretsClient(connection, clock);
}

/** Maximum length of an id in AWS, in characters. */
const MAX_ID_LENGTH = 2_048;

/** Errors and log lines contain the name of a secret, never its content. */
export class AwsSecretsManagerSource implements Source {
  readonly name: string;
  /** Sources that name one pool share this client. */
  readonly client: SecretsClient;
  private readonly config: AwsSecretsManagerSourceConfig;
  private readonly template: Template;

  constructor(config: AwsSecretsManagerSourceConfig, client: SecretsClient) {
    this.name = config.name;
    this.config = config;
    this.template = parseTemplate(config.key);
    this.client = client;
    client.retain();
  }

  async fetch(context: FetchContext): Promise<FetchResult> {
    const secretId = this.nameFor(context);
    const answer = await this.client.get(secretId, this.config.versionStage, context.signal);
    switch (answer.type) {
      case "notThere":
        return answer;
      case "failure": {
        const { code, text, isTransient } = answer;
        throw new SourceError(code, `source ${this.name}: ${text}`, { isTransient });
      }
      case "secret": {
        const tag = this.tagOf(answer.versionId);
        if (tag !== null && tag === context.tag) return { type: "unchanged", freshness: null };
        return { type: "value", value: this.valueOf(secretId, answer.value), tag, freshness: null };
      }
    }
  }

  describe(context: FetchContext): string[] {
    const { versionStage, field } = this.config;
    const part = field === null ? "" : `, its field ${JSON.stringify(field)}`;
    return [`secret ${JSON.stringify(this.nameFor(context))}, version ${versionStage}${part}`];
  }

  async close(): Promise<void> {
    await this.client.release();
  }

  /** Throws a SourceError if the key yields no valid name. */
  private nameFor(context: FetchContext): string {
    const secretId = renderTemplate(this.template, context, asSecretName);
    if (secretId === "" || secretId.length > MAX_ID_LENGTH) throw this.refused("the key gives no name of a secret");
    return secretId;
  }

  /** The version with the field, because a reload may select another field of that version. */
  private tagOf(versionId: string | null): string | null {
    const { field } = this.config;
    return versionId === null || field === null ? versionId : `${versionId} ${field}`;
  }

  private valueOf(secretId: string, secret: string | Buffer): Buffer {
    const { field } = this.config;
    if (field === null) return typeof secret === "string" ? Buffer.from(secret, "utf8") : secret;
    const name = JSON.stringify(secretId);
    if (typeof secret !== "string") throw this.refused(`secret ${name} is binary and has no fields`);
    const fields = parseObject(secret);
    if (fields === null) throw this.refused(`secret ${name} is no JSON object and has no fields`);
    if (!Object.hasOwn(fields, field)) {
      throw this.refused(`secret ${name} has no field ${JSON.stringify(field)}`);
    }
    try {
      return Buffer.from(jsonText(fields[field]), "utf8");
    } catch {
      throw this.refused(`secret ${name} has a field ${JSON.stringify(field)} that is nested too deeply`);
    }
  }

  private refused(why: string): SourceError {
    return new SourceError("SOURCE_REFUSED", `source ${this.name}: ${why}`);
  }
}

/** The fields of a secret. `null` if `text` is not a JSON object. */
function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const parsed = parseJson(text);
    return isJsonObject(parsed) ? parsed : null;
  } catch {
    // The parser's message would contain the secret.
    return null;
  }
}
