/**
 * The effective configuration as it may be shown: everything that was read, with what is or may be secret left out. What
 * references (`${ENV:…}`, `${file:…}`) were replaced by is left out wherever it stands.
 */
import type { Config } from "../../config/config.ts";
import { HIDDEN } from "../../config/shown-url.ts";

/** The value of a parameter, or a query that has no names. */
const QUERY_VALUE = /([?&](?:[^=&#]*=)?)[^&#]+/g;
const LOGIN = /(:\/\/)[^/?#@\s]*@/g;

/** Names of what is never shown, wherever it stands. */
const hiddenNames: ReadonlySet<string> = new Set([
  "username",
  "password",
  "passwords",
  "authorization",
  "cert",
  "ca",
  "pem",
  "getter",
  "body",
  "texts",
]);
/** Of these pairs only the names are shown. */
const hiddenPairs: ReadonlySet<string> = new Set(["headers", "query"]);

/** A text without what references were replaced by. */
export function withoutSecrets(text: string, { secrets }: Config): string {
  const forms = new Set(secrets.flatMap(formsOf));
  const longestFirst = [...forms].filter((form) => form !== "").sort((a, b) => b.length - a.length);
  return longestFirst.reduce((shown, secret) => shown.replaceAll(secret, HIDDEN), text);
}

/** How a secret may stand in a text: as it is, as a template has it, and as URLs, forms, JSON and base64 have it. */
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

/** A JSON value. */
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
    // A private key; the `key` of a secret's name stands in no such table.
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

/** An HTTP source without what its configuration marks as secret. */
function withShownUrl(value: object): object {
  if (!("shown" in value)) return value;
  const { shown: _, ...rest } = value;
  return rest;
}
