/**
 * Certificates of a native configuration. They are read and checked with the configuration, so that a certificate that
 * does not fit its key is a configuration error, not a failure of the first client.
 */

import { resolve } from "node:path";
import type { ListenAddress, TlsConfig } from "./config.ts";
import type { FilesRead } from "./files-read.ts";
import { readFailure } from "./read-failure.ts";
import type { Problems, Section } from "./section.ts";
import { checkTls, type TlsMaterial } from "./tls-material.ts";

/** Paths as in the file. */
interface TlsValues {
  readonly tlsCert: string | null;
  readonly tlsKey: string | null;
  readonly tlsCa: string | null;
}

/** The folder of relative paths, and the reader of files. */
interface TlsContext {
  readonly folder: string;
  readonly reads: FilesRead;
}

/**
 * `[server]`: certificate and key, which are required for `tls:` addresses and unused otherwise. `null` if there are
 * none.
 */
export function readServerTls(
  section: Section,
  values: TlsValues,
  listen: readonly ListenAddress[],
  context: TlsContext,
  problems: Problems,
): TlsConfig | null {
  const hasListener = listen.some((address) => address.type === "tcp" && address.isTls);
  if (!hasListener) {
    refuseAll(section, 'has no use without an address such as "tls:0.0.0.0:11212" in listen', problems);
    return null;
  }
  if (values.tlsCert === null || values.tlsKey === null) {
    const place = section.found.get("listen")?.place ?? section.place;
    problems.add(place, "a tls: address needs tls_cert and tls_key");
    return null;
  }
  return readFiles(section, values, null, context, problems);
}

/** `[target]`, `[pool.NAME]`. `null` if the servers do not use TLS. */
export function readPoolTls(
  section: Section,
  values: TlsValues & { readonly tls: boolean; readonly tlsServerName: string | null },
  context: TlsContext,
  problems: Problems,
): TlsConfig | null {
  if (!values.tls) {
    refuseAll(section, "has no use without tls = true", problems);
    return null;
  }
  return readFiles(section, values, values.tlsServerName, context, problems);
}

function refuseAll(section: Section, message: string, problems: Problems): void {
  for (const key of ["tls_cert", "tls_key", "tls_ca", "tls_server_name"]) {
    const found = section.found.get(key);
    if (found !== undefined) problems.add(found.place, message);
  }
}

function readFiles(
  section: Section,
  values: TlsValues,
  serverName: string | null,
  { folder, reads }: TlsContext,
  problems: Problems,
): TlsConfig | null {
  const files: string[] = [];
  const read = (key: string, value: string | null) => {
    if (value === null) return null;
    const path = resolve(folder, value);
    files.push(path);
    try {
      return reads.textSync(path);
    } catch (error) {
      problems.add(section.found.get(key)?.place ?? section.place, `${path}: ${readFailure(error)}`);
      return null;
    }
  };
  const [cert, key, ca] = [
    read("tls_cert", values.tlsCert),
    read("tls_key", values.tlsKey),
    read("tls_ca", values.tlsCa),
  ];
  if ((values.tlsCert === null) !== (values.tlsKey === null)) {
    const [given, missing] = values.tlsCert === null ? ["tls_key", "tls_cert"] : ["tls_cert", "tls_key"];
    problems.add(section.found.get(given)?.place ?? section.place, `stands without ${missing}`);
  }
  const { problems: wrong, warnings } = checkTls({ cert, key, ca }, Date.now());
  const placeOf = (about: keyof TlsMaterial) => section.found.get(`tls_${about}`)?.place ?? section.place;
  for (const { about, message } of wrong) problems.add(placeOf(about), message);
  for (const { about, message } of warnings) problems.warn(placeOf(about), message);
  return wrong.length > 0 ? null : { cert, key, ca, serverName, files };
}
