/**
 * Checks certificates and keys before use: an empty, truncated, mismatched or partly renewed file would make each
 * handshake fail.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";

/** Contents of the files. `null` if no file was named. */
export interface TlsMaterial {
  readonly cert: string | null;
  readonly key: string | null;
  readonly ca: string | null;
}

/** A remark about one of the files. */
export interface TlsRemark {
  readonly about: keyof TlsMaterial;
  readonly message: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Problems prevent the use of the material; warnings do not. `nowMs` is Unix time. */
export function checkTls(
  { cert, key, ca }: TlsMaterial,
  nowMs: number,
): { readonly problems: readonly TlsRemark[]; readonly warnings: readonly TlsRemark[] } {
  const problems: TlsRemark[] = [];
  const warnings: TlsRemark[] = [];
  const chain = readCertificates("cert", cert, problems);
  const authorities = readCertificates("ca", ca, problems);
  const privateKey = key === null ? null : readKey(key, problems);
  if (privateKey !== null && chain.length > 0 && !chain[0]!.checkPrivateKey(privateKey)) {
    problems.push({
      about: "cert",
      message: "the certificate cannot be used: its private key is another one (mismatch)",
    });
  }
  if (problems.length === 0) tryContext({ cert, key, ca }, problems);
  for (const certificate of chain) warnings.push(...remarksOnTime("cert", certificate, nowMs));
  for (const certificate of authorities) warnings.push(...remarksOnTime("ca", certificate, nowMs));
  for (const [i, certificate] of chain.slice(1).entries()) {
    if (!chain[i]!.checkIssued(certificate)) {
      warnings.push({ about: "cert", message: `certificate ${i + 2} of the chain did not issue the one before it` });
    }
  }
  return { problems, warnings };
}

function readCertificates(about: "cert" | "ca", text: string | null, problems: TlsRemark[]): X509Certificate[] {
  if (text === null) return [];
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) problems.push({ about, message: "expected a certificate (PEM), found none" });
  const begun = text.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  if (blocks.length > 0 && begun > blocks.length) problems.push({ about, message: "the last certificate is cut off" });
  return blocks.flatMap((block, i) => {
    try {
      return [new X509Certificate(block)];
    } catch (error) {
      problems.push({ about, message: `certificate ${i + 1} cannot be read: ${(error as Error).message}` });
      return [];
    }
  });
}

/** The error's message does not contain the key. */
function readKey(text: string, problems: TlsRemark[]): KeyObject | null {
  try {
    return createPrivateKey(text);
  } catch (error) {
    const message = `expected a private key (PEM) without a passphrase; it cannot be used: ${(error as Error).message}`;
    problems.push({ about: "key", message });
    return null;
  }
}

function tryContext({ cert, key, ca }: TlsMaterial, problems: TlsRemark[]): void {
  try {
    createSecureContext({ ...(cert !== null && { cert }), ...(key !== null && { key }), ...(ca !== null && { ca }) });
  } catch (error) {
    const about = cert === null ? "ca" : "cert";
    problems.push({ about, message: `certificate, key and authority cannot be used: ${(error as Error).message}` });
  }
}

function remarksOnTime(about: "cert" | "ca", certificate: X509Certificate, nowMs: number): TlsRemark[] {
  const { validFrom, validTo } = certificate;
  if (nowMs > Date.parse(validTo)) return [{ about, message: `the certificate expired on ${validTo}` }];
  if (nowMs < Date.parse(validFrom)) return [{ about, message: `the certificate is not valid before ${validFrom}` }];
  return [];
}
