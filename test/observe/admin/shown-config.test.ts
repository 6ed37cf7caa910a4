import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { parseNative } from "../../../src/config/native.ts";
import { shownConfig } from "../../../src/observe/admin/shown-config.ts";
import { sourceTypes } from "../../../src/sources/types.ts";

const file = fileURLToPath(new URL("../../support/platypus.toml", import.meta.url));

it("the shown configuration hides secrets of every origin, and shows everything else", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
  try {
    writeFileSync(path.join(folder, "token"), "secret-of-a-file\n");
    const text = `[server]
listen = "tls:127.0.0.1:0"
tls_cert = "tls/server.pem"
tls_key = "tls/server.key"
[telemetry]
otlp_endpoint = "http://127.0.0.1:4318"
otlp_headers = { authorization = "secret-header" }
[target]
servers = ["10.0.0.1:11211"]
username = "secret-user"
password = "secret-password"
[get.page]
match = "page/(.*)"
source = "web"
[source.web]
type = "http"
url = "http://127.0.0.1/p/{1}?token=secret-in-url"
username = "secret-name"
password = "secret-word"
headers = { X-Api-Key = "secret-key" }
query = { token = "\${ENV:TOKEN}" }
method = "POST"
body = "a {1} b \${file:${path.join(folder, "token")}} c \${ENV:TOKEN}"
`;
    const env = { TOKEN: "{secret}-of-env" };
    const config = parseNative({ file, text, env, sourceTypes });
    const shown = JSON.stringify(shownConfig(config));
    expect(shown).not.toMatch(/secret|PRIVATE|CERTIFICATE/);
    // Nor what the authorization header was made of.
    expect(shown).not.toContain(Buffer.from("secret-name:secret-word").toString("base64"));
    expect(shownConfig(config)).toMatchObject({
      server: { listen: [{ host: "127.0.0.1", isTls: true }], tls: { key: "(hidden)" } },
      telemetry: { metricsUrl: "http://127.0.0.1:4318/v1/metrics", headers: [["authorization", "(hidden)"]] },
      pools: [{ servers: [{ address: { host: "10.0.0.1" } }], login: { username: "(hidden)", password: "(hidden)" } }],
      rules: [{ name: "page", match: "page/(.*)", ttlMs: 60_000 }],
      sources: [
        {
          url: "http://127.0.0.1/p/{1}?token=(hidden)",
          headers: [["X-Api-Key", "(hidden)"]],
          authorization: "(hidden)",
          body: "(hidden)",
        },
      ],
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
