import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkTls, type TlsMaterial } from "../../src/config/tls-material.ts";

const read = (name: string) => readFileSync(new URL(`../support/tls/${name}`, import.meta.url), "utf8");
const [ca, cert, key, otherKey] = [read("ca.pem"), read("server.pem"), read("server.key"), read("client.key")];
const nowMs = Date.now();

function problemsOf(material: Partial<TlsMaterial>): string[] {
  const { problems } = checkTls({ cert, key, ca, ...material }, nowMs);
  return problems.map(({ about, message }) => `${about}: ${message}`);
}

describe("checkTls", () => {
  it("accepts a certificate with its key, a chain, and authorities alone", () => {
    for (const material of [
      {},
      { cert: cert + ca },
      { cert: null, key: null },
      { cert: `text before\n${cert}`, ca: null },
    ]) {
      expect(problemsOf(material)).toEqual([]);
    }
    expect(checkTls({ cert: cert + ca, key, ca }, nowMs).warnings).toEqual([]);
  });

  it.each([
    ["an empty certificate", { cert: "" }, /^cert: expected a certificate \(PEM\), found none/],
    ["an empty key", { key: "" }, /^key: expected a private key/],
    ["an empty authority", { ca: "\n" }, /^ca: expected a certificate/],
    [
      "certificate and key swapped",
      { cert: key, key: cert },
      /^cert: expected a certificate .*\nkey: expected a private key/,
    ],
    [
      "the key of another certificate",
      { key: otherKey },
      /^cert: the certificate cannot be used: its private key is another one/,
    ],
    ["a certificate that is cut off", { cert: cert.slice(0, 300) }, /^cert: expected a certificate/],
    ["a chain that is cut off", { cert: cert + ca.slice(0, 300) }, /^cert: the last certificate is cut off/],
    ["a key that is cut off", { key: key.slice(0, 200) }, /^key: expected a private key/],
    [
      "a certificate with damage",
      { cert: cert.replace(/\n[A-Za-z0-9+/]{64}\n/, "\n") },
      /^cert: certificate 1 cannot be read: /,
    ],
    ["text of another kind", { cert: "<html></html>" }, /^cert: expected a certificate/],
  ])("refuses %s", (_what, material, message) => {
    const problems = problemsOf(material).join("\n");
    expect(problems).toMatch(message);
    for (const secret of key.split("\n").filter((line) => line.length > 40)) expect(problems).not.toContain(secret);
  });

  it("warns of certificates that have expired or are not yet valid", () => {
    const late = checkTls({ cert, key, ca }, Date.parse("2200-01-01"));
    expect(late.problems).toEqual([]);
    expect(late.warnings.map(({ about }) => about)).toEqual(["cert", "ca"]);
    expect(late.warnings[0]!.message).toMatch(/^the certificate expired on /);
    const early = checkTls({ cert, key, ca: null }, Date.parse("2000-01-01"));
    expect(early.warnings).toEqual([{ about: "cert", message: expect.stringContaining("is not valid before") }]);
  });

  it("warns of a chain in the wrong order", () => {
    const { problems, warnings } = checkTls({ cert: cert + read("client.pem"), key, ca }, nowMs);
    expect(problems).toEqual([]);
    expect(warnings.map(({ message }) => message)).toEqual([
      "certificate 2 of the chain did not issue the one before it",
    ]);
  });
});
