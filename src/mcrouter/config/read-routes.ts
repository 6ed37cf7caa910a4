/**
 * Route handles of a mcrouter configuration → RouteConfig. This file reads forms, names and lists; the files of routes/
 * read the fields of each type.
 *
 *     { "type": "PoolRoute", … }   long form; with a "name", other places can refer to the handle by that name
 *     "PoolRoute|A"                short form, split at the first bar
 *     "Name"                       a handle that was read before, one of named_handles, or a type without fields
 *     [ … ]                        a list; some handles expand to one (Pool, ShadowRoute)
 *
 * Source: mcrouter lib/config/RouteHandleFactory-inl.h, as facts.
 */

import type { BucketsConfig, RouteConfig } from "../../config/config.ts";
import { suggestion } from "../../config/nearest-name.ts";
import type { Problems } from "../../config/section.ts";
import { handles } from "../handles.ts";
import { Fields, type Spot } from "./fields.ts";
import { describeJson, type JsonObject, jsonString } from "./json-value.ts";
import type { PoolReader } from "./read-pools.ts";
import { nothing } from "./route-input.ts";
import { routeRefusals } from "./route-refusals.ts";
import type { RuntimeVars } from "./runtime-vars.ts";

/** mcrouter options that apply to routes. */
export interface RouteOptions {
  readonly isAsyncLogOn: boolean;
  /** True if `shard_splits` have no effect. */
  readonly isShardSplitOff: boolean;
  /** Maximum number of shadow requests in flight to one destination. 0 means no limit. */
  readonly maxShadows: number;
  readonly runtimeVars: RuntimeVars;
}

/** Reads the routes of one configuration. */
export class RouteReader {
  readonly pools: PoolReader;
  readonly options: RouteOptions;
  readonly problems: Problems;
  readonly warn: (spot: Spot, message: string) => void;
  private readonly registered = new Map<string, Spot>();
  private readonly seen = new Map<string, readonly RouteConfig[]>();
  /** Names that are being read: a name that occurs again refers to itself. */
  private readonly open = new Set<string>();

  constructor(
    pools: PoolReader,
    options: RouteOptions,
    problems: Problems,
    warn: (spot: Spot, message: string) => void,
  ) {
    this.pools = pools;
    this.options = options;
    this.problems = problems;
    this.warn = warn;
  }

  /** Registers a handle that other handles may name before it is read. */
  register(name: string, spot: Spot): void {
    const { json } = spot;
    if (json.type === "object") {
      const own = json.members.get("name");
      if (own !== undefined && !(own.type === "string" && own.value === name)) {
        this.complain(spot, `has another "name" than ${JSON.stringify(name)}`);
      }
    }
    if (this.registered.has(name)) this.complain(spot, `the name ${JSON.stringify(name)} is another handle's`);
    this.registered.set(name, spot);
  }

  /** The buckets of the route that is being read, for routes below it. `null` if it has none. */
  buckets: BucketsConfig | null = null;

  /** Calls `read` with these buckets for the routes that it reads. */
  inBuckets<T>(buckets: BucketsConfig | null, read: () => T): T {
    const outer = this.buckets;
    this.buckets = buckets ?? outer;
    const result = read();
    this.buckets = outer;
    return result;
  }

  /** Reads one route. Returns the problems if the route is invalid, and restores the state from before. */
  attempt(spot: Spot): RouteConfig | readonly string[] {
    const [seen, registered, back] = [new Map(this.seen), new Map(this.registered), this.pools.mark()];
    const attempt = this.problems.attempt(() => this.one(spot));
    if ("result" in attempt) return attempt.result;
    back();
    for (const [mine, old] of [
      [this.seen, seen],
      [this.registered, registered],
    ] as [Map<string, unknown>, Map<string, unknown>][]) {
      mine.clear();
      for (const [name, value] of old) mine.set(name, value);
    }
    return attempt.messages;
  }

  /** Reads one route. */
  one(spot: Spot): RouteConfig {
    const list = this.list(spot);
    if (list.length === 1) return list[0]!;
    this.complain(spot, `${list.length} route handles where one is expected`);
    return nothing;
  }

  /** Reads any number of routes. */
  list(spot: Spot): readonly RouteConfig[] {
    const { json, path } = spot;
    switch (json.type) {
      case "array":
        return json.items.flatMap((item, index) => this.list({ json: item, path: `${path}[${index}]` }));
      case "object": {
        const name = json.members.get("name");
        return name?.type === "string" ? this.named(name.value, spot) : this.typed(spot);
      }
      case "string":
        return json.value === "" ? [] : this.short(json.value, spot);
      default:
        this.complain(spot, `expected a route handle (an object, a list or a string), got ${describeJson(json)}`);
        return [nothing];
    }
  }

  fieldsOf(object: JsonObject, path: string): Fields {
    return new Fields(object, path, this.problems);
  }

  /** The fields of a value that should be an object; no fields if it is not. */
  fieldsIn({ json, path }: Spot): Fields {
    const object: JsonObject =
      json.type === "object" ? json : { type: "object", members: new Map(), place: json.place };
    return this.fieldsOf(object, path);
  }

  complain(spot: Spot, message: string): void {
    this.problems.add({ ...spot.json.place, path: spot.path }, message);
  }

  private short(text: string, spot: Spot): readonly RouteConfig[] {
    if (this.seen.has(text) || this.registered.has(text) || this.open.has(text)) return this.named(text, spot);
    const bar = text.indexOf("|");
    const type = bar < 0 ? text : text.slice(0, bar);
    const routes = this.ofType(
      type,
      bar < 0 ? null : { ...spot, json: jsonString(text.slice(bar + 1), spot.json.place) },
      spot,
    );
    this.seen.set(text, routes);
    return routes;
  }

  private named(name: string, spot: Spot): readonly RouteConfig[] {
    const known = this.seen.get(name);
    if (known !== undefined) return known;
    if (this.open.has(name)) {
      this.complain(spot, `the handle ${JSON.stringify(name)} is a part of itself`);
      return [nothing];
    }
    this.open.add(name);
    const registered = this.registered.get(name);
    const source = registered ?? spot;
    this.registered.delete(name);
    const routes = source.json.type === "object" ? this.typed(source) : this.list(source);
    this.open.delete(name);
    this.seen.set(name, routes);
    return routes;
  }

  private typed(spot: Spot): readonly RouteConfig[] {
    const { json } = spot;
    const type = json.type === "object" ? json.members.get("type") : undefined;
    if (type === undefined) this.complain(spot, 'no "type"; expected the name of a route handle');
    else if (type.type !== "string") this.complain(spot, `expected a string as "type", got ${describeJson(type)}`);
    else return this.ofType(type.value, spot, spot, type.place.line);
    return [nothing];
  }

  /** `config` is `null` if nothing follows the type. */
  private ofType(type: string, config: Spot | null, at: Spot, line = at.json.place.line): readonly RouteConfig[] {
    const read = Object.hasOwn(handles, type) ? handles[type] : undefined;
    if (read === undefined) {
      const refusal = Object.hasOwn(routeRefusals, type) ? routeRefusals[type] : undefined;
      const known = Object.keys(handles);
      this.complain(at, refusal ?? `Unknown RouteHandle: ${type} line: ${line}${suggestion(type, known)}`);
      return [nothing];
    }
    const spot = config ?? { json: { type: "null", place: at.json.place }, path: at.path };
    const fields = spot.json.type === "object" ? new Fields(spot.json, spot.path, this.problems) : null;
    const routes = read({ spot, fields, reader: this });
    if (fields !== null) this.warnOfUnread(fields, type);
    return routes;
  }

  /** Reports the fields that were not read. */
  warnOfUnread(fields: Fields, of: string): void {
    for (const ignored of fields.unread()) {
      const isUsual = ["type", "name"].some((name) => ignored.path.endsWith(`.${name}`));
      if (!isUsual) this.warn(ignored, `is not known to ${of} and has no effect`);
    }
  }
}
