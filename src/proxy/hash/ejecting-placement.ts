/**
 * twemproxy's `auto_eject_hosts`: the keys of servers that are down go to the others, placed as if those were all there
 * are. While all are down keys stay where they were.
 */
import type { PoolServer } from "../../config/config.ts";
import type { Placement } from "./placement.ts";

export class EjectingPlacement implements Placement {
  private readonly servers: readonly PoolServer[];
  private readonly isUp: (index: number) => boolean;
  private readonly place: (servers: readonly PoolServer[]) => Placement;
  /** Servers that keys are placed over now, and the placement over them. */
  private readonly isIn: boolean[];
  private live: readonly number[] = [];
  private placement: Placement;

  /** `place` makes a placement over some of the servers; `isUp` tells of a server by its index in all. */
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
