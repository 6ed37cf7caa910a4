/**
 * A URL template in a form for traces, explanations and the shown configuration. Literal text in the query may be a
 * token, so it is omitted; placeholders stay.
 */

export const HIDDEN = "(hidden)";

/** An escaped brace, a placeholder, or any other character. */
const TOKEN = /\{\{|\}\}|(\{\$?[A-Za-z0-9_]+(?::path)?\}|%\([A-Za-z0-9_]+\))|[\s\S]/g;

/** `text` with its placeholders; each run of other text is replaced. */
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

/** `url` without the literal text of its query, except for parameter names. */
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
