/**
 * The top of the tree of a mcrouter configuration. It selects routes by the routing prefix of a key.
 *
 *     key                 the default route
 *     /region/cluster/key the route of that name; the key loses its prefix
 *     /region/* /key      all matching routes, the default route first: it answers, the others are not waited for
 *
 * `get __mcrouter__.X` is answered here.
 *
 * Source: mcrouter RootRoute.h, RouteHandleMap.h, lib/carbon/Keys.h, ServiceInfo.h, as facts.
 */
import type { Clock } from "../../clock.ts";
import type { RootConfig } from "../../config/config.ts";
import { routingPrefixLength } from "../../proxy/key.ts";
import { inMcrouterWords } from "../../proxy/mcrouter-words.ts";
import { failures, fixedReply, isFailure, type Reply, Status, valueReply } from "../../proxy/reply.ts";
import { isRetrieval, type KeyList, noOwner, Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { defaultReply, errorReply } from "../../proxy/route/default-reply.ts";
import { routeKeys } from "../../proxy/route/multi-get.ts";
import { PoolRoute } from "../../proxy/route/pool-route.ts";
import { kindOf } from "../../proxy/route/result.ts";
import type { Root, Route, SeeTarget } from "../../proxy/route/route.ts";
import { replyTo } from "../../proxy/wire/command.ts";
import { plainPoolOf } from "../plain-pool.ts";
import { withKey } from "./derived-request.ts";
import { OutstandingLimitRoute } from "./outstanding-limit-route.ts";
import { PrefixSelectorRoute } from "./prefix-selector-route.ts";

const SLASH = 0x2f;
const ADMIN_PREFIX = Buffer.from("__mcrouter__.", "latin1");
const MAX_KNOWN_PREFIXES = 1000;

const noRoute = errorReply("local_error", "RootRoute: No rh found");
const missingKey = errorReply("local_error", "invalid key: missing");

/** Answers `get __mcrouter__.X`: the complete text for X, also for errors. */
export type AdminAnswers = (command: string) => string;

export class RootRoute implements Root, ReplyOwner {
  readonly name = "root";
  private readonly routes: ReadonlyMap<string, Route>;
  private readonly defaultPrefix: string;
  private readonly defaultRoute: Route;
  /** The pool that gets of many keys are sent to as one. `null` if each key is routed separately. */
  private readonly plainPool: PoolRoute | null;
  private readonly options: RootConfig;
  private readonly pools: readonly PoolRoute[];
  private readonly admin: AdminAnswers;
  /** Receives the keys of gets of many. */
  private readonly top: Pick<Route, "route" | "passKey">;
  /** `null` if the number of requests in flight is unlimited. */
  private readonly limiter: OutstandingLimitRoute | null;
  /** Routes of each prefix that was used. */
  private readonly known = new Map<string, readonly Route[]>();

  /** `routes` has the keys "/region/cluster/", including `defaultPrefix`; `pools` holds all pools, for `broadcast`. */
  constructor(
    routes: ReadonlyMap<string, Route>,
    defaultPrefix: string,
    pools: readonly PoolRoute[],
    options: RootConfig,
    admin: AdminAnswers,
    clock: Clock,
  ) {
    this.routes = routes;
    this.defaultPrefix = defaultPrefix;
    this.defaultRoute = routes.get(defaultPrefix)!;
    this.plainPool = plainPoolOf(this.defaultRoute);
    this.pools = pools;
    this.options = options;
    this.admin = admin;
    const { maxInflight, maxThrottled, waitTimeoutMs } = options;
    const maxWaiting = maxThrottled === 0 ? Number.MAX_SAFE_INTEGER : maxThrottled;
    const limits = { maxOutstanding: maxInflight, maxWaiting, waitTimeoutMs, refusal: errorReply("busy", "") };
    this.top = { route: (single) => this.routeOne(single), passKey: (key) => this.passKey(key) };
    const routing = { route: (request: Request) => this.routeAll(request), forEachTarget: () => {} };
    this.limiter = maxInflight === 0 ? null : new OutstandingLimitRoute(routing, limits, clock);
  }

  route(request: Request): void {
    if (this.limiter === null) this.routeAll(request);
    else this.limiter.route(request);
  }

  private routeAll(request: Request): void {
    const { keys } = request;
    if (keys === null) {
      this.routeOne(request);
    } else if (hasSpecialKey(keys)) {
      routeKeys(request, keys, this.top, true);
    } else if (this.plainPool !== null) {
      this.plainPool.route(request);
    } else {
      routeKeys(request, keys, this.defaultRoute, true);
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const length = routingPrefixLength(request.chunk, request.keyStart, request.keyEnd);
    if (length === 0) {
      see(this.defaultRoute, request);
      return;
    }
    const stripped = strip(request, length);
    for (const target of this.targetsFor(stripped)) see(target, stripped);
  }

  broadcast(request: Request): void {
    PoolRoute.broadcastToAll(request, this.pools);
  }

  onReply(request: Request, reply: Reply): void {
    if (!isFailure(reply.status) || reply.status === Status.clientError) {
      request.complete(reply);
      return;
    }
    const shown = this.options.groupsRemoteErrors ? failures.connectionLost : reply;
    if (kindOf(request) === "arithmetic" && !this.options.showsArithmeticErrors) {
      request.complete(replyTo(request, { status: Status.notFound }));
    } else if (isShownGet(request) && this.options.showsGetErrors) {
      // Clients see a CLIENT_ERROR; other failures of a get are shown as a miss.
      const { chunk, start, end } = inMcrouterWords(shown);
      const text = chunk.toString("latin1", start, end - 2);
      request.complete(fixedReply(Status.clientError, text));
    } else {
      request.complete(shown);
    }
  }

  /** The default route, for keys without a special meaning. Clients do not see errors of keys of a get of many. */
  passKey(request: Request): Route | null {
    const first = request.chunk[request.keyStart];
    if (first === SLASH || first === ADMIN_PREFIX[0]) return null;
    return this.options.allowsOnlyGets && kindOf(request) !== "get" ? null : this.defaultRoute;
  }

  private routeOne(request: Request): void {
    const first = request.chunk[request.keyStart];
    if (first === ADMIN_PREFIX[0] && isAdmin(request)) {
      request.complete(this.adminReply(request));
      return;
    }
    if (this.options.allowsOnlyGets && kindOf(request) !== "get") {
      request.complete(defaultReply(request));
      return;
    }
    if (this.changesErrors(request.operation)) {
      if (request.operation === Operation.metaArithmetic) request.retain();
      request.push(this);
    }
    if (first === SLASH) this.routePrefixed(request);
    else this.defaultRoute.route(request);
  }

  /** True if errors of the operation may be shown to the client in another form. */
  private changesErrors(operation: Operation): boolean {
    const { groupsRemoteErrors, showsGetErrors, showsArithmeticErrors } = this.options;
    if (groupsRemoteErrors) return true;
    if (isRetrieval(operation)) return showsGetErrors;
    const isArithmetic =
      operation === Operation.incr || operation === Operation.decr || operation === Operation.metaArithmetic;
    return isArithmetic && !showsArithmeticErrors;
  }

  private routePrefixed(request: Request): void {
    const length = routingPrefixLength(request.chunk, request.keyStart, request.keyEnd);
    if (length === 0) {
      this.defaultRoute.route(request);
      return;
    }
    if (length === request.keyEnd - request.keyStart) {
      request.complete(missingKey);
      return;
    }
    const stripped = strip(request, length);
    const [first, ...others] = this.targetsFor(stripped);
    if (first === undefined) {
      request.complete(noRoute);
      return;
    }
    for (const other of others) other.route(stripped.again(noOwner));
    first.route(stripped);
  }

  /** Destinations of a request without its prefix, each once. Empty if there is no such route. */
  private targetsFor(stripped: Request): readonly Route[] {
    const routes = this.routesOf(stripped.routingPrefix!.toString("latin1"));
    const targets = routes.some((route) => route instanceof PrefixSelectorRoute) ? chosen(routes, stripped) : routes;
    return targets.length === 0 && this.options.sendsInvalidToDefault ? [this.defaultRoute] : targets;
  }

  /** The routes of a prefix, each once. */
  private routesOf(prefix: string): readonly Route[] {
    const known = this.known.get(prefix);
    if (known !== undefined) return known;
    const targets = [...new Set(prefix.includes("*") ? this.fitting(prefix) : this.named(prefix))];
    if (this.known.size >= MAX_KNOWN_PREFIXES) this.known.clear();
    this.known.set(prefix, targets);
    return targets;
  }

  private named(prefix: string): Route[] {
    const region = prefix.slice(0, prefix.indexOf("/", 1) + 1);
    const route = this.routes.get(prefix) ?? this.routes.get(`${region}fallback/`);
    return route === undefined ? [] : [route];
  }

  /** The routes whose names match a pattern, the default route first. */
  private fitting(pattern: string): Route[] {
    const names = [this.defaultPrefix, ...[...this.routes.keys()].filter((name) => name !== this.defaultPrefix)];
    return names.filter((name) => fits(pattern, name)).map((name) => this.routes.get(name)!);
  }

  private adminReply(request: Request): Reply {
    const key = request.keyText();
    return valueReply(key, Buffer.from(this.admin(key.slice(ADMIN_PREFIX.length)), "utf8"), 0);
  }
}

/**
 * Replaces prefix selectors by the routes that they select for the request, each once. A selector without a match is
 * left out.
 */
function chosen(routes: readonly Route[], request: Request): readonly Route[] {
  const targets = routes.map((route) => (route instanceof PrefixSelectorRoute ? route.childOf(request) : route));
  return [...new Set(targets.filter((target) => target !== null))];
}

/** `request` without the first `length` bytes of its key. */
function strip(request: Request, length: number): Request {
  const { chunk, keyStart, keyEnd } = request;
  const prefix = Buffer.from(chunk.subarray(keyStart, keyStart + length));
  const stripped = withKey(request, Buffer.from(chunk.subarray(keyStart + length, keyEnd)));
  stripped.routingPrefix = prefix;
  return stripped;
}

function isAdmin({ operation, chunk, keyStart, keyEnd }: Request): boolean {
  const end = keyStart + ADMIN_PREFIX.length;
  return operation === Operation.get && end <= keyEnd && ADMIN_PREFIX.compare(chunk, keyStart, end) === 0;
}

function hasSpecialKey({ bytes, starts }: KeyList): boolean {
  return starts.some((start) => bytes[start] === SLASH || bytes[start] === ADMIN_PREFIX[0]);
}

/** True for a get in classic text: an error in place of the reply keeps the client in step. */
function isShownGet(request: Request): boolean {
  return isRetrieval(request.operation) && request.binary === null;
}

/** `*` matches a sequence of bytes within one component of `name`. */
function fits(pattern: string, name: string): boolean {
  const wanted = pattern.split("/");
  const parts = name.split("/");
  return wanted.length === parts.length && wanted.every((part, i) => fitsPart(part, parts[i]!));
}

function fitsPart(pattern: string, part: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return pattern === part;
  const last = rest.pop()!;
  if (!part.startsWith(first) || part.length < first.length + last.length || !part.endsWith(last)) return false;
  let at = first.length;
  const end = part.length - last.length;
  for (const piece of rest) {
    const found = part.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
