/**
 * Who may connect, and what for: `[user.NAME]` and `[listen.NAME]` after reading.
 */
import type { ListenAddress } from "./config.ts";
import type { Complete } from "./setting.ts";
import type { listenSettings, userSettings } from "./settings.ts";

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
export interface UserConfig extends Omit<Complete<typeof userSettings>, "password" | "previousPassword"> {
  readonly name: string;
  /** Each of them is accepted; never logged or shown. None: the user can only log in with a certificate. */
  readonly passwords: readonly string[];
}

/** `[listen.NAME]` */
export interface ListenerConfig extends Omit<Complete<typeof listenSettings>, "addresses" | "tlsCa"> {
  readonly name: string;
  readonly addresses: readonly ListenAddress[];
  /** Authorities of these certificates (PEM); `null` if those of `[server]` are taken. */
  readonly ca: string | null;
}
