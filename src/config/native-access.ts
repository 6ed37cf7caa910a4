/**
 * `[user.NAME]` and `[listen.NAME]` of a native configuration, and the addresses that listeners add to those of
 * `[server]`.
 */
import { resolve } from "node:path";
import type { AccessConfig, ListenerConfig, UserConfig } from "./access-config.ts";
import { addressText, type ListenAddress } from "./config.ts";
import type { FilesRead } from "./files-read.ts";
import { identityOf, isFreePort, readAddresses } from "./native-pool.ts";
import { suggestion } from "./nearest-name.ts";
import { readFailure } from "./read-failure.ts";
import { type Problems, readSection, type Section } from "./section.ts";
import { listenSettings, userSettings } from "./settings.ts";
import { checkTls } from "./tls-material.ts";

/** Maximum length of a password. A text login has room for 16 KiB, including the name and a space. */
const MAX_PASSWORD_BYTES = 1024;

/** The folder of relative paths, and the reader of files. */
interface AccessContext {
  readonly folder: string;
  readonly reads: FilesRead;
}

/** `[listen.NAME]` after reading, with the file of its certificate authorities. */
interface ReadListener {
  readonly section: Section;
  readonly listener: ListenerConfig;
  readonly files: readonly string[];
}

/** Reads `[user.NAME]`. The references in `section` are resolved. */
export function readUser(name: string, section: Section, problems: Problems): UserConfig {
  const values = readSection(section, userSettings, problems);
  const { password, previousPassword, ...rights } = values;
  for (const [key, value] of [
    ["password", password],
    ["previous_password", previousPassword],
  ] as const) {
    const place = section.found.get(key)?.place ?? section.place;
    if (value === "") problems.add(place, "expected a password, got an empty one");
    if (value !== null && Buffer.byteLength(value) > MAX_PASSWORD_BYTES) {
      problems.add(place, `expected a password of at most ${MAX_PASSWORD_BYTES} bytes`);
    }
    if (value?.includes("\0")) problems.add(place, "expected a password without a NUL byte");
  }
  if (password === null && previousPassword !== null) {
    problems.add(section.found.get("previous_password")!.place, "stands without password");
  }
  if (values.prefixes.includes("")) {
    problems.add(section.found.get("prefix")!.place, "expected prefixes of keys; without prefix the user has all keys");
  }
  return { ...rights, name, passwords: [password, previousPassword].filter((word) => word !== null) };
}

/** Reads `[listen.NAME]`. */
export function readListener(
  name: string,
  section: Section,
  { folder, reads }: AccessContext,
  problems: Problems,
): ReadListener {
  const { tlsCa, ...values } = readSection(section, listenSettings, problems);
  const addresses = readAddresses(section, "address", values.addresses ?? [], folder, problems);
  const files: string[] = [];
  let ca: string | null = null;
  if (tlsCa !== null) {
    const place = section.found.get("tls_ca")?.place ?? section.place;
    const path = resolve(folder, tlsCa);
    files.push(path);
    try {
      ca = reads.textSync(path);
    } catch (error) {
      problems.add(place, `${path}: ${readFailure(error)}`);
    }
    const { problems: wrong, warnings } = checkTls({ cert: null, key: null, ca }, Date.now());
    for (const { message } of wrong) problems.add(place, message);
    for (const { message } of warnings) problems.warn(place, message);
    if (!values.hasCertificates) problems.add(place, "has no use without client_certificates = true");
  }
  const isTls = addresses.length > 0 && addresses.every((address) => address.type === "tcp" && address.isTls);
  if (values.hasCertificates && !isTls) {
    const place = section.found.get("client_certificates")?.place ?? section.place;
    problems.add(place, 'needs addresses such as "tls:0.0.0.0:11212"');
  }
  return {
    section,
    files,
    listener: {
      ...values,
      name,
      addresses,
      ca,
    },
  };
}

/**
 * The addresses of `[server]` and of the listeners. If only listeners have addresses, the default address is not used.
 * `given` is the value of `[server] listen`.
 */
export function joinAddresses(
  given: readonly ListenAddress[],
  isGiven: boolean,
  listeners: readonly ReadListener[],
): readonly ListenAddress[] {
  const all = isGiven || listeners.length === 0 ? [...given] : [];
  for (const { listener } of listeners) {
    for (const address of listener.addresses) {
      if (!all.some((other) => addressText(other) === addressText(address))) all.push(address);
    }
  }
  return all;
}

/** Checks rules that involve several sections. `sections` holds the sections of the users by name. */
export function checkAccess(
  users: readonly UserConfig[],
  sections: ReadonlyMap<string, Section>,
  listeners: readonly ReadListener[],
  serverCa: string | null,
  problems: Problems,
): AccessConfig {
  const names = users.map(({ name }) => name);
  const taken: { readonly address: ListenAddress; readonly name: string }[] = [];
  for (const { section, listener } of listeners) {
    const placeOf = (key: string) => section.found.get(key)?.place ?? section.place;
    for (const user of listener.users ?? []) {
      if (!names.includes(user)) {
        problems.add(placeOf("users"), `there is no [user.${user}]${suggestion(user, names)}`);
      }
    }
    if (listener.hasCertificates && listener.ca === null && serverCa === null) {
      problems.add(placeOf("client_certificates"), "needs tls_ca here or in [server]");
    }
    if (listener.hasCertificates && users.length === 0) {
      problems.add(placeOf("client_certificates"), "needs a [user.NAME] for each common name of a certificate");
    }
    for (const address of listener.addresses) {
      const other = taken.find((each) => !isFreePort(address) && identityOf(each.address) === identityOf(address));
      if (other !== undefined) {
        problems.add(placeOf("address"), `${addressText(address)} is an address of [listen.${other.name}] as well`);
      }
      taken.push({ address, name: listener.name });
    }
  }
  const hasCertificates = listeners.some(({ listener }) => listener.hasCertificates);
  for (const [name, section] of sections) {
    const isShut = !hasCertificates && users.some((user) => user.name === name && user.passwords.length === 0);
    if (isShut)
      problems.warn(section.place, "cannot log in: it has no password, and no address has client_certificates");
  }
  return { users, listeners: listeners.map(({ listener }) => listener) };
}
