/**
 * The load generator, a separate process: `node bench/load-generator.ts JOB`, where JOB is a Job as JSON. It opens all
 * connections first, then does one run for each "run" message, and ends when its parent disconnects. The first wrong,
 * missing or surplus byte ends it with a "failed" message.
 */

import type { GeneratorMessage, Job, JobResult, Limit, RunMessage } from "./job.ts";
import { LatencyHistogram } from "./latency.ts";
import { LoadConnection, type LoadRun } from "./load-connection.ts";
import { buildTape } from "./tape.ts";

/** Number of connections that are opened at a time, well below the listen backlog of all competitors. */
const connectBatch = 100;
/** Maximum time for replies that are in flight when a run ends (ms). */
const drainMs = 5000;
/** Maximum time of a run, whatever its limit. */
const longestRunMs = 120_000;

function send(message: GeneratorMessage): void {
  process.send?.(message);
}

function fail(error: Error): void {
  process.exitCode = 1;
  const message: GeneratorMessage = { kind: "failed", message: error.message };
  if (process.send === undefined || !process.connected) process.exit();
  else process.send(message, () => process.exit());
}

async function openConnections(job: Job): Promise<LoadConnection[]> {
  const tape = buildTape(job);
  const connections: LoadConnection[] = [];
  while (connections.length < job.connections) {
    const batch = Math.min(connectBatch, job.connections - connections.length);
    await new Promise<void>((resolve) => {
      let opening = batch;
      const onReady = () => {
        opening -= 1;
        if (opening === 0) resolve();
      };
      for (let i = 0; i < batch; i++) {
        const first = Math.floor((connections.length * tape.replyEnds.length) / job.connections);
        connections.push(new LoadConnection(job, tape, first, onReady, fail));
      }
    });
  }
  return connections;
}

async function run(connections: readonly LoadConnection[], limit: Limit): Promise<JobResult> {
  const latency = new LatencyHistogram();
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  const load = await new Promise<LoadRun>((resolve) => {
    const load: LoadRun = {
      unsent: "requests" in limit ? limit.requests : Number.MAX_SAFE_INTEGER,
      inFlight: 0,
      completed: 0,
      latency,
      onDrained: () => {
        clearTimeout(stop);
        clearTimeout(giveUp);
        resolve(load);
      },
    };
    const runMs = "seconds" in limit ? limit.seconds * 1000 : longestRunMs;
    const stop = setTimeout(() => {
      load.unsent = 0;
    }, runMs);
    const giveUp = setTimeout(() => {
      fail(new Error(`${load.inFlight} replies are missing ${drainMs / 1000} s after the last request`));
    }, runMs + drainMs);
    if (job!.rate === null) for (const connection of connections) connection.begin(load);
    else offer(load, connections, job!.rate);
  });
  const cpu = process.cpuUsage(startCpu);
  return {
    requests: load.completed,
    seconds: (performance.now() - startMs) / 1000,
    generatorCpuSeconds: (cpu.user + cpu.system) / 1e6,
    p50Micros: latency.percentileMicros(0.5),
    p99Micros: latency.percentileMicros(0.99),
    p999Micros: latency.percentileMicros(0.999),
  };
}

/**
 * Sends each request at its due time, independently of replies. Late requests are sent immediately; their latency
 * counts from the due time.
 */
function offer(load: LoadRun, connections: readonly LoadConnection[], rate: number): void {
  const startMs = performance.now();
  let sent = 0;
  const tick = () => {
    if (load.unsent === 0) {
      if (load.inFlight === 0) load.onDrained();
      return;
    }
    const due = Math.floor(((performance.now() - startMs) / 1000) * rate);
    for (; sent < due; sent++) connections[sent % connections.length]!.sendDue(load, startMs + (sent * 1000) / rate);
    setImmediate(tick);
  };
  tick();
}

const job = JSON.parse(process.argv[2] ?? "null") as Job | null; // written by generator-process.ts
if (job === null) {
  console.error("usage: node bench/load-generator.ts JOB, as `npm run bench` starts it");
  process.exit(1);
}
process.once("disconnect", () => process.exit());
const connections = await openConnections(job);
process.on("message", (message: RunMessage) => {
  run(connections, message.limit).then((result) => send({ kind: "result", result }), fail);
});
send({ kind: "ready" });
