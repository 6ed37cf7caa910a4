/**
 * Passes requests on to its child, and sends a part of them to other destinations too, without waiting for their
 * replies.
 *
 * Source: mcrouter ShadowRoute.h, ShadowSettings.cpp, DefaultShadowPolicy.h, as facts: the Spooky hash of the routing
 * key selects the part.
 */

import type { BucketsConfig, RouteConfig } from "../../config/config.ts";
import { Problems } from "../../config/section.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import { Buckets } from "../../proxy/hash/buckets.ts";
import { spooky32 } from "../../proxy/hash/spooky.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { bytesText, Fields, numberOf, type Spot } from "../config/fields.ts";
import { describeJson } from "../config/json-value.ts";
import { readBuckets } from "../config/read-buckets.ts";
import type { RouteReader } from "../config/read-routes.ts";
import { object } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

/** Which requests are mirrored, and their destination. */
interface ShadowConfig {
  readonly target: RouteConfig;
  /** Range of key hashes, 0 to 1, both ends included. */
  readonly keyFraction: readonly [from: number, to: number];
  /** With buckets, the range applies to a key's bucket instead. `null` if keys have no buckets. */
  readonly buckets: BucketsConfig | null;
  /** Only these keys are mirrored. `null` uses `keyFraction`. */
  readonly keys: readonly string[] | null;
  /** Random part of the matching requests. */
  readonly requestsFraction: number;
  /** Maximum number of mirrored requests in flight. */
  readonly maxOutstanding: number;
}

interface ShadowRouteConfig extends RouteConfig {
  readonly type: "shadow";
  readonly child: RouteConfig;
  readonly shadows: readonly ShadowConfig[];
}

export const shadow: RouteKind<ShadowRouteConfig> = {
  type: "shadow",
  handles: {
    ShadowRoute(input) {
      const { fields, children } = object(input);
      return shadowed(children("children"), fields, input.reader, readBuckets(fields));
    },
  },
  build({ child, shadows }, { build, random }) {
    const built = shadows.map((each) => ({
      ...each,
      target: build(each.target),
      buckets: each.buckets === null ? null : new Buckets(each.buckets),
      keys: each.keys === null ? null : new Set(each.keys),
    }));
    return new ShadowRoute(build(child), built, random);
  },
};

const MAX_UINT32 = 0xffff_ffff;

/** A destination for mirrored requests. */
export interface Shadow {
  readonly target: Route;
  readonly keyFraction: readonly [from: number, to: number];
  /** The range applies to these buckets instead. Absent or `null` if keys have no buckets. */
  readonly buckets?: Buckets | null;
  /** `null` uses `keyFraction`. */
  readonly keys: ReadonlySet<string> | null;
  readonly requestsFraction: number;
  readonly maxOutstanding: number;
}

export class ShadowRoute implements Route {
  readonly name = "shadow";
  private readonly child: Route;
  private readonly shadows: readonly Shadow[];
  /** Same order as `shadows`. */
  private readonly counters: readonly OutstandingCounter[];
  private readonly random: () => number;

  constructor(child: Route, shadows: readonly Shadow[], random: () => number) {
    this.child = child;
    this.shadows = shadows;
    this.counters = shadows.map(() => new OutstandingCounter());
    this.random = random;
  }

  route(request: Request): void {
    this.mirror(request);
    this.child.route(request);
  }

  passKey(request: Request): Route {
    this.mirror(request);
    return this.child;
  }

  private mirror(request: Request): void {
    for (const [i, shadow] of this.shadows.entries()) {
      if (!covers(shadow, request)) continue;
      if (shadow.requestsFraction < 1 && this.random() >= shadow.requestsFraction) continue;
      const counter = this.counters[i]!;
      if (counter.outstanding >= shadow.maxOutstanding) continue;
      request.retain();
      counter.outstanding++;
      const copy = request.again(counter);
      // No client waits for this copy: its failed delete is not logged.
      copy.watcher = null;
      shadow.target.route(copy);
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.child, request);
    for (const shadow of this.shadows) if (covers(shadow, request)) see(shadow.target, request);
  }
}

/** Counts the replies to mirrored requests. */
class OutstandingCounter implements ReplyOwner {
  outstanding = 0;

  onReply(): void {
    this.outstanding--;
  }
}

function covers({ keys, buckets, keyFraction: [from, to] }: Shadow, request: Request): boolean {
  const { chunk, keyStart, keyEnd } = request;
  const end = routingKeyEnd(chunk, keyStart, keyEnd);
  if (keys !== null) return keys.has(chunk.toString("latin1", keyStart, end));
  if (buckets != null) {
    const { bucketKey } = request;
    const bucket = bucketKey === null ? buckets.of(chunk, keyStart, end) : buckets.of(bucketKey, 0, bucketKey.length);
    return bucket >= Math.trunc(from * (buckets.total - 1)) && bucket <= Math.trunc(to * (buckets.total - 1));
  }
  const hash = spooky32(chunk, keyStart, end, 0);
  return hash >= Math.trunc(from * MAX_UINT32) && hash <= Math.trunc(to * MAX_UINT32);
}

/** Children with the shadows for their index. An invalid shadow is reported and left out. */
export function shadowed(
  children: readonly RouteConfig[],
  fields: Fields,
  reader: RouteReader,
  buckets: BucketsConfig | null,
): readonly RouteConfig[] {
  const policy = fields.get("shadow_policy");
  if (policy !== null && !(policy.json.type === "string" && policy.json.value === "default")) {
    reader.complain(policy, `expected "default", got ${describeJson(policy.json)}`);
  }
  const list = fields.array("shadows");
  const shadows = (list?.items ?? []).flatMap((json, index) => {
    const spot = { json, path: `${fields.path}.shadows[${index}]` };
    const shadow = reader.inBuckets(buckets, () => readShadow(spot, reader, buckets));
    return shadow === null ? [] : [shadow];
  });
  return children.map((child, index) => {
    const own = shadows.filter(({ from, to, shadow }) => shadow.keys !== null || (from <= index && index < to));
    const node: ShadowRouteConfig = { type: "shadow", child, shadows: own.map(({ shadow }) => shadow) };
    return own.length === 0 ? child : node;
  });
}

function readShadow(
  spot: Spot,
  reader: RouteReader,
  buckets: BucketsConfig | null,
): { from: number; to: number; shadow: ShadowConfig } | null {
  if (spot.json.type !== "object") {
    reader.warn(spot, "is no object, and is left out");
    return null;
  }
  const problems = new Problems();
  const fields = new Fields(spot.json, spot.path, problems);
  const target = fields.need("target");
  const [from, to] = range(fields, "index_range", UNBOUNDED) ?? [0, 0];
  const listed = fields.strings("keys_to_shadow") ?? [];
  const fraction = range(fields, "key_fraction_range", 1);
  const variable = fields.string("key_fraction_range_rv");
  const keyFraction = runtimeRange(variable, fields, reader) ?? fraction ?? [0, 0];
  if (variable !== null && keyFraction === fraction) {
    reader.warn(spot, `the runtime variables do not have "${variable}"; key_fraction_range counts`);
  }
  const ranges = ["index_range", "key_fraction_range", "key_fraction_range_rv"].filter((name) => fields.has(name));
  if (listed.length > 0 && ranges.length > 0) fields.complain(`keys_to_shadow does not go together with ${ranges[0]}`);
  const requestsFraction = fields.number("requests_fraction", 1, 0, 1)!;
  reader.warnOfUnread(fields, "a shadow");
  const messages = problems.all.map(({ message }) => message);
  const read = target === null ? messages : reader.attempt(target);
  if (target === null || messages.length > 0 || isMessages(read)) {
    for (const message of isMessages(read) ? [...new Set([...messages, ...read])] : messages) {
      reader.warn(spot, `is left out: ${message}`);
    }
    return null;
  }
  const keys = listed.length === 0 ? null : listed.map(bytesText);
  const maxOutstanding = reader.options.maxShadows === 0 ? UNBOUNDED : reader.options.maxShadows;
  return { from, to, shadow: { target: read, keyFraction, buckets, keys, requestsFraction, maxOutstanding } };
}

/** The range that the runtime variable `name` sets. `null` if it is not set. */
function runtimeRange(name: string | null, fields: Fields, reader: RouteReader): [number, number] | null {
  const range = name === null ? null : reader.options.runtimeVars.keyRange(name);
  if (typeof range === "string") fields.complain(`key_fraction_range_rv: ${range}`);
  else if (range !== null) return [...range];
  else if (name !== null && !fields.has("key_fraction_range")) {
    fields.complain(`the runtime variables do not have "${name}", and there is no key_fraction_range`);
  }
  return null;
}

function isMessages(read: RouteConfig | readonly string[]): read is readonly string[] {
  return Array.isArray(read);
}

/** A pair of numbers in ascending order. `null` if the field is absent. */
function range(fields: Fields, name: string, max: number): [number, number] | null {
  const found = fields.get(name);
  if (found === null) return null;
  const numbers = found.json.type === "array" ? found.json.items.map(numberOf) : [];
  const [from, to] = numbers;
  if (numbers.length === 2 && from != null && to != null && from >= 0 && from <= to && to <= max) return [from, to];
  fields.complainAt(found, "expected a list of two numbers, the first not above the second");
  return null;
}
