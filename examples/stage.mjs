// What the examples share: servers on free ports of this machine, and their end.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const children = new Set();

process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));

export function say(text) {
  console.log(text);
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts a program and resolves when something listens on `port`. */
async function start(command, args, port, env = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...env } });
  children.add(child);
  child.once("exit", () => children.delete(child));
  for (let i = 0; !(await answers(port)); i++) {
    if (child.exitCode !== null || i > 200) throw new Error(`${command} does not listen on port ${port}`);
    await sleep(50);
  }
  return { port, stop: () => stop(child) };
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true) ?? socket.destroy());
    socket.once("error", () => resolve(false));
  });
}

export async function startMemcached() {
  const port = await freePort();
  const user = process.getuid?.() === 0 ? ["-u", "root"] : [];
  return start("/usr/bin/memcached", [...user, "-l", "127.0.0.1", "-p", String(port), "-U", "0"], port);
}

/** Platypus with a configuration file; `env` has settings of this run, such as ports. */
export async function startPlatypus(file, env = {}) {
  const port = await freePort();
  const own = {
    PLATYPUS_SERVER_LISTEN: `127.0.0.1:${port}`,
    PLATYPUS_SERVER_ADMIN: "off",
    PLATYPUS_SERVER_LOG_LEVEL: "error",
  };
  return start(process.execPath, [MAIN, "--config", fileURLToPath(file)], port, { ...own, ...env });
}

export function startProgram(command, args, port) {
  return start(command, args, port);
}

/** An HTTP origin. `answer(path)` returns the body, or `null` for a 404. It records requests, and can stop and start again. */
export async function startOrigin(answer) {
  const origin = { port: await freePort(), requests: [], stop, start: listen };
  let server = null;
  async function listen() {
    server = createHttpServer(async ({ url }, response) => {
      origin.requests.push(url);
      const body = await answer(url);
      response.writeHead(body === null ? 404 : 200).end(body ?? "");
    }).listen(origin.port, "127.0.0.1");
    await once(server, "listening");
  }
  async function stop() {
    if (server === null) return;
    server.closeAllConnections();
    server.close();
    await once(server, "close");
    server = null;
  }
  await listen();
  return origin;
}

/** The value of a key, as a memcached client reads it. `null` on a miss. */
export async function get(port, key) {
  const socket = connect(port, "127.0.0.1");
  socket.write(`get ${key}\r\n`);
  let answer = "";
  for await (const bytes of socket) {
    answer += bytes;
    if (answer.endsWith("END\r\n")) break;
  }
  return /^VALUE \S+ \d+ \d+\r\n([\s\S]*)\r\nEND\r\n$/.exec(answer)?.[1] ?? null;
}

/** Ends the example with an error if something is not as it says. */
export function expect(isSo, what) {
  if (isSo) return;
  console.error(`not as expected: ${what}`);
  process.exit(1);
}
