/**
 * The effective configuration as it may be shown: everything that was read, with what is or may be secret left out. What
 * references (`${ENV:…}`, `${file:…}`) were replaced by is left out wherever it stands.
 */
import type { Config } from "../config/config.ts";

const HIDDEN = "(hidden)";
const QUERY_VALUE = /([?&][^=&#]*=)[^&#]*/g;

/** Names of what is never shown, wherever it stands. */
const hiddenNames: ReadonlySet<string> = new Set([
  "username",
  "password",
  "authorization",
  "cert",
  "ca",
  "pem",
  "getter",
  "texts",
]);
/** Of these pairs only the names are shown. */
const hiddenPairs: ReadonlySet<string> = new Set(["headers", "query"]);

/** A text without what references were replaced by. */
export function withoutSecrets(text: string, { secrets }: Config): string {
  const longestFirst = secrets.filter((secret) => secret !== "").sort((a, b) => b.length - a.length);
  return longestFirst.reduce((shown, secret) => shown.replaceAll(secret, HIDDEN), text);
}

/** A JSON value. */
export function shownConfig(config: Config): unknown {
  const text = (value: string) => withoutSecrets(value, config);
  const show = (value: unknown, name: string): unknown => {
    if (value === null || value === undefined) return null;
    if (hiddenNames.has(name)) return HIDDEN;
    if (typeof value === "string")
      return name === "url" ? text(value).replace(QUERY_VALUE, `$1${HIDDEN}`) : text(value);
    if (value instanceof Map) return show(Object.fromEntries(value), name);
    if (Array.isArray(value)) {
      if (hiddenPairs.has(name)) return value.map((pair) => [show(pair[0], ""), HIDDEN]);
      return value.map((entry) => show(entry, ""));
    }
    if (typeof value !== "object") return value;
    // A private key; the `key` of a secret's name stands in no such table.
    const isTls = "serverName" in value && "files" in value;
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => {
        return [key, isTls && key === "key" ? (entry === null ? null : HIDDEN) : show(entry, key)];
      }),
    );
  };
  const { secrets: _, ...shown } = config;
  return show(shown, "");
}
