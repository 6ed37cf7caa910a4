import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "toml";
import { describe, expect, it } from "vitest";
import { parseNative } from "../../src/config/native.ts";
import type { Setting, Settings } from "../../src/config/setting.ts";
import {
  awsPoolSettings,
  listenSettings,
  routeSettings,
  ruleSettings,
  serverSettings,
  targetSettings,
  telemetrySettings,
  userSettings,
} from "../../src/config/settings.ts";
import { commonSettings } from "../../src/sources/read.ts";
import { fileTypes, sourceTypes } from "../../src/sources/types.ts";

const file = fileURLToPath(new URL("../../config/platypus.toml", import.meta.url));
const text = readFileSync(file, "utf8");
/** The file with every setting enabled. */
const switchedOn = text.replace(/^#(?=[a-z[])/gm, "");
const typeNames = fileTypes.map(({ names: [type] }) => type);
/** Settings of all sources: the example of one type, http, has them. */
const shownOnce = ["type", "timeout", "concurrency", "queue", "rate", "breaker_failures", "breaker_time", "retries"];
/** Settings that the example has in the pool that its source names. */
const connection = ["region", "profile", "endpoint", "assume_role"];
const ruleDefaults = [
  "ttl",
  "min_ttl",
  "max_ttl",
  "stale",
  "expiry",
  "refresh_before",
  "refresh_after_gets",
  "negative_ttl",
  "failure_ttl",
  "fill_timeout",
  "lease",
];

const read = (toml: string) =>
  parseNative({
    file,
    text: toml,
    env: { EXAMPLE_PASSWORD: "secret", EXAMPLE_TOKEN: "a-token-of-an-example" },
    sourceTypes,
  });
/** The enabled file with certificates of the tests, which are read. They need a TLS address. */
const withCertificates = switchedOn
  // The example of a route names pools that the file does not have.
  .replace(/^\[\[route\]\].*?\n\n/ms, "")
  .replaceAll('"tls/', '"../test/support/tls/')
  .replace('listen = "', 'listen = "tls:')
  .replace("tls = false", "tls = true")
  .replace("client_certificates = false", "client_certificates = true")
  .replace('"getter.ts"', '"../test/support/modules/getter.ts"')
  // These settings exclude each other.
  .replace('method = "GET"', 'method = "POST"')
  .replace(/^bearer_token.*$/m, "");

describe("config/platypus.toml", () => {
  it("equals the defaults", () => {
    expect(read(text)).toEqual(read(""));
  });

  it("loads with every setting enabled", () => {
    const config = read(withCertificates);
    expect(config.pools).toHaveLength(1);
    expect(config.rules).toHaveLength(1);
    expect(config.sources.map(({ type }) => type).toSorted()).toEqual(typeNames.toSorted());
  });

  it("contains every setting with its default", () => {
    const document = parse(switchedOn);
    const source = leaveOut(commonSettings([]), ruleDefaults);
    const examples: [section: string, shown: unknown, settings: Settings][] = [
      ["server", document.server, serverSettings],
      ["user", document.user.example, userSettings],
      ["listen", document.listen.example, listenSettings],
      ["telemetry", document.telemetry, telemetrySettings],
      ["target", document.target, leaveOut(targetSettings, ["host", "port"])],
      ["route", document.route[0], leaveOut(routeSettings, ["match", "replicas", "read"])],
      ["get", document.get.example, ruleSettings],
      ["pool", document.pool.aws, awsPoolSettings],
      ...typeNames.map((type): [string, unknown, Settings] => [
        `source ${type}`,
        Object.values<{ type: string }>(document.source).find((shown) => shown.type === type),
        leaveOut({ ...(type === "http" ? source : leaveOut(source, shownOnce)), ...settingsOf(type) }, connection),
      ]),
    ];
    for (const [section, shown, settings] of examples) {
      for (const [key, row] of Object.entries<Setting>(settings)) {
        if (row.noEffect !== undefined) continue;
        const place = key.split(".");
        expect(shown, section).toHaveProperty(place);
        const value = place.reduce((at: unknown, name) => (at as Record<string, unknown>)[name], shown);
        if (row.default !== null) expect({ value }, `${section} ${key}`).toMatchObject({ value: row.default });
      }
    }
    for (const key of ["host", "port", ...ruleDefaults]) expect(text).toContain(key);
  });

  it("has a description above every setting", () => {
    const lines = text.split("\n");
    for (const [index, line] of lines.entries()) {
      if (!/^#?[a-z_.]+ = /.test(line) || /^#type/.test(line)) continue;
      expect(lines[index - 1], line).toMatch(/^# ./);
    }
  });
});

function leaveOut(settings: Settings, keys: readonly string[]): Settings {
  return Object.fromEntries(Object.entries(settings).filter(([key]) => !keys.includes(key)));
}

/** The settings of a type of source. */
function settingsOf(name: string): Settings {
  return fileTypes.find(({ names }) => names[0] === name)!.settings;
}
