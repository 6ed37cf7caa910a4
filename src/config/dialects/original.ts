/**
 * Translates the configuration of the first Platypus into native tables. That format differs in three ways: a pattern
 * may match a part of a key, [server] has the target, and a file source has no root.
 *
 *     [routes.NAME] routes = [{ match, to }]      [get.NAME-1] match, source …
 *     [server] target = { host, port }            [target] host, port
 *     [routes.NAME] prefix                        [get.NAME-1] strip_prefix …
 *     [source.NAME] path = "/a/b/{1}"             root = "/a/b", path = "{1}"
 *     [source.NAME] poll                          ttl
 */

import type { TomlPath } from "../locate.ts";
import { isTable } from "../section.ts";

type Document = Readonly<Record<string, unknown>>;

/** A native document, and the positions of its values in the user's document. */
export interface Translated {
  readonly document: Document;
  /** Paths in the user's document that have no counterpart. */
  readonly unused: readonly TomlPath[];
  originOf(path: TomlPath): TomlPath;
}

/** Returns documents without elements of that format unchanged. */
export function translateOriginal(document: Document): Translated {
  const origins = new Map<string, TomlPath>();
  const unused: TomlPath[] = [];
  let translated = document;
  const server = document.server;
  if (isTable(server) && server.target !== undefined && document.target === undefined) {
    const { target, ...rest } = server;
    translated = { ...translated, server: rest, target: targetOf(target) };
    origins.set("target", ["server", "target"]);
  }
  if (isTable(document.routes)) {
    const { routes, ...rest } = translated;
    const get = rulesOf(document.routes, origins, unused);
    const own = isTable(document.get) ? document.get : {};
    const source = isTable(document.source)
      ? mapTable(document.source, (each) => withTtl(withRoot(each)))
      : document.source;
    translated = { ...rest, get: { ...own, ...get }, ...(source !== undefined && { source }) };
  }
  return {
    document: translated,
    unused,
    originOf: (path) => {
      const origin = origins.get(path.slice(0, 2).join(".")) ?? origins.get(String(path[0]));
      return origin === undefined ? path : [...origin, ...path.slice(origin[0] === "server" ? 1 : 2)];
    },
  };
}

/** Reads a table of host and port, or a URL such as `memcache://host:port`. */
function targetOf(target: unknown): unknown {
  if (typeof target !== "string") return target;
  return { servers: target.replace(/^memcached?:\/\//, "").split(",") };
}

function rulesOf(groups: Document, origins: Map<string, TomlPath>, unused: TomlPath[]): Record<string, unknown> {
  const rules: Record<string, unknown> = {};
  for (const [group, value] of Object.entries(groups)) {
    const { routes, prefix, ...others } = isTable(value) ? value : {};
    const list = Array.isArray(routes) ? routes : [];
    if (!Array.isArray(routes)) unused.push(["routes", group]);
    for (const key of Object.keys(others)) unused.push(["routes", group, key]);
    for (const [index, route] of list.entries()) {
      const name = `${group}-${index + 1}`;
      origins.set(`get.${name}`, ["routes", group, "routes", index]);
      if (!isTable(route)) {
        rules[name] = route;
        continue;
      }
      const { to, match, ...rest } = route;
      rules[name] = {
        ...(prefix !== undefined && { strip_prefix: prefix }),
        ...rest,
        ...(match !== undefined && { match: typeof match === "string" ? searched(match) : match }),
        ...(to !== undefined && rest.source === undefined && { source: to }),
      };
    }
  }
  return rules;
}

/** A pattern that matches each whole key that contains `pattern`. Captures keep their numbers. */
function searched(pattern: string): string {
  // A pattern with both anchors matches the whole key already, and matches faster.
  const isBound = /^\^[^|]*\$$/.test(pattern) && !pattern.endsWith("\\$");
  return isBound ? pattern.slice(1, -1) : `(?s:.*?)(?:${pattern})(?s:.*)`;
}

/** Sets the root to the folder in the path before the first part of the key. */
function withRoot(source: unknown): unknown {
  if (!isTable(source) || source.type !== "file" || source.root !== undefined || typeof source.path !== "string")
    return source;
  const literal = source.path.split(/[{%]/)[0]!;
  const root = literal.slice(0, literal.lastIndexOf("/") + 1);
  return { ...source, root: root === "" ? "." : root, path: source.path.slice(root.length) };
}

/** The first versions named the time between two fetches `poll`. */
function withTtl(source: unknown): unknown {
  if (!isTable(source) || source.poll === undefined || source.ttl !== undefined) return source;
  const { poll, ...rest } = source;
  return { ...rest, ttl: poll };
}

function mapTable(table: Document, change: (value: unknown) => unknown): Document {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, change(value)]));
}
