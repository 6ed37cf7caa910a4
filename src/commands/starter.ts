/**
 * Starter configurations for `platypus init`: short files that run unchanged, with the next steps as comments. Tests
 * load each of them.
 */
import { addressText, type PoolConfig, type PoolServer } from "../config/config.ts";

/** Kinds of starter files. */
export const starterKinds = ["pool", "rails", "mcrouter", "twemproxy"] as const;
export type StarterKind = (typeof starterKinds)[number];

const RULE = `# A rule: keys that match are fetched from the source when they are missing, and kept fresh while clients ask for them.
#[get.page]
#match = "page/(?P<path>.+)"
#source = "web"
#ttl = "1m"

#[source.web]
#type = "http"
#url = "http://127.0.0.1:3000/{path:path}"
#timeout = "2s"
`;

const SERVER = `[server]
# Where clients connect. Also unix:PATH, tls:host:port, or several addresses in a list.
listen = "127.0.0.1:11212"
# The admin page, /metrics, /healthz and /readyz. It has no login: keep it on loopback.
admin = "127.0.0.1:11280"
`;

const ABOUT = "Every setting: docs/configuration.md, or config/platypus.toml of the package.";

/** For a pool of memcached servers. */
export function poolStarter(servers: readonly string[], file: string): string {
  return `# Platypus before a pool of memcached servers. ${ABOUT}
#
#     platypus check ${file}          what is wrong with this file
#     platypus --config ${file}       run it; a saved file is read again at once

${SERVER}
[target]
servers = ${list(servers)}

${RULE}`;
}

/** For Rails.cache. */
export function railsStarter(servers: readonly string[], file: string): string {
  return `# Platypus for Rails.cache. ${ABOUT}
#
#     platypus check ${file}          what is wrong with this file
#     platypus --config ${file}       run it; a saved file is read again at once
#
# In config/environments/production.rb:
#
#     config.cache_store = :mem_cache_store, "127.0.0.1:11212", { raw: true }
#
# With namespace: "myapp", add strip_prefix = "myapp:" to each rule.

${SERVER}# Rails.cache.clear is a flush_all of every server below.
flush_all = true
# Rails percent-encodes keys. Sources are asked for the key that the application wrote.
key_encoding = "rails"

[target]
servers = ${list(servers)}

${RULE}`;
}

/** Rules next to a mcrouter configuration, which does not change. */
export function mcrouterStarter(options: readonly string[], file: string): string {
  const line = ["platypus", ...options, "--rules", file].join(" ");
  return `# Rules for Platypus in the place of mcrouter. mcrouter's own configuration stays as it is. ${ABOUT}
#
#     ${line}
#
# Without --rules Platypus does what mcrouter does, and fills nothing.

${RULE}`;
}

/** A pool of twemproxy's file in Platypus' format, where rules can be added. */
export function twemproxyStarter(pools: readonly PoolConfig[], original: string, file: string): string {
  const [pool, ...others] = pools;
  if (pool === undefined) return poolStarter(["127.0.0.1:11211"], file);
  const { placement } = pool;
  const keyHash = "keyHash" in placement ? `hash_key = ${JSON.stringify(placement.keyHash)}\n` : "";
  const hashTag = "hashTag" in placement && placement.hashTag !== "" ? `hash_tag = ${text(placement.hashTag)}\n` : "";
  const left = others.map(({ name }) => name).join(", ");
  const about =
    others.length === 0
      ? ""
      : `# A process serves one pool in this form. Make a file like this for each of the others, and a process: ${left}.\n`;
  return `# Pool ${pool.name} of ${original} in Platypus' own form, where rules can be added. ${ABOUT}
# Keys stay on the servers where twemproxy has put them. ${original} also runs as it is: platypus --config ${original}
${about}#
#     platypus check ${file}          what is wrong with this file
#     platypus --config ${file}       run it; a saved file is read again at once

[server]
listen = ${list(pool.listen.map((address) => addressText(address)))}
admin = "127.0.0.1:11280"

[target]
servers = ${list(pool.servers.map(serverText))}
hash = ${JSON.stringify(placement.type)}
${keyHash}${hashTag}connections = ${pool.connections}
server_timeout = "${pool.serverTimeoutMs}ms"
connect_timeout = "${pool.connectTimeoutMs}ms"

${RULE}`;
}

function serverText({ address, weight, name }: PoolServer): string {
  return [addressText(address), weight, name ?? ""].join(" ").trim();
}

function list(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(", ")}]`;
}

function text(value: string): string {
  return value.includes('"') ? `'${value}'` : JSON.stringify(value);
}
