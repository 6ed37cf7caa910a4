/**
 * AWS Secrets Manager, and the little of STS that hands out roles, over HTTP on a free port of this machine: the JSON 1.1
 * protocol for the one, query and XML for the other. A request whose signature is not right is refused with 403.
 */

import { randomUUID } from "node:crypto";
import type http from "node:http";
import { HttpOrigin } from "./http-origin.ts";
import { type SignedScope, verifySignature } from "./signature-v4.ts";

/** An action that was asked for, rightly signed. */
export interface AwsCall extends SignedScope {
  /** `GetSecretValue`, `BatchGetSecretValue`, `AssumeRole` */
  readonly action: string;
  /** The secrets it is about, or the role. */
  readonly ids: readonly string[];
  readonly versionStage: string | null;
}

/** An error as the protocol has it. */
export interface AwsFault {
  readonly status: number;
  /** `ThrottlingException` and the like. */
  readonly type: string;
  readonly message: string;
}

interface StoredSecret {
  readonly versionId: string;
  readonly value: string | Buffer;
}

export const ACCESS_KEY = "AKIDOFTESTS";
export const SECRET_KEY = "secret/key+of+tests";
const SESSION_TOKEN = "token-of-a-session";
const ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:";

/** Records its calls. The test that starts it closes it. */
export class SecretsManagerServer {
  readonly calls: AwsCall[] = [];
  /** Why requests were refused before anybody looked at what they ask: none should be. */
  readonly badSignatures: string[] = [];
  /** Decides whether a call fails or is never answered. `null` if it is served. */
  intercept: (call: AwsCall) => AwsFault | "hang" | null = () => null;
  /** Names that a batch says nothing of. */
  readonly leftOut = new Set<string>();
  readonly origin: HttpOrigin;
  private readonly secretKeys = new Map([[ACCESS_KEY, SECRET_KEY]]);
  /** By name and stage. */
  private readonly secrets = new Map<string, StoredSecret>();
  /** By name: what asking for it alone, or its entry in a batch, ends with. */
  private readonly faults = new Map<string, AwsFault>();

  private constructor(origin: HttpOrigin) {
    this.origin = origin;
    origin.handle = (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => this.answer(request, Buffer.concat(chunks), response));
    };
  }

  static async start(): Promise<SecretsManagerServer> {
    return new SecretsManagerServer(await HttpOrigin.start());
  }

  get url(): string {
    return this.origin.url;
  }

  /** Actions in order: `GetSecretValue app/one`, with `@STAGE` where it is not the usual one. */
  get asked(): string[] {
    return this.calls.map(({ action, ids, versionStage }) => {
      const stage = versionStage === null || versionStage === "AWSCURRENT" ? "" : `@${versionStage}`;
      return `${action} ${ids.join(" ")}${stage}`;
    });
  }

  /** Puts a new version and tells its id. */
  put(name: string, value: string | Buffer, stage = "AWSCURRENT"): string {
    const versionId = randomUUID();
    this.secrets.set(`${name}\n${stage}`, { versionId, value });
    return versionId;
  }

  /** Has every look at `name` fail from now on. */
  fail(name: string, type: string, message: string, status = 400): void {
    this.faults.set(name, { type, message, status });
  }

  /** Has this access key be known. */
  addKey(accessKeyId: string, secretKey: string): void {
    this.secretKeys.set(accessKeyId, secretKey);
  }

  async close(): Promise<void> {
    await this.origin.close();
  }

  private answer(request: http.IncomingMessage, body: Buffer, response: http.ServerResponse): void {
    const scope = verifySignature(request, body, (id) => this.secretKeys.get(id));
    if (typeof scope === "string") {
      this.badSignatures.push(scope);
      sendFault(response, { status: 403, type: "InvalidSignatureException", message: scope });
      return;
    }
    const isOfRole = scope.accessKeyId.startsWith("ASIA");
    if (isOfRole && request.headers["x-amz-security-token"] !== SESSION_TOKEN) {
      sendFault(response, { status: 403, type: "UnrecognizedClientException", message: "no token" });
      return;
    }
    if (request.headers["content-type"]?.startsWith("application/x-www-form-urlencoded")) {
      this.assumeRole(new URLSearchParams(body.toString()), scope, response);
      return;
    }
    const action = String(request.headers["x-amz-target"]).replace(/^secretsmanager\./, "");
    const input = JSON.parse(body.toString("utf8"));
    const ids: string[] = input.SecretIdList ?? [input.SecretId];
    const call = { ...scope, action, ids, versionStage: input.VersionStage ?? null };
    this.calls.push(call);
    const fault = this.intercept(call);
    if (fault === "hang") return;
    if (fault !== null) sendFault(response, fault);
    else if (action === "BatchGetSecretValue") send(response, 200, this.batch(ids));
    else this.single(call, response);
  }

  private single({ ids, versionStage }: AwsCall, response: http.ServerResponse): void {
    const answer = this.lookUp(ids[0]!, versionStage ?? "AWSCURRENT");
    if ("type" in answer) sendFault(response, answer);
    else send(response, 200, answer);
  }

  private batch(ids: readonly string[]): object {
    const answers = ids.filter((id) => !this.leftOut.has(id)).map((id) => [id, this.lookUp(id, "AWSCURRENT")] as const);
    return {
      // In another order than requested, as AWS may.
      SecretValues: answers.flatMap(([, answer]) => ("type" in answer ? [] : [answer])).reverse(),
      Errors: answers.flatMap(([id, answer]) =>
        "type" in answer ? [{ SecretId: id, ErrorCode: answer.type, Message: answer.message }] : [],
      ),
    };
  }

  /** By name, by ARN, or by ARN without its last characters. */
  private lookUp(id: string, stage: string): AwsFault | { readonly Name: string } {
    const name = id.startsWith(ARN) ? id.slice(ARN.length).replace(/-AbCdEf$/, "") : id;
    const fault = this.faults.get(name);
    if (fault !== undefined) return fault;
    const secret = this.secrets.get(`${name}\n${stage}`);
    if (secret === undefined) {
      const message = "Secrets Manager can't find the specified secret.";
      return { status: 400, type: "ResourceNotFoundException", message };
    }
    const { versionId, value } = secret;
    const content = typeof value === "string" ? { SecretString: value } : { SecretBinary: value.toString("base64") };
    return { ...content, ...{ ARN: `${ARN}${name}-AbCdEf`, VersionId: versionId, VersionStages: [stage] }, Name: name };
  }

  private assumeRole(form: URLSearchParams, scope: SignedScope, response: http.ServerResponse): void {
    const role = form.get("RoleArn") ?? "";
    const action = form.get("Action") ?? "";
    const call = { ...scope, action, ids: [role, form.get("RoleSessionName") ?? ""], versionStage: null };
    this.calls.push(call);
    const fault = this.intercept(call);
    if (fault === "hang") return;
    if (fault !== null) {
      const error = `<Error><Type>Sender</Type><Code>${fault.type}</Code><Message>${fault.message}</Message></Error>`;
      response.writeHead(fault.status, { "content-type": "text/xml" }).end(`<ErrorResponse>${error}</ErrorResponse>`);
      return;
    }
    const [accessKeyId, secretKey] = [`ASIA${role.length}`, `secret of ${role}`];
    this.addKey(accessKeyId, secretKey);
    response.writeHead(200, { "content-type": "text/xml" }).end(
      `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
        <AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${secretKey}</SecretAccessKey>
        <SessionToken>${SESSION_TOKEN}</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>
      </Credentials></AssumeRoleResult></AssumeRoleResponse>`,
    );
  }
}

function sendFault(response: http.ServerResponse, { status, type, message }: AwsFault): void {
  // Some services write the message with a small letter, some put a namespace before the type.
  send(response, status, { __type: `com.amazonaws.secretsmanager#${type}`, message });
}

function send(response: http.ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/x-amz-json-1.1" }).end(JSON.stringify(body));
}
