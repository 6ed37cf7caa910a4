/**
 * The library: builds a Platypus in code. Options have the names of the configuration file's settings in camel case.
 * The same table of settings reads and checks them.
 */
import { addressText, type Config } from "./config/config.ts";
import { locateLines } from "./config/locate.ts";
import { readDocument } from "./config/native.ts";
import type { Options } from "./config/setting.ts";
import {
  limitSettings,
  type routeSettings,
  type ruleSettings,
  type serverSettings,
  type targetSettings,
} from "./config/settings.ts";
import { UsageError } from "./errors.ts";
import type { Getter, ManyGetter } from "./getter.ts";
import { withTree } from "./server/load-config.ts";
import { Platypus } from "./server/platypus.ts";
import { sourceTypesOfCode } from "./sources/types.ts";

type RuleOptions = Omit<Options<typeof ruleSettings>, "match" | "source">;

/** Settings for a getter's keys: those of `[get.NAME]` and `[source.NAME]`. Omitted settings have their defaults. */
export interface GetterOptions extends RuleOptions, Options<typeof limitSettings> {}

/** Settings for the keys of `getMany`. */
export interface ManyGetterOptions extends GetterOptions {
  /** Settings of `[source.NAME.batch]`: the maximum number of keys per call, and the waits for other keys. */
  readonly batch?: { readonly max?: number; readonly wait?: string; readonly refreshWait?: string };
}

/** Settings of `[server]`. `admin` is `off` by default. */
export interface ServerOptions extends Omit<Options<typeof serverSettings>, "listen" | "workers"> {}

/** Settings of the pool of memcached servers, as in `[target]`. */
export interface TargetOptions extends Omit<Options<typeof targetSettings>, "servers" | "host" | "port"> {}

/** Settings of `[[route]]`. */
export interface RouteOptions extends Options<typeof routeSettings> {}

/** A Platypus, before and after its start. */
export interface PlatypusServer {
  /**
   * `getter` produces the values of keys that match the whole `pattern` (RE2 syntax). The first pattern that
   * matches a key applies.
   */
  get(pattern: string, getter: Getter, options?: GetterOptions): PlatypusServer;
  /**
   * `getter` produces the values of several keys at once: of one get of many keys, and of refreshes that are due at about
   * the same time.
   */
  getMany(pattern: string, getter: ManyGetter, options?: ManyGetterOptions): PlatypusServer;
  /**
   * memcached servers: `memcache://HOST:PORT`, several separated by commas, or `unix:PATH`. Without servers, values are
   * stored in this process. With the option `discover`, `servers` may be empty.
   */
  target(servers: string | readonly string[], options?: TargetOptions): PlatypusServer;
  /** One of several pools, as `[pool.NAME]`, instead of `target`. Several pools need routes. */
  pool(name: string, servers: string | readonly string[], options?: TargetOptions): PlatypusServer;
  /** A route, as `[[route]]`: the first one that takes a key applies. */
  route(options: RouteOptions): PlatypusServer;
  /**
   * Starts to listen on `host:port` or `unix:PATH`; port 0 takes a free port. Resolves to the addresses. Rejects with a
   * ConfigError that holds all problems of the options, or with a PlatypusError if an address is unavailable.
   */
  listen(...addresses: string[]): Promise<readonly string[]>;
  /** Answers the requests that were read, then stops. */
  close(): Promise<void>;
}

interface Given {
  readonly pattern: string;
  /** The function, under its setting's name. */
  readonly functions: { readonly getter: Getter } | { readonly get_many: ManyGetter };
  readonly options: ManyGetterOptions;
}

/** Creates a Platypus without getters. It does not listen yet. */
export function createPlatypus(options: ServerOptions = {}): PlatypusServer {
  return new LibraryPlatypus(options);
}

class LibraryPlatypus implements PlatypusServer {
  private readonly options: ServerOptions;
  private readonly getters: Given[] = [];
  private targetPool: Record<string, unknown> | null = null;
  private readonly pools: Record<string, Record<string, unknown>> = {};
  private readonly routes: Record<string, unknown>[] = [];
  private running: Promise<Platypus> | null = null;

  constructor(options: ServerOptions) {
    this.options = options;
  }

  get(pattern: string, getter: Getter, options: GetterOptions = {}): PlatypusServer {
    checkFunction("get", pattern, getter, "the value");
    this.getters.push({ pattern, functions: { getter }, options });
    return this;
  }

  getMany(pattern: string, getter: ManyGetter, options: ManyGetterOptions = {}): PlatypusServer {
    checkFunction("getMany", pattern, getter, "the values");
    this.getters.push({ pattern, functions: { get_many: getter }, options });
    return this;
  }

  target(servers: string | readonly string[], options: TargetOptions = {}): PlatypusServer {
    this.targetPool = poolOf(servers, options);
    return this;
  }

  pool(name: string, servers: string | readonly string[], options: TargetOptions = {}): PlatypusServer {
    this.pools[name] = poolOf(servers, options);
    return this;
  }

  route(options: RouteOptions): PlatypusServer {
    this.routes.push(settingsOf(options));
    return this;
  }

  async listen(...addresses: string[]): Promise<readonly string[]> {
    if (this.running !== null) throw new UsageError("listen was called already");
    const config = this.configFor(addresses);
    const running = withTree(config).then((built) => Platypus.start(built));
    // Set synchronously: a second call or a close may come before it listens.
    this.running = running;
    try {
      return (await running).addresses.map(addressText);
    } catch (error) {
      if (this.running === running) this.running = null;
      throw error;
    }
  }

  async close(): Promise<void> {
    const running = this.running;
    // If the start failed, `listen` reports it.
    await (await running?.catch(() => null))?.drain();
    if (this.running === running) this.running = null;
  }

  private configFor(addresses: readonly string[]): Config {
    const names = this.getters.map((_, index) => `getter${index + 1}`);
    const document = {
      // A process that embeds Platypus opens no port that it did not ask for.
      server: { admin: "off", ...settingsOf(this.options), ...(addresses.length > 0 && { listen: addresses }) },
      ...(this.targetPool !== null && { target: this.targetPool }),
      pool: this.pools,
      route: this.routes,
      get: tablesOf(names, this.getters, ({ pattern, options }, name) => ({
        match: pattern,
        source: name,
        ...settingsOf(options, (key) => !(key in limitSettings) && key !== "batch"),
      })),
      source: tablesOf(names, this.getters, ({ functions, options: { batch = {}, ...options } }) => ({
        type: "getter",
        ...functions,
        ...(Object.keys(batch).length > 0 && { batch: settingsOf(batch) }),
        ...settingsOf(options, (key) => key in limitSettings),
      })),
    };
    return readDocument({
      file: null,
      document,
      lines: locateLines(""),
      env: {},
      overrides: {},
      sourceTypes: sourceTypesOfCode,
    });
  }
}

function checkFunction(method: string, pattern: string, given: unknown, result: string): void {
  if (typeof given === "function") return;
  const call = `${method}(${JSON.stringify(pattern)}, …)`;
  throw new UsageError(`${call}: expected a function that returns ${result}, found ${typeof given}`);
}

function poolOf(servers: string | readonly string[], options: TargetOptions): Record<string, unknown> {
  const list = [servers].flat().flatMap((text) => text.replace(/^memcached?:\/\//, "").split(","));
  const texts = list.map((text) => text.trim().replace(/\/$/, "")).filter((text) => text !== "");
  // Without servers that are discovered, an empty list is a mistake.
  const isEmpty = texts.length === 0 && options.discover !== undefined;
  return { ...(isEmpty ? {} : { servers: texts }), ...settingsOf(options) };
}

function tablesOf(
  names: readonly string[],
  getters: readonly Given[],
  table: (given: Given, name: string) => Record<string, unknown>,
): Record<string, unknown> {
  return Object.fromEntries(names.map((name, index) => [name, table(getters[index]!, name)]));
}

/** Options under the names of the configuration file; `isWanted` selects by these names. */
function settingsOf(options: object, isWanted: (key: string) => boolean = () => true): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).flatMap(([option, value]) => {
      const key = option.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return value !== undefined && isWanted(key) ? [[key, value]] : [];
    }),
  );
}
