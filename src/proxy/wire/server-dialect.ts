/**
 * The known properties of the server of one connection, and the ways to prove that a reply belongs to a request.
 *
 *     speaks meta, 1.6.18 or later   by an opaque in the reply; for a command without one, by the marker `mn` after it
 *     speaks meta, 1.6.10–1.6.17     by the marker `mn`: these versions omit the opaque in some replies
 *     all others                     by the marker `version`
 *
 * Source: memcached proto_text.c of 1.6.9, 1.6.10 and 1.6.18 (`ms` without a length; misses without the opaque).
 */

/** Maximum number of digits in an opaque. */
const MAX_OPAQUE = 999_999_999;
/** Patch levels of memcached 1.6. */
const FIRST_WITH_LENGTH = 10;
const FIRST_WITH_OPAQUE = 18;

/** The command that follows a request as its marker. The request is answered after the marker's reply. */
export const Marker = {
  none: 0,
  /** `mn`, answered by `MN`. */
  metaNoop: 1,
  /** `version`, answered by a line that begins with `VERSION`. */
  version: 2,
} as const;
export type Marker = (typeof Marker)[keyof typeof Marker];

/** The dialect of the server on the current socket. */
export class ServerDialect {
  /** True if the server has answered `mn` on this socket, and supports `ms` in the form that Platypus writes. */
  speaksMeta = false;
  /** True if the server returns the opaque in each meta reply except errors. */
  hasOpaques = false;
  /** For requests whose replies could be confused. */
  marker: Marker = Marker.none;
  private lastOpaque = 0;

  /** Resets the state for a new socket. */
  reset(): void {
    this.speaksMeta = false;
    this.hasOpaques = false;
    this.marker = Marker.none;
  }

  /** `version` is the server's reply to that command, such as `1.6.18`. `null` if there is no version. */
  learn(version: string | null, knowsMetaNoop: boolean): void {
    const patch = Number(/^1\.6\.(\d+)/.exec(version ?? "")?.[1] ?? Number.POSITIVE_INFINITY);
    this.speaksMeta = knowsMetaNoop && patch >= FIRST_WITH_LENGTH;
    this.hasOpaques = this.speaksMeta && patch >= FIRST_WITH_OPAQUE;
    if (knowsMetaNoop) this.marker = Marker.metaNoop;
    else this.marker = version === null ? Marker.none : Marker.version;
  }

  /** A number that no other request in flight on this connection has. Never 0. */
  nextOpaque(): number {
    this.lastOpaque = this.lastOpaque >= MAX_OPAQUE ? 1 : this.lastOpaque + 1;
    return this.lastOpaque;
  }
}
