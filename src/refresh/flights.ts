/**
 * The flights of a process. At most one flight per key accepts new clients (single flight, as in Go's
 * golang.org/x/sync/singleflight). Other flights of the key may still be in progress: closed because a client's write
 * has overtaken them, or because they have fetched.
 *
 *     open ─► accepts clients ─► closed ─► its value is in the pool, or known not to be ─► left
 *             └─────────────── a client's write to the key overtakes it ───────────────┘
 */
import type { Flight } from "./flight.ts";

export class Flights {
  /** Number of flights that have not ended. */
  running = 0;
  private readonly open = new Map<string, Flight>();
  /** Flights that a client's write overtakes. */
  private readonly underWay = new Map<string, Set<Flight>>();

  /** The flight of `key` that accepts clients. `undefined` if absent. */
  openOf(key: string): Flight | undefined {
    return this.open.get(key);
  }

  /** All flights of `key` that a write would overtake. */
  of(key: string): Iterable<Flight> {
    return this.underWay.get(key) ?? [];
  }

  /** Keys of all flights. */
  keys(): Iterable<string> {
    return this.underWay.keys();
  }

  /** Opens `flight`: clients can join it. */
  add(flight: Flight): void {
    const flights = this.underWay.get(flight.key) ?? new Set();
    this.underWay.set(flight.key, flights.add(flight));
    this.open.set(flight.key, flight);
    this.running++;
  }

  /** The flight accepts no more clients. */
  close(flight: Flight): void {
    if (this.open.get(flight.key) === flight) this.open.delete(flight.key);
  }

  /** All flights stop accepting clients. */
  closeAll(): void {
    this.open.clear();
  }

  /** A client writes `key`: the values of its flights are too old, and later clients need another flight. */
  overtake(key: string): void {
    for (const flight of this.of(key)) flight.isOvertaken = true;
    this.open.delete(key);
  }

  /** The flight has ended. While its value is unsettled, a client's write still overtakes it, until `leave`. */
  end(flight: Flight): void {
    this.running--;
    this.close(flight);
    if (!flight.isUnsettled) this.leave(flight);
  }

  leave(flight: Flight): void {
    const flights = this.underWay.get(flight.key);
    flights?.delete(flight);
    if (flights?.size === 0) this.underWay.delete(flight.key);
  }
}
