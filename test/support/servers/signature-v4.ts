/** AWS Signature Version 4 of a request that was received, computed from its bytes alone. */

import { createHash, createHmac } from "node:crypto";
import type http from "node:http";

/** What a request says of who signed it, for what. */
export interface SignedScope {
  readonly accessKeyId: string;
  readonly region: string;
  readonly service: string;
}

const FORM =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/;

/**
 * The scope of a request whose signature is right; else what is wrong with it. `secretOf`: the secret key of an access
 * key. The path is one that needs no encoding, and there is no query.
 */
export function verifySignature(
  { method, url, headers }: http.IncomingMessage,
  body: Buffer,
  secretOf: (accessKeyId: string) => string | undefined,
): SignedScope | string {
  const found = FORM.exec(headers.authorization ?? "");
  if (found === null) return "no signature";
  const [, accessKeyId = "", day = "", region = "", service = "", signedHeaders = "", signature] = found;
  const names = signedHeaders.split(";");
  for (const name of ["host", "x-amz-date", ...(headers["x-amz-target"] === undefined ? [] : ["x-amz-target"])]) {
    if (!names.includes(name)) return `${name} is not signed`;
  }
  const time = String(headers["x-amz-date"]);
  if (!time.startsWith(day)) return "signed for another day";
  const secretKey = secretOf(accessKeyId);
  if (secretKey === undefined) return "unknown access key";
  const canonical = [
    method,
    url,
    "",
    ...names.map((name) => `${name}:${String(headers[name]).trim().replace(/ +/g, " ")}`),
    "",
    signedHeaders,
    sha256(body),
  ].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", time, `${day}/${region}/${service}/aws4_request`, sha256(canonical)].join("\n");
  const key = [day, region, service, "aws4_request"].reduce<string | Buffer>(hmac, `AWS4${secretKey}`);
  return hmac(key, toSign).toString("hex") === signature
    ? { accessKeyId, region, service }
    : "the signature is not that of the request";
}

function sha256(data: string | Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac("sha256", key).update(data, "utf8").digest();
}
