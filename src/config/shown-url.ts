/**
 * A URL template as it may be shown: in traces, explanations and the shown configuration. Literal text in its query may be a
 * token and is left out; what a key puts in stays.
 */

export const HIDDEN = "(hidden)";

/** Braces that stand for themselves, a place, or any other character. */
const TOKEN = /\{\{|\}\}|(\{\$?[A-Za-z0-9_]+(?::path)?\}|%\([A-Za-z0-9_]+\))|[\s\S]/g;

/** `text` with its places, and each run of other text left out. */
export function withoutLiterals(text: string): string {
  let shown = "";
  let isHiding = false;
  for (const [, place] of text.matchAll(TOKEN)) {
    if (place !== undefined) shown += place;
    else if (!isHiding) shown += HIDDEN;
    isHiding = place === undefined;
  }
  return shown;
}

/** `url` without the literal text of its query, but for the names of its parameters. */
export function shownUrl(url: string): string {
  const at = url.indexOf("?");
  if (at < 0) return url;
  const parameters = url.slice(at + 1).split("&");
  const shown = parameters.map((parameter) => {
    const equals = parameter.indexOf("=");
    return parameter.slice(0, equals + 1) + withoutLiterals(parameter.slice(equals + 1));
  });
  return `${url.slice(0, at)}?${shown.join("&")}`;
}
