/**
 * What adding and removing a server costs: 3 → 4 → 3 memcached servers under gets at a fixed rate. Platypus with and without
 * a handoff reloads its configuration; twemproxy has to be restarted.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { accepting, BenchError, findProgram, freePorts, type ProcessGroup } from "./process-group.ts";
import { preload, runLoad, type Slice } from "./resize-load.ts";

const KEYS = 100_000;
const RATE = 10_000;
const SLICE_SECONDS = 0.25;
/** When a server is added, when it is removed again, and the end. */
const ADD = 5;
const REMOVE = 15;
const END = 25;
const host = "127.0.0.1";
const platypus = resolve(import.meta.dirname, "../src/main.ts");

/** A proxy whose list of servers can be changed. */
interface Resizable {
  readonly name: string;
  start(servers: readonly number[]): Promise<number>;
  resize(servers: readonly number[]): void;
  stop(): Promise<void>;
}

interface Measured {
  readonly name: string;
  readonly slices: readonly Slice[];
}

/** Measures all proxies. Returns the table, the plot as text, and the path of the plot as SVG. */
export async function measureResize(group: ProcessGroup, folder: string): Promise<string> {
  const measured: Measured[] = [];
  const nutcracker = findProgram("nutcracker");
  const proxies = [
    platypusProxy(group, folder, "platypus, handoff", 'handoff = "5m"'),
    platypusProxy(group, folder, "platypus, plain reload", ""),
    ...(nutcracker === null ? [] : [twemproxy(group, folder, nutcracker)]),
  ];
  for (const proxy of proxies) {
    console.error(`resize: ${proxy.name}`);
    measured.push({ name: proxy.name, slices: await measureOne(group, proxy) });
  }
  const results = join(import.meta.dirname, "results");
  mkdirSync(results, { recursive: true });
  const file = join(results, `${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}-resize.svg`);
  writeFileSync(file, svgOf(measured));
  return `${tableOf(measured)}\n\n${measured.map(textPlot).join("\n\n")}\n\nplot: ${file}`;
}

async function measureOne(group: ProcessGroup, proxy: Resizable): Promise<readonly Slice[]> {
  const memcached = findProgram("memcached");
  if (memcached === null) throw new BenchError("memcached is not installed: apt-get install memcached");
  const ports = await freePorts(4);
  const asRoot = process.getuid?.() === 0 ? ["-u", "root"] : [];
  const pids = ports.map((port) =>
    group.start("memcached", memcached, [...asRoot, "-t", "1", "-m", "256", "-l", host, "-p", String(port), "-U", "0"]),
  );
  await Promise.all(ports.map((port) => accepting("memcached", host, port)));
  const port = await proxy.start(ports.slice(0, 3));
  await accepting(proxy.name, host, port);
  await preload({ port, keys: KEYS });
  let count = 3;
  const become = (next: number) => {
    if (count === next) return;
    count = next;
    proxy.resize(ports.slice(0, next));
  };
  const load = { port, keys: KEYS, ratePerSecond: RATE, seconds: END, sliceSeconds: SLICE_SECONDS };
  const slices = await runLoad(load, (second) => become(second >= ADD && second < REMOVE ? 4 : 3));
  await proxy.stop();
  await Promise.all(pids.map((pid) => group.stopPid(pid)));
  return slices;
}

function platypusProxy(group: ProcessGroup, folder: string, name: string, settings: string): Resizable {
  const file = join(folder, `${name.replaceAll(/\W+/g, "-")}.toml`);
  let pid = 0;
  let port = 0;
  const write = (servers: readonly number[]) => {
    const list = JSON.stringify(servers.map((each) => `${host}:${each}`));
    writeFileSync(
      file,
      `[server]\nlisten = "${host}:${port}"\nadmin = "off"\n[target]\nservers = ${list}\n${settings}\n`,
    );
  };
  return {
    name,
    async start(servers) {
      [port] = (await freePorts(1)) as [number];
      write(servers);
      pid = group.start(name, process.execPath, [platypus, "--config", file]);
      return port;
    },
    resize(servers) {
      write(servers);
      process.kill(pid, "SIGHUP");
    },
    stop: () => group.stopPid(pid),
  };
}

function twemproxy(group: ProcessGroup, folder: string, program: string): Resizable {
  const file = join(folder, "resize.yml");
  let pid = 0;
  let port = 0;
  let statsPort = 0;
  const start = (servers: readonly number[]) => {
    const list = servers.map((each) => `    - ${host}:${each}:1`).join("\n");
    const pool = `  listen: ${host}:${port}\n  hash: md5\n  distribution: ketama\n  auto_eject_hosts: false`;
    writeFileSync(file, `bench:\n${pool}\n  servers:\n${list}\n`);
    pid = group.start("twemproxy", program, ["-v", "0", "-a", host, "-s", String(statsPort), "-c", file]);
  };
  return {
    name: "twemproxy, restart",
    async start(servers) {
      [port, statsPort] = (await freePorts(2)) as [number, number];
      start(servers);
      return port;
    },
    resize(servers) {
      void group.stopPid(pid).then(() => start(servers));
    },
    stop: () => group.stopPid(pid),
  };
}

interface Phase {
  readonly missShare: number;
  readonly misses: number;
  readonly failures: number;
  readonly p50: number;
  readonly p99: number;
}

function phaseOf(slices: readonly Slice[], from: number, to: number): Phase {
  const own = slices.filter(({ second }) => second >= from && second < to);
  const sum = (field: "gets" | "misses" | "failures") => own.reduce((total, slice) => total + slice[field], 0);
  const latencies = own.flatMap(({ latencies: each }) => each).sort((a, b) => a - b);
  const quantile = (share: number) => latencies[Math.floor(latencies.length * share)] ?? 0;
  const misses = sum("misses");
  return {
    missShare: misses / sum("gets"),
    misses,
    failures: sum("failures"),
    p50: quantile(0.5),
    p99: quantile(0.99),
  };
}

function tableOf(measured: readonly Measured[]): string {
  const phases: readonly (readonly [title: string, from: number, to: number])[] = [
    ["3 servers", 1, ADD],
    ["added: first 2 s", ADD, ADD + 2],
    ["4 servers", ADD, REMOVE],
    ["removed: first 2 s", REMOVE, REMOVE + 2],
    ["3 servers", REMOVE, END],
  ];
  const rows = measured.flatMap(({ name, slices }) =>
    phases.map(([title, from, to]) => {
      const { missShare, misses, failures, p50, p99 } = phaseOf(slices, from, to);
      return [
        name,
        title,
        `${(missShare * 100).toFixed(2)} %`,
        String(misses),
        String(failures),
        `${p50.toFixed(1)} ms`,
        `${p99.toFixed(1)} ms`,
      ];
    }),
  );
  const all = [["proxy", "phase", "missed", "misses", "failed", "p50", "p99"], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map((row) => row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "))
    .join("\n");
}

/** Misses and failures per slice, as a line of blocks for each tenth. */
function textPlot({ name, slices }: Measured): string {
  const blocks = " ▁▂▃▄▅▆▇█";
  const shares = slices.map(({ gets, misses, failures }) => (misses + failures) / Math.max(1, gets));
  const most = 0.3;
  const line = shares.map((share) => blocks[Math.min(8, Math.ceil((share / most) * 8))]).join("");
  const at = (second: number) => Math.round(second / SLICE_SECONDS);
  const marks = `${" ".repeat(at(ADD))}▲ 4 servers${" ".repeat(at(REMOVE) - at(ADD) - 11)}▲ 3 servers`;
  return `${name}: misses and failures, a full block is 30 % and more\n${line}\n${marks}`;
}

const COLORS = ["#1f6feb", "#bf8700", "#6e7781"];

/** Misses and failures over time. */
function svgOf(measured: readonly Measured[]): string {
  const [left, right, top, bottom, width] = [60, 720, 40, 330, 900];
  const text = 'font-family="system-ui, sans-serif" font-size="12" fill="#24292f"';
  const x = (second: number) => left + (second / END) * (right - left);
  const shareOf = ({ gets, misses, failures }: Slice) => (misses + failures) / Math.max(1, gets);
  const most = Math.max(0.3, ...measured.flatMap(({ slices }) => slices.map(shareOf)));
  const y = (share: number) => bottom - (share / most) * (bottom - top);
  const lines = measured.map(({ name, slices }, i) => {
    const path = slices.map((slice) => `${x(slice.second).toFixed(1)} ${y(shareOf(slice)).toFixed(1)}`).join("L");
    const label = `<text x="${right + 24}" y="${top + 20 * i + 4}" ${text}>${name}</text>`;
    const key = `<rect x="${right + 10}" y="${top + 20 * i - 5}" width="8" height="8" fill="${COLORS[i]}"/>`;
    return `<path d="M${path}" fill="none" stroke="${COLORS[i]}" stroke-width="2"/>${key}${label}`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const share = part * most;
    return `<path d="M${left} ${y(share)}H${right}" stroke="#d0d7de"/><text x="${left - 8}" y="${y(share) + 4}" text-anchor="end" ${text}>${(share * 100).toFixed(0)} %</text>`;
  });
  const marks = [
    [ADD, "4 servers"],
    [REMOVE, "3 servers"],
  ].map(([second, label]) => {
    const at = x(Number(second));
    return `<path d="M${at} ${top}V${bottom}" stroke="#24292f" stroke-dasharray="4 3"/><text x="${at + 4}" y="${top - 6}" ${text}>${label}</text>`;
  });
  const foot = `<text x="${left}" y="${bottom + 24}" ${text}>${END} s; ${RATE.toLocaleString("en")} gets a second, Zipf 1.0 over ${KEYS.toLocaleString("en")} keys</text>`;
  const title = `<text x="8" y="18" ${text}>Gets that were missed or failed</text>`;
  const body = [title, ...ticks, ...marks, ...lines, foot].join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} 370"><title>Gets that were missed or failed while a server is added and removed</title>${body}</svg>\n`;
}
