/**
 * `[telemetry]` and `[server] admin`. OpenTelemetry's standard variables are the defaults of `[telemetry]`.
 * OpenTelemetry's exporters read certificates, compression and timeouts themselves.
 *
 * Source: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
 */

import { isLoopback, parseAddress } from "./address.ts";
import type { Address, AdminConfig, TelemetryConfig } from "./config.ts";
import { type Problems, readSection, type Section } from "./section.ts";
import { telemetrySettings } from "./settings.ts";

const DEFAULT_METRICS_INTERVAL_MS = 60_000;

type Signal = "metrics" | "traces" | "logs";
type Environment = Readonly<Record<string, string | undefined>>;

/** The admin server's address, from the text of `[server] admin`. `null` if the admin server is off. */
export function readAdmin(
  section: Section,
  { admin: text, adminToken }: { readonly admin: string; readonly adminToken: string | null },
  folder: string,
  problems: Problems,
): AdminConfig | null {
  if (adminToken !== null && !/^[!-~]{16,}$/.test(adminToken)) {
    const place = section.found.get("admin_token")?.place ?? section.place;
    problems.add(place, "expected at least 16 ASCII characters without blanks");
  }
  const address = readPlainAddress(section, "admin", text, folder, problems);
  if (address === null) return null;
  const found = section.found.get("admin");
  if (adminToken === null && address.type === "tcp" && !isLoopback(address.host)) {
    const message = "other machines can reach it and read the page; set admin_token, or use a loopback address";
    problems.warn(found?.place ?? section.place, message);
  }
  return { address, isDefault: found === undefined };
}

/** An address without TLS. `null` for `off`, or if a problem was reported. */
export function readPlainAddress(
  section: Section,
  key: string,
  text: string,
  folder: string,
  problems: Problems,
): Address | null {
  if (text === "off") return null;
  const address = /^unix:|:\d+$/.test(text) ? parseAddress(text, folder) : null;
  if (address !== null && !(address.type === "tcp" && address.isTls)) return address;
  const message = `expected host:port, [ipv6]:port, unix:PATH or "off", got ${JSON.stringify(text)}`;
  problems.add(section.found.get(key)?.place ?? section.place, message);
  return null;
}

/** Reads the section, with `env` for its defaults. */
export function readTelemetry(section: Section, env: Environment, problems: Problems): TelemetryConfig {
  const { otlpEndpoint: endpoint, sendsLogs, ...values } = readSection(section, telemetrySettings, problems);
  if (endpoint !== null && !isHttpUrl(endpoint)) {
    const place = section.found.get("otlp_endpoint")?.place ?? section.place;
    problems.add(place, "expected an http or https URL, such as http://127.0.0.1:4318");
  }
  checkEnvironment(section, env, problems);
  const isOff = env.OTEL_SDK_DISABLED?.toLowerCase() === "true";
  const urlFor = (signal: Signal) => {
    if (endpoint !== null) return below(endpoint, signal);
    return isOff ? null : urlOfEnvironment(signal, env);
  };
  return {
    ...values,
    metricsUrl: urlFor("metrics"),
    tracesUrl: urlFor("traces"),
    logsUrl: (sendsLogs ?? !isExporterOff("logs", env)) ? urlFor("logs") : null,
    serviceName: values.serviceName ?? (env.OTEL_SERVICE_NAME || "platypus"),
    metricsIntervalMs: values.metricsIntervalMs ?? intervalOf(env) ?? DEFAULT_METRICS_INTERVAL_MS,
    sampledShare: values.sampledShare ?? shareOf(env),
  };
}

/** What the exporters and the sampler can do for each of OpenTelemetry's variables. Other values are named, not ignored. */
const supported: readonly (readonly [name: RegExp, values: readonly string[]])[] = [
  [/^OTEL_EXPORTER_OTLP_((METRICS|TRACES|LOGS)_)?PROTOCOL$/, ["http/protobuf"]],
  [/^OTEL_(METRICS|TRACES|LOGS)_EXPORTER$/, ["otlp", "none"]],
  [
    /^OTEL_TRACES_SAMPLER$/,
    [
      "always_on",
      "always_off",
      "traceidratio",
      "parentbased_always_on",
      "parentbased_always_off",
      "parentbased_traceidratio",
    ],
  ],
  [/^OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE$/, ["cumulative"]],
];

/** Warns of variables whose value has no effect here, if something is exported. */
function checkEnvironment(section: Section, env: Environment, problems: Problems): void {
  const isUsed =
    section.found.has("otlp_endpoint") || Object.keys(env).some((name) => /^OTEL_EXPORTER_OTLP_.*ENDPOINT$/.test(name));
  if (!isUsed) return;
  for (const [name, text = ""] of Object.entries(env).sort()) {
    const values = supported.find(([pattern]) => pattern.test(name))?.[1];
    if (values === undefined || text === "" || values.includes(text.toLowerCase())) continue;
    const place = { file: null, line: null, path: name };
    problems.warn(place, `${JSON.stringify(text)} has no effect: Platypus supports ${values.join(", ")}`);
  }
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

function below(endpoint: string, signal: string): string {
  return `${endpoint.replace(/\/+$/, "")}/v1/${signal}`;
}

/** As the specification requires, an invalid URL is ignored. */
function urlOfEnvironment(signal: Signal, env: Environment): string | null {
  const name = signal.toUpperCase();
  if (isExporterOff(signal, env)) return null;
  const own = env[`OTEL_EXPORTER_OTLP_${name}_ENDPOINT`];
  if (own !== undefined && isHttpUrl(own)) return own;
  const shared = env.OTEL_EXPORTER_OTLP_ENDPOINT;
  return shared !== undefined && isHttpUrl(shared) ? below(shared, signal) : null;
}

function isExporterOff(signal: Signal, env: Environment): boolean {
  return env[`OTEL_${signal.toUpperCase()}_EXPORTER`]?.toLowerCase() === "none";
}

function intervalOf({ OTEL_METRIC_EXPORT_INTERVAL: text = "" }: Environment): number | null {
  return /^\d{1,9}$/.test(text) && Number(text) > 0 ? Number(text) : null;
}

/**
 * A caller's trace context decides whether its requests are sampled; the sampler only applies to requests without one.
 */
function shareOf({ OTEL_TRACES_SAMPLER: sampler = "", OTEL_TRACES_SAMPLER_ARG: text = "" }: Environment): number {
  switch (sampler.replace(/^parentbased_/, "")) {
    case "always_on":
      return 1;
    case "traceidratio": {
      const share = text === "" ? 1 : Number(text);
      return share >= 0 && share <= 1 ? share : 0;
    }
    default:
      return 0;
  }
}
