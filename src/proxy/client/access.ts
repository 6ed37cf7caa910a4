/**
 * Access to one address: users with their passwords and rights. Passwords are kept as hashes, and compared in constant
 * time.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { AccessConfig, ListenerConfig, UserConfig } from "../../config/access-config.ts";
import { addressText, type ListenAddress } from "../../config/config.ts";
import { equalBytes } from "../wire/ascii.ts";

/** The rights of a client. */
export interface Rights {
  /** Each of the client's keys must begin with one of them. Empty if the client may use all keys. */
  readonly prefixes: readonly Buffer[];
  readonly isReadonly: boolean;
}

/** A user who may log in. */
export interface User {
  readonly name: string;
  /** Digests of the accepted passwords. */
  readonly digests: readonly Buffer[];
  /** `null` if the user has all rights. */
  readonly rights: Rights | null;
}

/** An accepted login. */
export interface Login {
  readonly name: string;
  /** Digest of the given password. `null` for a login by certificate. */
  readonly digest: Buffer | null;
}

/** Used for comparison if the user does not exist, so that the response time does not reveal user names. */
const NO_DIGEST = Buffer.alloc(32);

/** The users and options of one address. Each reload creates a new one. */
export class Access {
  /** The configured address, for the log. */
  readonly address: string;
  readonly needsLogin: boolean;
  readonly hasCertificates: boolean;
  /** The rights of a client without a login, if none is required. */
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

  /** The access of the configured `address`. `null` if each client has all rights there. */
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

  /** Login by password. `null` if it is refused. */
  login(name: string, password: Uint8Array): Login | null {
    const digest = digestOf(password);
    const digests = this.users.get(name)?.digests ?? [NO_DIGEST];
    let isRight = false;
    for (const each of digests) if (timingSafeEqual(each, digest)) isRight = true;
    return isRight ? { name, digest } : null;
  }

  /** Login by a certificate with this common name. `null` if it is refused. */
  loginByCertificate(name: string | null): Login | null {
    return this.hasCertificates && name !== null && this.users.has(name) ? { name, digest: null } : null;
  }

  /** True if `login`, accepted before, would be accepted now. */
  accepts({ name, digest }: Login): boolean {
    const user = this.users.get(name);
    if (user === undefined) return false;
    if (digest === null) return this.hasCertificates;
    return user.digests.some((each) => timingSafeEqual(each, digest));
  }

  /** `null` if the client has all rights. */
  rightsOf(login: Login): Rights | null {
    return this.users.get(login.name)!.rights;
  }

  /** True if a user with this name exists. An unknown name is not logged, because it may be a mistyped password. */
  knows(name: string): boolean {
    return this.users.has(name);
  }
}

/** The options of an address. `undefined` if it has none. */
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

/** True if the client may use the key `chunk[start, end)`. */
export function hasKey({ prefixes }: Rights, chunk: Buffer, start: number, end: number): boolean {
  if (prefixes.length === 0) return true;
  for (const prefix of prefixes) {
    if (end - start >= prefix.length && equalBytes(prefix, 0, prefix.length, chunk, start)) return true;
  }
  return false;
}
