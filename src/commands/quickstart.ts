/**
 * The quickstart: its configuration, and a small HTTP server for its `http` source, so that it works without a network.
 * The server's answer changes every second, so that refreshes are visible.
 */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "../config/config.ts";
import { PlatypusError } from "../errors.ts";
import { isExecutable, packagedFile } from "../packaged.ts";
import { isHttpSource } from "../sources/http.ts";

const CONFIG = "config/quickstart.toml";
/** A file that the configuration serves, in a folder next to it. */
const SERVED = "config/quickstart/about.txt";

/** The path of its configuration. An executable file contains it, and writes it to a new temporary folder. */
export async function quickstartFile(): Promise<string> {
  if (!isExecutable) return fileURLToPath(new URL(`../../${CONFIG}`, import.meta.url));
  const folder = await mkdtemp(path.join(tmpdir(), "platypus-quickstart-"));
  for (const name of [CONFIG, SERVED]) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), packagedFile(name));
  }
  return path.join(folder, CONFIG);
}

/** Starts the server on the address of the quickstart's http source. Throws a PlatypusError if the port is in use. */
export async function startOrigin(config: Config): Promise<{ close(): Promise<void> }> {
  const source = config.sources.find(isHttpSource);
  if (source === undefined) throw new PlatypusError("QUICKSTART", "the quickstart has no http source");
  const { hostname, port } = new URL(source.url.replaceAll(/[{}]/g, ""));
  const server = http.createServer((request, response) => {
    const name = decodeURIComponent(request.url ?? "/")
      .split("/")
      .at(-1);
    response.setHeader("content-type", "text/plain");
    response.end(`${name} from the origin at ${new Date().toISOString().slice(11, 19)}`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      const text = `the quickstart's origin cannot listen on ${hostname}:${port}: ${error.message}`;
      reject(
        new PlatypusError("LISTEN", `${text}; stop what is there, or run your own config: platypus --config FILE`),
      );
    });
    server.listen(Number(port), hostname, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
