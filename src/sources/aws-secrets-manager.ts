/**
 * Values from AWS Secrets Manager: a whole secret, or one field of a secret that is JSON. The key chooses the secret's
 * name, within the template and AWS' alphabet; connection and credentials are the configuration's.
 *
 * A secret that does not exist, or is marked for deletion, is "not there". One that may not be read, or lacks the field,
 * is a failure that tells of this secret only, not of the source: the breaker does not count it.
 */
import type { AwsSecretsManagerSourceConfig } from "../config/config.ts";
import { SourceError } from "../errors.ts";
import { isJsonObject, jsonText, parseJson } from "./exact-json.ts";
import type { SecretsClient } from "./secrets-client.ts";
import type { FetchContext, FetchResult, Source } from "./source.ts";
import { asSecretName, parseTemplate, renderTemplate, type Template } from "./template.ts";

/** Longest id that AWS takes, in characters. */
const MAX_ID_LENGTH = 2_048;

/** No error or log line holds anything of a secret but its name. */
export class AwsSecretsManagerSource implements Source {
  readonly name: string;
  /** Shared by the sources that name one pool. */
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

  /** Throws a SourceError where the key gives none. */
  private nameFor(context: FetchContext): string {
    const secretId = renderTemplate(this.template, context, asSecretName);
    if (secretId === "" || secretId.length > MAX_ID_LENGTH) throw this.refused("the key gives no name of a secret");
    return secretId;
  }

  /** The version; with the field, since a reload may choose another one of the same version. */
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
    return Buffer.from(jsonText(fields[field]), "utf8");
  }

  private refused(why: string): SourceError {
    return new SourceError("SOURCE_REFUSED", `source ${this.name}: ${why}`);
  }
}

/** The fields of a secret. `null` if `text` is no JSON object. */
function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const parsed = parseJson(text);
    return isJsonObject(parsed) ? parsed : null;
  } catch {
    // Its message would quote the secret.
    return null;
  }
}
