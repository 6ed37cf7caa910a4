/**
 * An entrance to a backend for a pool that a reload moves to it from another backend of the server. Requests on this
 * entrance wait until those on the other backend have been answered. Requests of other pools, and of the routes before the
 * reload, go to the backend immediately. Therefore two backends never wait for each other.
 */
import type { Request } from "../request.ts";
import { AllCompleted } from "./all-completed.ts";
import type { Backend } from "./backend.ts";

interface HeldRequest {
  readonly request: Request;
  readonly slot: number;
}

export class HeldEntrance {
  readonly backend: Backend;
  private holds = 0;
  private readonly held: HeldRequest[] = [];
  private readonly afterOpening: (() => void)[] = [];

  /** The last `letGo` calls `opened`. */
  constructor(backend: Backend, opened: () => void) {
    this.backend = backend;
    this.afterOpening.push(opened);
  }

  get name(): string {
    return this.backend.name;
  }

  get connectionCount(): number {
    return this.backend.connectionCount;
  }

  get speaksMeta(): boolean {
    return this.backend.speaksMeta;
  }

  mayShare(slot: number): boolean {
    return this.backend.mayShare(slot);
  }

  send(request: Request, slot: number): void {
    if (this.holds === 0 && this.held.length === 0) {
      this.backend.send(request, slot);
      return;
    }
    request.retain();
    this.held.push({ request, slot });
  }

  /** Calls `done` once, synchronously or later: when no requests are held back here any more. */
  whenOpen(done: () => void): void {
    if (this.holds === 0) done();
    else this.afterOpening.push(done);
  }

  get isHolding(): boolean {
    return this.holds > 0;
  }

  /** Holds requests back until `letGo` is called as often as this. */
  holdBack(): void {
    if (this.holds++ === 0) this.backend.entrancesHeld++;
  }

  /** After the last matching call, sends the requests that waited. */
  letGo(): void {
    if (--this.holds > 0) return;
    const completed = new AllCompleted();
    // A request with a synchronous reply may trigger others: they wait after the rest.
    for (let i = 0; i < this.held.length; i++) {
      const { request, slot } = this.held[i]!;
      completed.run(() => this.backend.send(request, slot));
    }
    this.held.length = 0;
    for (const step of this.afterOpening.splice(0)) completed.run(step);
    this.backend.entranceOpened();
    completed.end();
  }
}
