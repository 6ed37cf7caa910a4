/**
 * `npm run bench -- refresh`: what keeping keys fresh costs. Memory and steps of a million tracked keys; refreshes a
 * second of a real process over a real memcached; and hits where twenty rules are configured and every key is tracked,
 * against the same Platypus with no rules at all.
 */

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Competitor, startPlatypus, startServers } from "./competitors.ts";
import { GeneratorProcess } from "./generator-process.ts";
import { measure, preload } from "./measure.ts";
import type { Options } from "./options.ts";
import { cpuMicrosBetween, readCpu } from "./process-cost.ts";
import { accepting, BenchError, type ProcessGroup } from "./process-group.ts";
import { Progress } from "./progress.ts";
import { summarize, type WorkloadReport } from "./report.ts";
import { hits, type Scenario } from "./scenarios/hits.ts";
import { keyCount } from "./tape.ts";

const MILLION = 1_000_000;
/** Each falls due a second before its 3 s are over: some 10,000 refreshes a second. */
const CHURN_KEYS = 20_000;
const CHURN_TTL = "3s";
const CHURN_SECONDS = 5;
const RULES = 20;
const WARM_UP_ROUNDS = 60;

/** Prints the first two parts as they are measured; returns the third for the table. */
export async function measureRefresh(group: ProcessGroup, folder: string, options: Options): Promise<WorkloadReport[]> {
  console.log(millionKeys());
  const servers = await startServers(group);
  console.log(await churn(group, folder, servers));
  return hitsUnderRules(group, folder, servers, options);
}

function millionKeys(): string {
  const program = join(import.meta.dirname, "micro/tracked-keys.ts");
  const result = JSON.parse(
    execFileSync(process.execPath, ["--expose-gc", program, String(MILLION)], { encoding: "utf8" }),
  );
  const { bytesPerKey, rssBytes, trackNanos, noteNanos, dueNanos } = result as Record<string, number>;
  const rss = (rssBytes! / 1e6).toFixed(0);
  return `a million tracked keys of 30 bytes: ${bytesPerKey!.toFixed(0)} bytes a key beside its name, ${rss} MB of RSS with the names
  to track one ${trackNanos!.toFixed(0)} ns, to note a get ${noteNanos!.toFixed(0)} ns, to fall due and be armed again ${dueNanos!.toFixed(0)} ns`;
}

async function churn(
  group: ProcessGroup,
  folder: string,
  servers: Awaited<ReturnType<typeof startServers>>,
): Promise<string> {
  const source = '[source.churn]\ntype = "echo"\nqueue = 100000\nconcurrency = 10000\n';
  const rule = `[get.churn]\nmatch = "churn:(.*)"\nsource = "churn"\nttl = "${CHURN_TTL}"\n`;
  const platypus = await startPlatypus(group, folder, servers, { name: "refreshing", rest: rule + source });
  await accepting(platypus.name, platypus.host, platypus.port);
  const client = await Client.open(platypus);
  for (let n = 0; n < CHURN_KEYS; n += 100) {
    const keys = Array.from({ length: 100 }, (_, i) => `churn:${n + i}`);
    await client.ask(`get ${keys.join(" ")}\r\n`, "END\r\n");
  }
  await delay(3_000);
  const [cpuBefore, before] = [readCpu(platypus.pids), await client.stats()];
  const startMs = performance.now();
  await delay(CHURN_SECONDS * 1_000);
  const [cpuAfter, after] = [readCpu(platypus.pids), await client.stats()];
  const seconds = (performance.now() - startMs) / 1000;
  client.close();
  const count = (name: string) => (after.get(`rule:churn:${name}`) ?? 0) - (before.get(`rule:churn:${name}`) ?? 0);
  const refreshes = count("refreshed") + count("unchanged");
  const micros = cpuMicrosBetween(cpuBefore, cpuAfter);
  const lag = after.get("rule:churn:refresh_lag_ms:p99") ?? 0;
  return `refreshes: ${Math.round(refreshes / seconds)} a second of ${CHURN_KEYS} keys with ttl ${CHURN_TTL}, ${(micros / refreshes).toFixed(1)} µs CPU each, ${Math.round(micros / seconds / 1e4)} % of a core
  failed ${count("refresh_failed")}, deferred ${count("deferred")}, 99 % late by no more than ${lag} ms`;
}

async function hitsUnderRules(
  group: ProcessGroup,
  folder: string,
  servers: Awaited<ReturnType<typeof startServers>>,
  options: Options,
): Promise<WorkloadReport[]> {
  const plain = await startPlatypus(group, folder, servers, { name: "no rules" });
  const others = Array.from({ length: RULES - 1 }, (_, n) => rule(`other${n}`, `other${n}:(.*)`));
  const rest = [...others, rule("bench", "bench:(.*)"), '[source.echo]\ntype = "echo"\n'].join("");
  const tracked = await startPlatypus(group, folder, servers, {
    name: `${RULES} rules, keys tracked`,
    server: "pickup_rate = 1000000",
    rest,
  });
  for (const competitor of [plain, tracked]) await accepting(competitor.name, competitor.host, competitor.port);
  await preload(group, plain);
  await warmUp(group, tracked);
  const reports: WorkloadReport[] = [];
  const scenarios = hits.filter(({ isQuick, connections }) => isQuick && connections === 50);
  const progress = new Progress(scenarios.length * 2 * (options.rounds + 1));
  try {
    for (const hit of scenarios) {
      const scenario: Scenario = { ...hit, goal: 1.05 };
      const measured = await measure(group, scenario, [plain, tracked], options.rounds, options.seconds, progress);
      reports.push(summarize(scenario, measured, plain.name));
    }
  } finally {
    progress.end();
  }
  return reports;
}

function rule(name: string, match: string): string {
  return `[get.${name}]\nmatch = "${match}"\nsource = "echo"\nttl = "1h"\nexpiry = "1h"\n`;
}

/** Asks for the keys, which somebody else stored, until all of them are tracked. */
async function warmUp(group: ProcessGroup, competitor: Competitor): Promise<void> {
  const load = { connections: 50, depth: 16, refill: "whenAllAnswered", operation: "get", keysPerRequest: 1 } as const;
  const generator = await GeneratorProcess.open(group, competitor, load);
  const client = await Client.open(competitor);
  let tracked = 0;
  for (let round = 0; round < WARM_UP_ROUNDS && tracked < keyCount; round++) {
    await generator.run({ seconds: 1 });
    tracked = (await client.stats()).get("tracked") ?? 0;
  }
  client.close();
  await generator.close();
  if (tracked < keyCount * 0.99) throw new BenchError(`only ${tracked} of ${keyCount} keys are tracked`);
}

/** One command at a time. */
class Client {
  private readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  static async open({ host, port }: Competitor): Promise<Client> {
    const socket = connect({ host, port, noDelay: true });
    await once(socket, "connect");
    return new Client(socket);
  }

  async ask(command: string, end: string): Promise<string> {
    this.socket.write(command);
    let text = "";
    while (!text.endsWith(end)) text += String((await once(this.socket, "data"))[0]);
    return text;
  }

  /** The numbers of `stats platypus`. */
  async stats(): Promise<Map<string, number>> {
    const text = await this.ask("stats platypus\r\n", "END\r\n");
    const lines = [...text.matchAll(/^STAT (\S+) (\S+)\r$/gm)];
    return new Map(lines.map(([, name, value]) => [name!, Number(value)]));
  }

  close(): void {
    this.socket.destroy();
  }
}
