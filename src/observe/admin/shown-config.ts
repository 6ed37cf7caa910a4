/**
 * The effective configuration without secret values. The values of references (`${ENV:…}`, `${file:…}`) are removed
 * wherever they occur.
 */
import type { Config } from "../../config/config.ts";
import { HIDDEN } from "../../config/shown-url.ts";

/** The value of a parameter, or a query without names. */
const QUERY_VALUE = /([?&](?:[^=&#]*=)?)[^&#]+/g;
const LOGIN = /(:\/\/)[^/?#@\s]*@/g;

/** Fields that are never shown, at any level. */
const hiddenNames: ReadonlySet<string> = new Set([
  "username",
  "password",
  "adminToken",
  "passwords",
  "authorization",
  "cert",
  "ca",
  "pem",
  "getter",
  "body",
  "texts",
]);
/** Tables of which only the names are shown. */
const hiddenPairs: ReadonlySet<string> = new Set(["headers", "query"]);

/** The text without the values of references. */
export function withoutSecrets(text: string, { secrets }: Config): string {
  const forms = new Set(secrets.flatMap(formsOf));
  const longestFirst = [...forms].filter((form) => form !== "").sort((a, b) => b.length - a.length);
  return longestFirst.reduce((shown, secret) => shown.replaceAll(secret, HIDDEN), text);
}

/** The forms of a secret in a text: literal, template, URL, form, JSON and base64. */
function formsOf(secret: string): string[] {
  const plain = secret.replaceAll("{{", "{").replaceAll("}}", "}");
  const bytes = Buffer.from(plain, "utf8");
  const strict = encodeURIComponent(plain).replaceAll(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return [
    secret,
    plain,
    encodeURI(plain),
    encodeURIComponent(plain),
    strict,
    strict.replaceAll("%20", "+"),
    plain.replaceAll(/[^!-~]+/g, encodeURIComponent),
    JSON.stringify(plain).slice(1, -1),
    bytes.toString("latin1"),
    bytes.toString("base64"),
  ];
}

export function shownConfig(config: Config): unknown {
  const text = (value: string) => withoutSecrets(value, config);
  const show = (value: unknown, name: string): unknown => {
    if (value === null || value === undefined) return null;
    if (hiddenNames.has(name)) return HIDDEN;
    if (typeof value === "string") {
      const shown = text(value).replace(LOGIN, `$1${HIDDEN}@`);
      return /url$/i.test(name) ? shown.replace(QUERY_VALUE, `$1${HIDDEN}`) : shown;
    }
    if (value instanceof Map) return show(Object.fromEntries(value), name);
    if (Array.isArray(value)) {
      if (hiddenPairs.has(name)) return value.map((pair) => [show(pair[0], ""), HIDDEN]);
      return value.map((entry) => show(entry, ""));
    }
    if (typeof value !== "object") return value;
    // Hide a private key. The `key` in a secret's name does not stand in such a table.
    const isTls = "serverName" in value && "files" in value;
    return Object.fromEntries(
      Object.entries(withShownUrl(value)).map(([key, entry]) => {
        return [key, isTls && key === "key" ? (entry === null ? null : HIDDEN) : show(entry, key)];
      }),
    );
  };
  const { secrets: _, ...shown } = config;
  return show(shown, "");
}

/** An HTTP source without the values that its configuration marks as secret. */
function withShownUrl(value: object): object {
  if (!("shown" in value)) return value;
  const { shown: _, ...rest } = value;
  return rest;
}
