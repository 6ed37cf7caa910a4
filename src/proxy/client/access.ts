/**
 * Who may connect to one address, and what for: users with their passwords and rights. Passwords are kept as hashes, and
 * compared in a time that does not depend on them.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { AccessConfig, ListenerConfig, UserConfig } from "../../config/access-config.ts";
import { addressText, type ListenAddress } from "../../config/config.ts";
import { equalBytes } from "../wire/ascii.ts";

/** What a client may do. */
export interface Rights {
  /** A key of the client begins with one of them; none: the client has all keys. */
  readonly prefixes: readonly Buffer[];
  readonly isReadonly: boolean;
}

/** Someone who may log in. */
export interface User {
  readonly name: string;
  /** Of each password that is accepted. */
  readonly digests: readonly Buffer[];
  /** `null` if the user may do everything. */
  readonly rights: Rights | null;
}

/** A login that was accepted. */
export interface Login {
  readonly name: string;
  /** Of the password that was given; `null` if it was a certificate. */
  readonly digest: Buffer | null;
}

/** Compared with where there is no user of a name, so that names cannot be told from the time that an answer takes. */
const NO_DIGEST = Buffer.alloc(32);

/** The users and options of one address; made anew by each reload. */
export class Access {
  /** As it is configured, for the log. */
  readonly address: string;
  readonly needsLogin: boolean;
  readonly hasCertificates: boolean;
  /** Of a client without a login, where none is needed. */
  readonly anonymous: Rights | null;
  private readonly users: ReadonlyMap<string, User>;

  private constructor(
    address: string,
    users: readonly User[],
    options: { needsLogin: boolean; hasCertificates: boolean; isReadonly: boolean },
  ) {
    this.address = address;
    this.users = new Map(users.map((user) => [user.name, user]));
    this.needsLogin = options.needsLogin;
    this.hasCertificates = options.hasCertificates;
    this.anonymous = options.isReadonly ? { prefixes: [], isReadonly: true } : null;
  }

  /** Of `address`, as it is configured; `null` if every client may do everything there. */
  static of(config: AccessConfig, address: ListenAddress): Access | null {
    const listener = listenerOf(config, address);
    const { needsLogin = true, hasCertificates = false, isReadonly = false, users: allowed = null } = listener ?? {};
    if (config.users.length === 0 && !isReadonly) return null;
    const users = config.users.filter(({ name }) => allowed === null || allowed.includes(name));
    return new Access(
      addressText(address),
      users.map((user) => userOf(user, isReadonly)),
      { needsLogin: needsLogin && config.users.length > 0, hasCertificates, isReadonly },
    );
  }

  /** The login by a password; `null` if it is refused. */
  login(name: string, password: Uint8Array): Login | null {
    const digest = digestOf(password);
    const digests = this.users.get(name)?.digests ?? [NO_DIGEST];
    let isRight = false;
    for (const each of digests) if (timingSafeEqual(each, digest)) isRight = true;
    return isRight ? { name, digest } : null;
  }

  /** The login by a certificate with this common name; `null` if it is refused. */
  loginByCertificate(name: string | null): Login | null {
    return this.hasCertificates && name !== null && this.users.has(name) ? { name, digest: null } : null;
  }

  /** True if `login`, which was accepted before, would be accepted now. */
  accepts({ name, digest }: Login): boolean {
    const user = this.users.get(name);
    if (user === undefined) return false;
    if (digest === null) return this.hasCertificates;
    return user.digests.some((each) => timingSafeEqual(each, digest));
  }

  /** `null` if the client may do everything. */
  rightsOf(login: Login): Rights | null {
    return this.users.get(login.name)!.rights;
  }

  /** True if there is a user of this name: another one may be a password that was given in its place. */
  knows(name: string): boolean {
    return this.users.has(name);
  }
}

/** The options of an address; `undefined` if it has none of its own. */
export function listenerOf({ listeners }: AccessConfig, address: ListenAddress): ListenerConfig | undefined {
  const text = addressText(address);
  return listeners.find(({ addresses }) => addresses.some((each) => addressText(each) === text));
}

function userOf({ name, passwords, prefixes, isReadonly: isOwn }: UserConfig, isReadonlyHere: boolean): User {
  const isReadonly = isOwn || isReadonlyHere;
  const isFree = prefixes.length === 0 && !isReadonly;
  return {
    name,
    digests: passwords.map((password) => digestOf(Buffer.from(password, "utf8"))),
    rights: isFree ? null : { prefixes: prefixes.map((prefix) => Buffer.from(prefix, "utf8")), isReadonly },
  };
}

function digestOf(password: Uint8Array): Buffer {
  return createHash("sha256").update(password).digest();
}

/** True if the key `chunk[start, end)` is one of the client's. */
export function hasKey({ prefixes }: Rights, chunk: Buffer, start: number, end: number): boolean {
  if (prefixes.length === 0) return true;
  for (const prefix of prefixes) {
    if (end - start >= prefix.length && equalBytes(prefix, 0, prefix.length, chunk, start)) return true;
  }
  return false;
}
