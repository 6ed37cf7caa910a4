/**
 * Requests of the command line to the admin addresses of running processes.
 *
 *     --admin URL …       http://HOST:PORT, HOST:PORT or unix:PATH; several for a fleet
 *     --config FILE       its `admin` and `admin_token`
 *     otherwise           PLATYPUS_SERVER_ADMIN, or the default address
 *
 * The token comes from --token-file, PLATYPUS_SERVER_ADMIN_TOKEN, or the configuration.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import { addressText, type ListenAddress } from "../config/config.ts";
import { PlatypusError, UsageError } from "../errors.ts";
import { loadConfig } from "../server/load-config.ts";

const DEFAULT_ADMIN = "127.0.0.1:11280";
const TIMEOUT_MS = 10_000;

/** Options of each command that uses the admin address. */
export const adminOptions = {
  admin: { type: "string", multiple: true },
  config: { type: "string" },
  "token-file": { type: "string" },
} as const;

export const ADMIN_OPTIONS_HELP = `  --admin URL          http://HOST:PORT, HOST:PORT or unix:PATH of a running Platypus; repeat it for a fleet
  --config FILE        take the address and the token from this configuration
  --token-file FILE    file with the token; otherwise PLATYPUS_SERVER_ADMIN_TOKEN, or that of --config
`;

interface AdminValues {
  readonly admin?: readonly string[];
  readonly config?: string;
  readonly "token-file"?: string;
}

/** A running Platypus. */
export class AdminClient {
  readonly name: string;
  private readonly target: http.RequestOptions;
  private readonly token: string | null;

  constructor(name: string, target: http.RequestOptions, token: string | null) {
    this.name = name;
    this.target = target;
    this.token = token;
  }

  /** Sends a request. Throws a PlatypusError with the answer's text if the status is not 200. */
  async send(method: "GET" | "POST", path: string): Promise<http.IncomingMessage> {
    const headers = { host: "localhost", ...(this.token !== null && { authorization: `Bearer ${this.token}` }) };
    const request = http.request({ ...this.target, method, path, headers, timeout: TIMEOUT_MS });
    request.once("timeout", () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    request.end();
    let response: http.IncomingMessage;
    try {
      [response] = (await once(request, "response")) as [http.IncomingMessage];
    } catch (error) {
      const { message } = error as Error;
      throw new PlatypusError("ADMIN", `${this.name} cannot be reached: ${message}; --admin names another address`);
    }
    if (response.statusCode === 200) return response;
    let text = "";
    for await (const piece of response.setEncoding("utf8")) text += piece;
    throw new PlatypusError("ADMIN", `${this.name}: ${text.trim() || `status ${response.statusCode}`}`);
  }
}

/** The processes that a command line names. Throws a UsageError or a ConfigError. */
export async function adminClients(values: AdminValues): Promise<AdminClient[]> {
  const config = values.config === undefined ? null : await loadConfig({ path: values.config, env: process.env });
  const token = tokenOf(values["token-file"]) ?? config?.server.adminToken ?? null;
  const given = values.admin ?? [];
  if (given.length > 0) return given.map((text) => clientFor(text, token));
  if (config !== null) {
    const { admin } = config.server;
    if (admin === null) throw new UsageError(`${values.config} has admin = "off": there is no admin address`);
    return [clientFor(textOf(admin.address), token)];
  }
  return [clientFor(process.env.PLATYPUS_SERVER_ADMIN || DEFAULT_ADMIN, token)];
}

function tokenOf(file: string | undefined): string | null {
  if (file === undefined) return process.env.PLATYPUS_SERVER_ADMIN_TOKEN || null;
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new UsageError(`--token-file: ${(error as Error).message}`);
  }
}

function textOf(address: ListenAddress): string {
  // A wildcard address also serves this machine.
  return addressText(address).replace(/^(0\.0\.0\.0|\[::\]|\*):/, "127.0.0.1:");
}

function clientFor(text: string, token: string | null): AdminClient {
  if (text.startsWith("unix:")) return new AdminClient(text, { socketPath: text.slice("unix:".length) }, token);
  const url = /^https?:\/\//.test(text) ? text : `http://${text}`;
  if (!URL.canParse(url) || !url.startsWith("http://")) {
    throw new UsageError(`--admin: expected http://HOST:PORT, HOST:PORT or unix:PATH, got ${JSON.stringify(text)}`);
  }
  const { hostname, port } = new URL(url);
  return new AdminClient(
    `http://${hostname}:${port || 80}`,
    { host: hostname.replace(/^\[|\]$/g, ""), port: port || 80 },
    token,
  );
}
