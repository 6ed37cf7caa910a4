/**
 * What one connection knows about its server, and how the server can prove that an answer belongs to a request.
 *
 *     speaks meta, 1.6.18 or later   by an opaque in the answer; where a command has none, by the marker `mn` behind it
 *     speaks meta, 1.6.10–1.6.17     by the marker `mn`: these leave the opaque out of some answers
 *     everything else                by the marker `version`
 *
 * Source: memcached proto_text.c of 1.6.9, 1.6.10 and 1.6.18 (`ms` without a length; misses without the opaque).
 */

/** Opaques have at most this many digits. */
const MAX_OPAQUE = 999_999_999;
/** Patch levels of memcached 1.6. */
const FIRST_WITH_LENGTH = 10;
const FIRST_WITH_OPAQUE = 18;

/** Which command follows a request as its marker. The request is answered once the marker's answer has come, too. */
export const Marker = {
  none: 0,
  /** `mn`, answered by `MN`. */
  metaNoop: 1,
  /** `version`, answered by a line that begins with `VERSION`. */
  version: 2,
} as const;
export type Marker = (typeof Marker)[keyof typeof Marker];

/** The dialect of the server behind the socket that is open now. */
export class ServerDialect {
  /** The server has answered `mn` on this socket, and its `ms` is the one that is written here. */
  speaksMeta = false;
  /** The server returns the opaque in every answer to a meta command but an error. */
  hasOpaques = false;
  /** For requests whose answers could be taken for one another's. */
  marker: Marker = Marker.none;
  private lastOpaque = 0;

  /** A new socket: nothing is known. */
  reset(): void {
    this.speaksMeta = false;
    this.hasOpaques = false;
    this.marker = Marker.none;
  }

  /** `version` is what the server answered to that command, such as `1.6.18`; null: no version. */
  learn(version: string | null, knowsMetaNoop: boolean): void {
    const patch = Number(/^1\.6\.(\d+)/.exec(version ?? "")?.[1] ?? Number.POSITIVE_INFINITY);
    this.speaksMeta = knowsMetaNoop && patch >= FIRST_WITH_LENGTH;
    this.hasOpaques = this.speaksMeta && patch >= FIRST_WITH_OPAQUE;
    if (knowsMetaNoop) this.marker = Marker.metaNoop;
    else this.marker = version === null ? Marker.none : Marker.version;
  }

  /** A number that no other request in flight on this connection has; never 0. */
  nextOpaque(): number {
    this.lastOpaque = this.lastOpaque >= MAX_OPAQUE ? 1 : this.lastOpaque + 1;
    return this.lastOpaque;
  }
}
