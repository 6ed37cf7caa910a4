import { describe, expect, it } from "vitest";
import { parseNative } from "../../src/config/native.ts";
import { sourceTypes } from "../../src/sources/types.ts";

function read(text: string, env: Record<string, string> = {}) {
  return parseNative({ file: null, text, env, sourceTypes });
}

describe("[server] admin", () => {
  it("is an address, a path or off, and 127.0.0.1:11280 by default", () => {
    const loopback = { type: "tcp", host: "127.0.0.1", port: 11_280, isTls: false };
    expect(read("").server.admin).toEqual({ address: loopback, isDefault: true });
    expect(read('[server]\nadmin = "127.0.0.1:11280"').server.admin).toEqual({ address: loopback, isDefault: false });
    expect(read('[server]\nadmin = "off"').server.admin).toBeNull();
    expect(read('[server]\nadmin = "unix:/run/p.sock"').server.admin?.address).toEqual({
      type: "unix",
      path: "/run/p.sock",
    });
  });

  it.each(["localhost", "tls:127.0.0.1:1", "", "127.0.0.1:99999"])("is refused if it is %j", (text) => {
    expect(() => read(`[server]\nadmin = "${text}"`)).toThrow(/server.admin: expected host:port/);
  });
});

describe("[telemetry]", () => {
  it("sends nothing without a configured destination", () => {
    expect(read("").telemetry).toMatchObject({ metricsUrl: null, tracesUrl: null, sampledShare: 0, keys: "none" });
  });

  it("is read from OpenTelemetry's variables for settings that the file omits", () => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318/",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://traces:1/x",
      OTEL_SERVICE_NAME: "cache",
      OTEL_METRIC_EXPORT_INTERVAL: "5000",
      OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
    };
    expect(read("", env).telemetry).toMatchObject({
      metricsUrl: "http://collector:4318/v1/metrics",
      tracesUrl: "https://traces:1/x",
      serviceName: "cache",
      metricsIntervalMs: 5_000,
      sampledShare: 0.25,
    });
    const own = `[telemetry]
otlp_endpoint = "http://own:1"
service_name = "own"
metrics_interval = "10s"
traces_sample = 0.5
`;
    expect(read(own, env).telemetry).toMatchObject({
      metricsUrl: "http://own:1/v1/metrics",
      tracesUrl: "http://own:1/v1/traces",
      serviceName: "own",
      metricsIntervalMs: 10_000,
      sampledShare: 0.5,
    });
    expect(read("", { ...env, OTEL_SDK_DISABLED: "true" }).telemetry).toMatchObject({
      metricsUrl: null,
      tracesUrl: null,
    });
    expect(read("", { ...env, OTEL_METRICS_EXPORTER: "none" }).telemetry.metricsUrl).toBeNull();
    expect(read("", { ...env, OTEL_TRACES_SAMPLER: "always_on" }).telemetry.sampledShare).toBe(1);
    expect(read("", { ...env, PLATYPUS_TELEMETRY_TRACES_SAMPLE: "0.125" }).telemetry.sampledShare).toBe(0.125);
  });

  it("sends the log where it sends metrics and traces, unless it is switched off", () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };
    const own = '[telemetry]\notlp_endpoint = "http://own:1"\n';
    expect(read("").telemetry.logsUrl).toBeNull();
    expect(read("", env).telemetry.logsUrl).toBe("http://collector:4318/v1/logs");
    expect(read(own).telemetry.logsUrl).toBe("http://own:1/v1/logs");
    expect(read("", { OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "http://logs:1/x" }).telemetry).toMatchObject({
      logsUrl: "http://logs:1/x",
      metricsUrl: null,
      tracesUrl: null,
    });
    for (const off of [
      { ...env, OTEL_LOGS_EXPORTER: "none" },
      { ...env, OTEL_SDK_DISABLED: "true" },
    ]) {
      expect(read("", off).telemetry.logsUrl).toBeNull();
    }
    expect(read(`${own}otlp_logs = false`).telemetry.logsUrl).toBeNull();
    expect(read(own, { OTEL_LOGS_EXPORTER: "none" }).telemetry.logsUrl).toBeNull();
    expect(read(`${own}otlp_logs = true`, { OTEL_LOGS_EXPORTER: "none" }).telemetry.logsUrl).toBe(
      "http://own:1/v1/logs",
    );
  });

  it("names OpenTelemetry's variables whose values it does not support", () => {
    const odd = {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4317",
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
      OTEL_TRACES_SAMPLER: "jaeger_remote",
      OTEL_METRICS_EXPORTER: "prometheus",
      OTEL_LOGS_EXPORTER: "console",
      OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "delta",
    };
    const { warnings } = read("", odd);
    expect(warnings).toHaveLength(5);
    expect(warnings).toContain('OTEL_EXPORTER_OTLP_PROTOCOL "grpc" has no effect: Platypus supports http/protobuf');
    // Without a receiver the variables are for other programs.
    expect(read("", { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }).warnings).toEqual([]);
  });

  it("refuses invalid settings without showing header fields", () => {
    const text = `[telemetry]
otlp_endpoint = "collector:4318"
traces_sample = 2
keys = "all"
otlp_headers = { authorization = 5 }
`;
    expect(() => read(text)).toThrow(
      /otlp_endpoint: expected an http[\s\S]*traces_sample: expected a number from 0 to 1[\s\S]*keys: expected "none" or "rule" or "full"/,
    );
  });
});

describe("[server] log_level", () => {
  it("is one level, or one level and the levels of modules", () => {
    expect(read('[server]\nlog_level = "warn"').server.log).toEqual({ level: "warn", form: "text" });
    expect(read('[server]\nlog_level = "info, backend=debug,source=error"').server.log).toEqual({
      level: "info",
      modules: { backend: "debug", source: "error" },
      form: "text",
    });
  });

  it.each([
    ["warning", /log_level: expected "error" or .*, got "warning"/],
    ["info,backends=debug", /there is no module "backends"; did you mean "backend"/],
    ["info,backend", /expected "error" or .*, got ""/],
    ["backend=debug", /expected "error" or .*, got "backend=debug"/],
  ])("is refused if it is %j", (text, message) => {
    expect(() => read(`[server]\nlog_level = "${text}"`)).toThrow(message);
  });
});
