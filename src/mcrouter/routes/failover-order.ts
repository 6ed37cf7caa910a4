/**
 * The order in which a failover route asks its children. The first child is always asked first; a policy orders the
 * others:
 *
 * - in order: as they stand in the configuration
 * - least failures: by the number of failures since the last success
 * - deterministic order: by hashes of the key with 2, 3, 4, … appended, so that the keys of a dead server spread
 * - rendezvous: by the scores of rendezvous hashing
 *
 * The last two skip the server that the first child has already asked: its index among the servers of a pool is also its
 * place among the children after the first.
 *
 * Source: mcrouter FailoverPolicy.h, RendezvousHashHelper.h, as facts.
 */
import type { IndexPlacementConfig } from "../../config/config.ts";
import { buildIndexPlacement } from "../../proxy/hash/build.ts";
import type { Placement } from "../../proxy/hash/placement.ts";
import { RendezvousPlacement, WeightedRendezvousPlacement } from "../../proxy/hash/rendezvous.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import type { Reply } from "../../proxy/reply.ts";
import type { Request } from "../../proxy/request.ts";
import { PoolRoute } from "../../proxy/route/pool-route.ts";
import { isError, resultOf } from "../../proxy/route/result.ts";
import type { Route } from "../../proxy/route/route.ts";
import type { DeterministicPolicy, FailoverPolicy } from "./failover-options.ts";
import { HashRoute } from "./hash-route.ts";

/** The children after the first, one by one. */
export interface FailoverWalk {
  /** Number of children after the first. */
  readonly count: number;
  /** Index of the next child. To be called at most `count` times. */
  next(): number;
  /** Number of hashes that named a child that had been asked before. */
  readonly collisions: number;
  /** Number of hashes that named a child in a failure domain that had failed before. */
  readonly domainCollisions: number;
  /** A server in this failure domain cannot be reached. */
  domainFailed(domain: number): void;
}

export interface FailoverOrder {
  walk(request: Request): FailoverWalk;
  /** Records the reply of child `index`. */
  note(index: number, request: Request, reply: Reply): void;
}

export function failoverOrder(policy: FailoverPolicy, children: readonly Route[]): FailoverOrder {
  switch (policy.type) {
    case "in-order":
      return new InOrder(children.length);
    case "least-failures":
      return new LeastFailures(children.length);
    case "deterministic-order":
      return new DeterministicOrder(children, policy);
    case "rendezvous":
      return new RendezvousOrder(children, policy.tags, policy.weights);
  }
}

/** A list as a walk. */
class ListWalk implements FailoverWalk {
  readonly collisions = 0;
  readonly domainCollisions = 0;
  private readonly indexes: readonly number[];
  private at = 0;

  constructor(indexes: readonly number[]) {
    this.indexes = indexes;
  }

  get count(): number {
    return this.indexes.length;
  }

  next(): number {
    return this.indexes[this.at++]!;
  }

  domainFailed(): void {}
}

/** Indexes of all children except the first. */
function others(count: number): number[] {
  return Array.from({ length: count - 1 }, (_, i) => i + 1);
}

class InOrder implements FailoverOrder {
  private readonly indexes: readonly number[];

  constructor(count: number) {
    this.indexes = others(count);
  }

  walk(): FailoverWalk {
    return new ListWalk(this.indexes);
  }

  note(): void {}
}

class LeastFailures implements FailoverOrder {
  /** By child: failures since the last success. */
  private readonly failures: number[];

  constructor(count: number) {
    this.failures = new Array(count).fill(0);
  }

  walk(): FailoverWalk {
    const { failures } = this;
    return new ListWalk(others(failures.length).sort((a, b) => failures[a]! - failures[b]!));
  }

  note(index: number, request: Request, reply: Reply): void {
    this.failures[index] = isError(resultOf(request, reply)) ? this.failures[index]! + 1 : 0;
  }
}

/** After this many hashes that named children asked before, the child of the last hash is asked again. */
const MAX_COLLISIONS = 100;
/** After this many hashes, failure domains do not count: perhaps all of them have failed. */
const MAX_DOMAIN_COLLISIONS = 75;
const FIRST_SALT = 2;

class DeterministicOrder implements FailoverOrder {
  readonly children: readonly Route[];
  readonly skipsAsked: boolean;
  readonly avoidsFailedDomains: boolean;
  private readonly config: IndexPlacementConfig;
  /** By child: its failure domain, once it is known. */
  private readonly domains: number[] = [];
  /** By salt, from `FIRST_SALT` on; made when they are first needed. */
  private readonly placements: Placement[] = [];

  /** The policy places keys over all children, including the first. */
  constructor(children: readonly Route[], { placement, skipsAsked, avoidsFailedDomains }: DeterministicPolicy) {
    this.children = children;
    this.config = placement;
    this.skipsAsked = skipsAsked;
    this.avoidsFailedDomains = avoidsFailedDomains;
  }

  walk(request: Request): FailoverWalk {
    return new DeterministicWalk(this, request);
  }

  note(): void {}

  /** Failure domain of a child, which it keeps once it has one. */
  domainOf(index: number, request: Request): number {
    const known = this.domains[index] ?? 0;
    if (known > 0) return known;
    const domain = failureDomainOf(this.children[index]!, request) ?? 0;
    this.domains[index] = domain;
    return domain;
  }

  /** Index of the child for a key with the `turn`-th salt. */
  locate({ chunk, keyStart, keyEnd }: Request, turn: number): number {
    this.placements[turn] ??= buildIndexPlacement(
      { ...this.config, salt: String(FIRST_SALT + turn) },
      this.children.length,
    );
    return this.placements[turn].locate(chunk, keyStart, keyEnd);
  }
}

class DeterministicWalk implements FailoverWalk {
  collisions = 0;
  domainCollisions = 0;
  private readonly failedDomains = new Set<number>();
  private readonly order: DeterministicOrder;
  private readonly request: Request;
  private readonly asked: Set<number>;
  private turn = 0;

  constructor(order: DeterministicOrder, request: Request) {
    this.order = order;
    this.request = request;
    this.asked = new Set([0]);
    if (order.skipsAsked) this.asked.add(selectedIndex(order.children[0]!, request) + 1);
  }

  get count(): number {
    return this.order.children.length - 1;
  }

  next(): number {
    let index = this.order.locate(this.request, this.turn++);
    for (let tries = 0; tries < MAX_COLLISIONS; tries++) {
      if (tries <= MAX_DOMAIN_COLLISIONS && this.isInFailedDomain(index)) this.domainCollisions++;
      else if (this.asked.has(index)) this.collisions++;
      else break;
      index = this.order.locate(this.request, this.turn++);
    }
    this.asked.add(index);
    return index;
  }

  domainFailed(domain: number): void {
    if (this.order.avoidsFailedDomains && domain > 0) this.failedDomains.add(domain);
  }

  private isInFailedDomain(index: number): boolean {
    const { order, request, failedDomains } = this;
    return order.avoidsFailedDomains && failedDomains.has(order.domainOf(index, request));
  }
}

class RendezvousOrder implements FailoverOrder {
  private readonly first: Route;
  private readonly placement: RendezvousPlacement | WeightedRendezvousPlacement;

  /** `tags` and `weights` have an entry for each child after the first. */
  constructor(children: readonly Route[], tags: readonly string[], weights: readonly number[] | null) {
    this.first = children[0]!;
    const bytes = tags.map((tag) => Buffer.from(tag));
    this.placement =
      weights === null ? new RendezvousPlacement(bytes) : new WeightedRendezvousPlacement(bytes, weights);
  }

  walk(request: Request): FailoverWalk {
    const { chunk, keyStart, keyEnd } = request;
    const asked = Math.max(0, selectedIndex(this.first, request));
    const ranked = this.placement.ranked(chunk, keyStart, routingKeyEnd(chunk, keyStart, keyEnd));
    return new ListWalk(ranked.filter((index) => index !== asked).map((index) => index + 1));
  }

  note(): void {}
}

/** Failure domain of the server that a route sends a request to first. `null` if it sends it to no server. */
export function failureDomainOf(route: Route, request: Request): number | null {
  if (route.failureDomain !== undefined) return route.failureDomain(request);
  let domain: number | null = null;
  route.forEachTarget(request, (target, changed) => {
    domain ??= failureDomainOf(target, changed);
  });
  return domain;
}

/** Index that the innermost hash of a route selects for a key. -1 if there is no hash on the way. */
function selectedIndex(route: Route, request: Request): number {
  const isHash = route instanceof HashRoute || (route instanceof PoolRoute && route.backends.length > 1);
  let inner: number | null = null;
  route.forEachTarget(request, (target, changed) => {
    inner ??= selectedIndex(target, changed);
  });
  if (inner !== null && inner >= 0) return inner;
  return isHash ? route.indexOf(request) : -1;
}
