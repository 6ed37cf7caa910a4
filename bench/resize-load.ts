/**
 * The load of the resize benchmark: gets at a fixed rate, Zipf-distributed over the keys, as an application makes them: a
 * key that is missed is set again. A lost connection is opened again; its requests count as failed.
 */
import { connect, type Socket } from "node:net";
import { ZipfSampler } from "../src/refresh/zipf.ts";

const CONNECTIONS = 20;
const VALUE = "v".repeat(100);
const RECONNECT_MS = 20;
const TICK_MS = 2;

/** Numbers of one slice of time. */
export interface Slice {
  /** From the start (s). */
  readonly second: number;
  gets: number;
  misses: number;
  failures: number;
  /** Latencies from the due time (ms). */
  readonly latencies: number[];
}

interface Sent {
  readonly key: number;
  readonly dueMs: number;
  readonly isGet: boolean;
}

export interface LoadOptions {
  readonly port: number;
  readonly keys: number;
  readonly ratePerSecond: number;
  readonly seconds: number;
  /** Length of a slice (s). */
  readonly sliceSeconds: number;
}

/** Stores each key once. */
export async function preload({ port, keys }: Pick<LoadOptions, "port" | "keys">): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port });
  let stored = 0;
  const done = new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", (chunk) => {
      for (const byte of chunk) if (byte === 10) stored++;
      if (stored === keys) resolve();
    });
  });
  for (let key = 0; key < keys; key++) socket.write(setOf(key));
  await done;
  socket.destroy();
}

/** Runs the load. Calls `at` with the seconds that have passed, several times a second. */
export async function runLoad(options: LoadOptions, at: (second: number) => void): Promise<readonly Slice[]> {
  const { port, keys, ratePerSecond, seconds, sliceSeconds } = options;
  const slices = Array.from({ length: Math.ceil(seconds / sliceSeconds) }, (_, i): Slice => {
    return { second: i * sliceSeconds, gets: 0, misses: 0, failures: 0, latencies: [] };
  });
  const startMs = performance.now();
  const sliceOf = (dueMs: number) => slices[Math.floor((dueMs - startMs) / 1000 / sliceSeconds)]!;
  const onAnswer = ({ key, dueMs, isGet }: Sent, outcome: "hit" | "miss" | "failed", via: Connection) => {
    if (!isGet) return;
    const slice = sliceOf(dueMs);
    slice.latencies.push(performance.now() - dueMs);
    if (outcome === "failed") slice.failures++;
    if (outcome === "miss") {
      slice.misses++;
      via.send({ key, dueMs, isGet: false });
    }
  };
  const connections = Array.from({ length: CONNECTIONS }, () => new Connection(port, onAnswer));
  const sampler = new ZipfSampler(keys, 1, Math.random);
  const total = ratePerSecond * seconds;
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - startMs) / 1000) * ratePerSecond));
    for (; sent < due; sent++) {
      const dueMs = startMs + (sent / ratePerSecond) * 1000;
      sliceOf(dueMs).gets++;
      connections[sent % CONNECTIONS]!.send({ key: sampler.next(), dueMs, isGet: true });
    }
    at((performance.now() - startMs) / 1000);
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (const connection of connections) connection.close();
  return slices;
}

function setOf(key: number): string {
  return `set resize:${key} 0 0 ${VALUE.length}\r\n${VALUE}\r\n`;
}

class Connection {
  private readonly port: number;
  private readonly onAnswer: (sent: Sent, outcome: "hit" | "miss" | "failed", via: Connection) => void;
  private socket: Socket | null = null;
  private isOpen = false;
  private isClosed = false;
  private waiting: Sent[] = [];
  private text = "";

  constructor(port: number, onAnswer: Connection["onAnswer"]) {
    this.port = port;
    this.onAnswer = onAnswer;
    this.open();
  }

  send(sent: Sent): void {
    if (!this.isOpen) {
      this.onAnswer(sent, "failed", this);
      return;
    }
    this.waiting.push(sent);
    this.socket!.write(sent.isGet ? `get resize:${sent.key}\r\n` : setOf(sent.key));
  }

  close(): void {
    this.isClosed = true;
    this.socket?.destroy();
  }

  private open(): void {
    const socket = connect({ host: "127.0.0.1", port: this.port, noDelay: true });
    this.socket = socket;
    // Requests before the first connection wait in the socket.
    this.isOpen = true;
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => this.read(chunk));
    socket.on("error", () => {});
    socket.once("close", () => {
      this.isOpen = false;
      this.text = "";
      for (const sent of this.waiting.splice(0)) this.onAnswer(sent, "failed", this);
      if (!this.isClosed) setTimeout(() => this.open(), RECONNECT_MS);
    });
  }

  private read(chunk: string): void {
    this.text += chunk;
    let at = 0;
    for (let sent = this.waiting[0]; sent !== undefined; sent = this.waiting[0]) {
      const isHit = sent.isGet && this.text.startsWith("VALUE ", at);
      const end = this.text.indexOf(isHit ? "\r\nEND\r\n" : "\r\n", at);
      if (end < 0) break;
      const isError = this.text.startsWith("SERVER_ERROR", at);
      at = end + (isHit ? 7 : 2);
      this.waiting.shift();
      this.onAnswer(sent, isHit ? "hit" : isError ? "failed" : "miss", this);
    }
    this.text = this.text.slice(at);
  }
}
