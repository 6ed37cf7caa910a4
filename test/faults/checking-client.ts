/**
 * A well-behaved client: it asks at a fixed rate, whatever the answers do, and verifies every answer. A latency counts from
 * the moment at which the request was due, so that a stall is seen by all requests that it held up.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../fuzz/random.ts";
import { type CheckedKey, CheckedKeys, checkedValue, pageValue } from "./checked-keys.ts";
import { ConnectionClosed, ConnectionRefused, type Dialect, dialects, type Outcome, WrongAnswer } from "./dialects.ts";
import type { Tally } from "./tally.ts";

const INTERVAL_MS = 10;
/** A reply that takes longer counts as lost. This is far beyond the timeouts of the scenarios. */
const LOST_MS = 20_000;
const RECONNECT_MS = 20;
/** Number of requests after which a client changes to a new connection. */
const REQUESTS_PER_CONNECTION = 3_000;
const PAGES = 200;

export interface CheckingOptions {
  readonly port: number;
  readonly dialect: keyof typeof dialects;
  readonly name: string;
  readonly random: Random;
  readonly tally: Tally;
  /** A rule fills pages from the origin. */
  readonly hasPages: boolean;
}

export class CheckingClient {
  private readonly options: CheckingOptions;
  private readonly keys: CheckedKeys;
  private dialect: Dialect | null = null;
  private asked = 0;
  /** When the next request is due. */
  private dueMs = 0;
  /** When the request under way was sent; `null` between requests. */
  private sentMs: number | null = null;
  private isStopped = false;

  constructor(options: CheckingOptions) {
    this.options = options;
    this.keys = new CheckedKeys(options.name, options.random);
  }

  /** How long the request under way has been waiting (ms). */
  get waitingMs(): number {
    return this.sentMs === null ? 0 : performance.now() - this.sentMs;
  }

  stop(): void {
    this.isStopped = true;
    this.dialect?.close();
  }

  async run(): Promise<void> {
    this.dueMs = performance.now();
    while (!this.isStopped) {
      const earlyMs = this.dueMs - performance.now();
      if (earlyMs > 0) await sleep(earlyMs);
      await this.request(earlyMs > 0 ? performance.now() : this.dueMs);
      this.dueMs += INTERVAL_MS;
    }
  }

  private async request(dueMs: number): Promise<void> {
    const { tally } = this.options;
    this.sentMs = performance.now();
    try {
      const dialect = await this.connected();
      if (dialect === null) return;
      if (await within(this.askOne(dialect))) tally.answered(performance.now() - dueMs);
      else {
        // How long a fill takes is up to the source, and its client waits for it.
        tally.requests++;
        this.dueMs = Math.max(this.dueMs, performance.now());
      }
    } catch (error) {
      this.dialect?.close();
      this.dialect = null;
      if (this.isStopped) return;
      if (error instanceof ConnectionRefused) tally.trouble("refused", error.message);
      else if (error instanceof WrongAnswer) tally.trouble("wrong", error.message);
      else if (error instanceof ConnectionClosed) tally.trouble("closed", `${this.options.name}: ${error.message}`);
      else tally.trouble("unanswered", `${this.options.name}: ${String(error)}`);
      await sleep(RECONNECT_MS);
    } finally {
      this.sentMs = null;
    }
  }

  private async connected(): Promise<Dialect | null> {
    if (++this.asked % REQUESTS_PER_CONNECTION === 0) {
      this.dialect?.close();
      this.dialect = null;
    }
    if (this.dialect !== null) return this.dialect;
    try {
      const dialect = await dialects[this.options.dialect](this.options.port);
      if (this.isStopped) dialect.close();
      else this.dialect = dialect;
    } catch (error) {
      this.options.tally.trouble("refused", String(error));
      await sleep(RECONNECT_MS);
    }
    return this.dialect;
  }

  /** Asks for something. Resolves to `false` if it was a page, which may have to be fetched. */
  private async askOne(dialect: Dialect): Promise<boolean> {
    const { random, hasPages, name } = this.options;
    const kind = random.below(20);
    const key = this.keys.pick();
    if (kind === 9 && hasPages) {
      await this.getPage(dialect, `page/${name}:${random.below(PAGES)}`);
      return false;
    }
    if (kind < 6) await this.set(dialect, key);
    else if (kind === 6) await this.remove(dialect, key);
    else if (kind < 9) await this.get(dialect, this.keys.pickSome());
    else await this.get(dialect, [key]);
    return true;
  }

  private async set(dialect: Dialect, key: CheckedKey): Promise<void> {
    const version = this.keys.nextVersion();
    const outcome = await this.write(key, "set", () => dialect.set(key.name, checkedValue(key.name, version)));
    if (outcome === "failed") return;
    key.version = version;
    key.mayMiss = false;
  }

  private async remove(dialect: Dialect, key: CheckedKey): Promise<void> {
    const outcome = await this.write(key, "delete", () => dialect.remove(key.name));
    if (outcome === "absent" && key.version > 0 && !key.mayMiss) this.failed(`delete ${key.name}: not found`);
    if (outcome === "done" && key.version === 0) throw new WrongAnswer(`delete ${key.name}: was there, after a delete`);
    key.version = 0;
    key.mayMiss = false;
  }

  /** A write whose outcome is unknown gives its key up: it may still be carried out. */
  private async write(key: CheckedKey, verb: string, send: () => Promise<Outcome>): Promise<Outcome> {
    try {
      const outcome = await send();
      if (outcome === "failed") {
        this.failed(`${verb} ${key.name}`);
        this.keys.giveUp(key);
      }
      return outcome;
    } catch (error) {
      this.keys.giveUp(key);
      throw error;
    }
  }

  private async get(dialect: Dialect, keys: readonly CheckedKey[]): Promise<void> {
    const told = await dialect.get(keys.map(({ name }) => name));
    if (told === "failed") {
      this.failed(`get ${keys.map(({ name }) => name).join(" ")}`);
      return;
    }
    for (const [i, key] of keys.entries()) {
      const value = told[i]!;
      const due = key.version === 0 ? null : checkedValue(key.name, key.version);
      if (value !== null && value !== due) {
        this.keys.giveUp(key);
        throw new WrongAnswer(`get ${key.name}: ${value.slice(0, 100)} in place of ${String(due).slice(0, 100)}`);
      }
      if (value === null && due !== null && !key.mayMiss) {
        this.failed(`get ${key.name}: a miss`);
        key.mayMiss = true;
      }
    }
  }

  private async getPage(dialect: Dialect, name: string): Promise<void> {
    const told = await dialect.get([name]);
    if (told === "failed") this.failed(`get ${name}`);
    else if (told[0] === null) this.options.tally.trouble("missedFills", `get ${name}: a miss`);
    else if (told[0] !== pageValue(name)) throw new WrongAnswer(`get ${name}: ${String(told[0]).slice(0, 100)}`);
  }

  private failed(detail: string): void {
    this.options.tally.trouble("failed", detail);
  }
}

/** What `promise` resolves to; rejects when that takes so long that it will never come. */
async function within<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${LOST_MS / 1_000} s`)), LOST_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => {});
  }
}
