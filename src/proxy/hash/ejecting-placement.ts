/**
 * twemproxy's `auto_eject_hosts`: the keys of dead servers go to the others, with the placement of a pool without the
 * dead servers. If all servers are down, the keys keep their servers.
 */
import type { PoolServer } from "../../config/config.ts";
import type { Placement } from "./placement.ts";

export class EjectingPlacement implements Placement {
  private readonly servers: readonly PoolServer[];
  private readonly isUp: (index: number) => boolean;
  private readonly place: (servers: readonly PoolServer[]) => Placement;
  /** Servers in the current placement, and the placement itself. */
  private readonly isIn: boolean[];
  private live: readonly number[] = [];
  private placement: Placement;

  /**
   * `place` creates a placement over some of the servers; `isUp` gives the state of a server by its index in the pool.
   */
  constructor(
    servers: readonly PoolServer[],
    isUp: (index: number) => boolean,
    place: (servers: readonly PoolServer[]) => Placement,
  ) {
    this.servers = servers;
    this.isUp = isUp;
    this.place = place;
    this.isIn = servers.map(() => true);
    this.live = servers.map((_, i) => i);
    this.placement = place(servers);
  }

  get keyHash(): number {
    return this.placement.keyHash;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    for (let i = 0; i < this.isIn.length; i++) {
      if (this.isIn[i] === this.isUp(i)) continue;
      this.follow();
      break;
    }
    return this.live[this.placement.locate(chunk, start, end)]!;
  }

  private follow(): void {
    const live = this.servers.flatMap((_, i) => (this.isUp(i) ? [i] : []));
    if (live.length === 0) return;
    for (let i = 0; i < this.isIn.length; i++) this.isIn[i] = live.includes(i);
    this.live = live;
    this.placement = this.place(live.map((i) => this.servers[i]!));
  }
}
