/** Access control: `[user.NAME]` and `[listen.NAME]` after reading. */
import type { ListenAddress } from "./config.ts";
import type { Complete } from "./setting.ts";
import type { listenSettings, userSettings } from "./settings.ts";

/** Users and listener options. */
export interface AccessConfig {
  /** Empty if clients need no login. */
  readonly users: readonly UserConfig[];
  /** Addresses with options. Other addresses accept all users. */
  readonly listeners: readonly ListenerConfig[];
}

/** Access without configured users and listener options. */
export const openAccess: AccessConfig = { users: [], listeners: [] };

/** `[user.NAME]` */
export interface UserConfig extends Omit<Complete<typeof userSettings>, "password" | "previousPassword"> {
  readonly name: string;
  /**
   * Each password is accepted. Passwords are never logged or shown. Empty if the user can only log in with a
   * certificate.
   */
  readonly passwords: readonly string[];
}

/** `[listen.NAME]` */
export interface ListenerConfig extends Omit<Complete<typeof listenSettings>, "addresses" | "tlsCa"> {
  readonly name: string;
  readonly addresses: readonly ListenAddress[];
  /** Certificate authorities (PEM). `null` if the listener uses those of `[server]`. */
  readonly ca: string | null;
}
