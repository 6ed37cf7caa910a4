/**
 * Who may connect, and what for: `[user.NAME]` and `[listen.NAME]` after reading.
 */
import type { ListenAddress } from "./config.ts";

/** Who may connect, and what for. */
export interface AccessConfig {
  /** None: clients need no login. */
  readonly users: readonly UserConfig[];
  /** Addresses with options of their own; others take all users. */
  readonly listeners: readonly ListenerConfig[];
}

/** Access where no users and no listener options are configured. */
export const openAccess: AccessConfig = { users: [], listeners: [] };

/** `[user.NAME]` */
export interface UserConfig {
  readonly name: string;
  /** Each of them is accepted; never logged or shown. None: the user can only log in with a certificate. */
  readonly passwords: readonly string[];
  /** A key of the user begins with one of them; none: the user has all keys. */
  readonly prefixes: readonly string[];
  readonly isReadonly: boolean;
}

/** `[listen.NAME]` */
export interface ListenerConfig {
  readonly name: string;
  readonly addresses: readonly ListenAddress[];
  /** Who may log in here; `null` if all users may. */
  readonly users: readonly string[] | null;
  /** Clients must log in if there are users. */
  readonly needsLogin: boolean;
  /** The common name of a client's certificate is its user. */
  readonly hasCertificates: boolean;
  /** Authorities of these certificates (PEM); `null` if those of `[server]` are taken. */
  readonly ca: string | null;
  readonly isReadonly: boolean;
}
