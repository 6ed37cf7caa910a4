/**
 * The library: builds a Platypus in code. Options have the names of the configuration file's settings in camel case.
 * The same table of settings reads and checks them.
 */
import { EventEmitter } from "node:events";
import { addressText, type Config } from "./config/config.ts";
import { locateLines } from "./config/locate.ts";
import { readDocument } from "./config/native.ts";
import type { Options } from "./config/setting.ts";
import {
  limitSettings,
  type listenSettings,
  type routeSettings,
  type ruleSettings,
  type serverSettings,
  type targetSettings,
  type telemetrySettings,
  type userSettings,
} from "./config/settings.ts";
import { UsageError } from "./errors.ts";
import type { Getter, ManyGetter } from "./getter.ts";
import type { LibraryStats } from "./library-stats.ts";
import { statsOf } from "./observe/stats/library-stats.ts";
import { withTree } from "./server/load-config.ts";
import { Platypus } from "./server/platypus.ts";
import { sourceTypesOfCode } from "./sources/types.ts";
import { Log } from "./telemetry/log.ts";

/** Settings of `[get.NAME]`. Omitted settings have their defaults. */
export interface RuleOptions extends Omit<Options<typeof ruleSettings>, "match" | "source"> {}

/** Settings for a getter's keys: those of `[get.NAME]` and `[source.NAME]`. */
export interface GetterOptions extends RuleOptions, Options<typeof limitSettings> {
  /** Name of the rule and the source in logs, metrics and `stats`. Default: `getter1`, `getter2` … */
  readonly name?: string;
}

/** Settings for the keys of `getMany`. */
export interface ManyGetterOptions extends GetterOptions {
  /** Settings of `[source.NAME.batch]`: the maximum number of keys per call, and the waits for other keys. */
  readonly batch?: { readonly max?: number; readonly wait?: string; readonly refreshWait?: string };
}

/** Settings of `[source.NAME]`: its type, and the settings of that type. Tables such as `batch` are objects. */
export interface SourceOptions extends Options<typeof limitSettings> {
  readonly type: string;
  readonly [setting: string]: unknown;
}

/** Settings of `[telemetry]`. */
export interface TelemetryOptions extends Options<typeof telemetrySettings> {}

/** A line of the log. */
export interface LogLine {
  readonly time: string;
  readonly level: "error" | "warn" | "info" | "debug";
  readonly module: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** Settings of `[server]`. `admin` is `off` by default. */
export interface ServerOptions extends Omit<Options<typeof serverSettings>, "listen" | "workers"> {
  readonly telemetry?: TelemetryOptions;
  /** Receives the lines of the log, instead of stderr. Must not throw. */
  readonly logger?: (line: LogLine) => void;
}

/** Settings of the pool of memcached servers, as in `[target]`. */
export interface TargetOptions extends Omit<Options<typeof targetSettings>, "servers" | "host" | "port"> {}

/** How a refresh ended: `gone` if the key is not tracked any more, `busy` if another process refreshes it. */
export type RefreshResult = "stored" | "unchanged" | "kept" | "fresh" | "busy" | "gone" | "notThere" | "failed";

/** Events and the arguments of their listeners. Keys are text. */
export interface PlatypusEvents {
  /** A value was fetched after a miss and stored. */
  filled: [event: { readonly key: string; readonly rule: string }];
  /** A refresh ended. */
  refreshed: [event: { readonly key: string; readonly rule: string; readonly result: RefreshResult }];
  /** A source or the pool failed. */
  failed: [event: { readonly rule: string; readonly error: unknown }];
}
/** Settings of `[[route]]`. */
export interface RouteOptions extends Options<typeof routeSettings> {}

/** Settings of `[user.NAME]`. */
export interface UserOptions extends Options<typeof userSettings> {}

/** Settings of `[listen.NAME]`. */
export interface ListenerOptions extends Options<typeof listenSettings> {}

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
  /** A source of any type, as `[source.NAME]` of the configuration file. */
  source(name: string, options: SourceOptions): PlatypusServer;
  /** A rule for a source: keys that match the whole `pattern` get their values from it. */
  rule(name: string, pattern: string, source: string, options?: RuleOptions): PlatypusServer;
  /**
   * memcached servers: `memcache://HOST:PORT`, several separated by commas, or `unix:PATH`. Without servers, values are
   * stored in this process. With the option `discover`, `servers` may be empty.
   */
  target(servers: string | readonly string[], options?: TargetOptions): PlatypusServer;
  /** One of several pools, as `[pool.NAME]`, instead of `target`. Several pools need routes. */
  pool(name: string, servers: string | readonly string[], options?: TargetOptions): PlatypusServer;
  /** A route, as `[[route]]`: the first one that takes a key applies. */
  route(options: RouteOptions): PlatypusServer;
  /** A user, as `[user.NAME]`. With users, clients must log in. */
  user(name: string, options: UserOptions): PlatypusServer;
  /** Addresses with options, as `[listen.NAME]`, in addition to those of `listen`. */
  listener(name: string, options: ListenerOptions): PlatypusServer;
  /**
   * Starts to listen on `host:port` or `unix:PATH`; port 0 takes a free port. Resolves to the addresses. Rejects with a
   * ConfigError that holds all problems of the options, or with a PlatypusError if an address is unavailable.
   */
  listen(...addresses: string[]): Promise<readonly string[]>;
  /** Fetches a tracked key again now, at refresh priority. Resolves when that has ended; `gone` if it is not tracked. */
  refresh(key: string): Promise<RefreshResult>;
  /** Deletes a key from the pool as a client does. False if the pool does not have it. */
  delete(key: string): Promise<boolean>;
  /** The numbers of rules, sources and clients since the start. */
  stats(): LibraryStats;
  /** Calls `listener` for each event. An exception of a listener is logged. */
  on<Name extends keyof PlatypusEvents>(name: Name, listener: (...args: PlatypusEvents[Name]) => void): PlatypusServer;
  /** Answers the requests that were read, then stops. */
  close(): Promise<void>;
}

/** A rule and, for a getter, its source. */
interface Given {
  readonly name: string;
  readonly rule: Record<string, unknown>;
  readonly source: Record<string, unknown> | null;
}

/** Creates a Platypus without rules. It does not listen yet. */
export function createPlatypus(options: ServerOptions = {}): PlatypusServer {
  return new LibraryPlatypus(options);
}

class LibraryPlatypus implements PlatypusServer {
  private readonly options: ServerOptions;
  private readonly given: Given[] = [];
  private readonly sources = new Map<string, Record<string, unknown>>();
  private readonly events = new EventEmitter();
  private targetPool: Record<string, unknown> | null = null;
  private readonly pools: Record<string, Record<string, unknown>> = {};
  private readonly routes: Record<string, unknown>[] = [];
  private readonly users: Record<string, Record<string, unknown>> = {};
  private readonly listeners: Record<string, Record<string, unknown>> = {};
  private running: Promise<Platypus> | null = null;
  /** `null` while it does not listen. */
  private current: Platypus | null = null;

  constructor(options: ServerOptions) {
    this.options = options;
  }

  get(pattern: string, getter: Getter, options: GetterOptions = {}): PlatypusServer {
    checkFunction("get", pattern, getter, "the value");
    return this.addGetter(pattern, { getter }, options);
  }

  getMany(pattern: string, getter: ManyGetter, options: ManyGetterOptions = {}): PlatypusServer {
    checkFunction("getMany", pattern, getter, "the values");
    return this.addGetter(pattern, { get_many: getter }, options);
  }

  source(name: string, options: SourceOptions): PlatypusServer {
    if (this.sources.has(name))
      throw new UsageError(`source(${JSON.stringify(name)}, …): there is such a source already`);
    this.sources.set(name, settingsOf(options));
    return this;
  }

  rule(name: string, pattern: string, source: string, options: RuleOptions = {}): PlatypusServer {
    return this.add({ name, rule: { match: pattern, source, ...settingsOf(options) }, source: null });
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

  user(name: string, options: UserOptions): PlatypusServer {
    this.users[name] = settingsOf(options);
    return this;
  }

  listener(name: string, options: ListenerOptions): PlatypusServer {
    this.listeners[name] = settingsOf(options);
    return this;
  }

  on<Name extends keyof PlatypusEvents>(name: Name, listener: (...args: PlatypusEvents[Name]) => void): PlatypusServer {
    this.events.on(name, listener);
    return this;
  }

  async listen(...addresses: string[]): Promise<readonly string[]> {
    if (this.running !== null) throw new UsageError("listen was called already");
    const config = this.configFor(addresses);
    const { logger } = this.options;
    const log = logger === undefined ? new Log(config.server.log) : loggerOf(config, logger);
    const emit = (name: string, event: object) => {
      try {
        this.events.emit(name, event);
      } catch (error) {
        log.error("rule", `a listener of ${name} failed: ${error instanceof Error ? error.stack : String(error)}`);
      }
    };
    const start = (built: Config) =>
      Platypus.start(built, {
        log,
        observer: {
          filled: (key, rule) => emit("filled", { key: textOf(key), rule }),
          refreshed: (key, rule, result) => emit("refreshed", { key: textOf(key), rule, result }),
          failed: (rule, error) => emit("failed", { rule, error }),
        },
      });
    const running = withTree(config).then(start);
    // Set synchronously: a second call or a close may come before it listens.
    this.running = running;
    try {
      this.current = await running;
      return this.current.addresses.map(addressText);
    } catch (error) {
      if (this.running === running) this.running = null;
      throw error;
    }
  }

  refresh(key: string): Promise<RefreshResult> {
    return this.listening("refresh").refresh(bytesOf(key));
  }

  delete(key: string): Promise<boolean> {
    return this.listening("delete").delete(bytesOf(key));
  }

  stats(): LibraryStats {
    return statsOf(this.listening("stats").snapshot());
  }

  async close(): Promise<void> {
    const running = this.running;
    // If the start failed, `listen` reports it.
    await (await running?.catch(() => null))?.drain();
    if (this.running !== running) return;
    this.running = null;
    this.current = null;
  }

  private listening(method: string): Platypus {
    if (this.current === null) throw new UsageError(`${method}: it does not listen`);
    return this.current;
  }

  private addGetter(pattern: string, functions: Record<string, unknown>, options: ManyGetterOptions): PlatypusServer {
    const { name = `getter${this.given.length + 1}`, batch, ...rest } = options;
    const settings = settingsOf(rest);
    const of = (isLimit: boolean) =>
      Object.fromEntries(Object.entries(settings).filter(([key]) => key in limitSettings === isLimit));
    return this.add({
      name,
      rule: { match: pattern, source: name, ...of(false) },
      source: { type: "getter", ...functions, ...of(true), ...(batch !== undefined && settingsOf({ batch })) },
    });
  }

  private add(given: Given): PlatypusServer {
    const { name, source } = given;
    if (this.given.some((each) => each.name === name)) throw new UsageError(`there is a rule ${name} already`);
    if (source !== null && this.sources.has(name)) throw new UsageError(`there is a source ${name} already`);
    this.given.push(given);
    return this;
  }

  private configFor(addresses: readonly string[]): Config {
    const { telemetry, logger: _, ...server } = this.options;
    const getters = this.given.flatMap(({ name, source }) => (source === null ? [] : [[name, source] as const]));
    const document = {
      // A process that embeds Platypus opens no port that it did not ask for.
      server: { admin: "off", ...settingsOf(server), ...(addresses.length > 0 && { listen: addresses }) },
      ...(telemetry !== undefined && { telemetry: settingsOf(telemetry) }),
      ...(this.targetPool !== null && { target: this.targetPool }),
      pool: this.pools,
      route: this.routes,
      user: this.users,
      listen: this.listeners,
      get: Object.fromEntries(this.given.map(({ name, rule }) => [name, rule])),
      source: Object.fromEntries([...getters, ...this.sources]),
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

/** A log whose lines go to a function. */
function loggerOf(config: Config, logger: (line: LogLine) => void): Log {
  return new Log({ ...config.server.log, form: "json" }, (line) => logger(JSON.parse(line) as LogLine));
}

function poolOf(servers: string | readonly string[], options: TargetOptions): Record<string, unknown> {
  const list = [servers].flat().flatMap((text) => text.replace(/^memcached?:\/\//, "").split(","));
  const texts = list.map((text) => text.trim().replace(/\/$/, "")).filter((text) => text !== "");
  // Without servers that are discovered, an empty list is a mistake.
  const isEmpty = texts.length === 0 && options.discover !== undefined;
  return { ...(isEmpty ? {} : { servers: texts }), ...settingsOf(options) };
}

/** A key of the program as the bytes that clients send, one character each. */
function bytesOf(key: string): string {
  return Buffer.from(key, "utf8").toString("latin1");
}

function textOf(key: string): string {
  return Buffer.from(key, "latin1").toString("utf8");
}

/** Options under the names of the configuration file. The names in `batch` are settings too. */
function settingsOf(options: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).flatMap(([option, value]) => {
      const key = option.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      if (value === undefined) return [];
      return [[key, key === "batch" && typeof value === "object" ? settingsOf(value as object) : value]];
    }),
  );
}
