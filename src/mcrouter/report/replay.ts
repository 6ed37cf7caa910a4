/**
 * Async logs → deletes. Each line of each file below a folder is tried once. A file whose deletes all succeeded is
 * removed; another file keeps the lines that failed.
 *
 * Source: mcrouter AsyncLog.cpp, as facts: AS1.0 lines name host, port and command; AS2.0 lines host and key.
 */
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";

const TIMEOUT_MS = 2_000;
/** Maximum number of deletes in flight to a server. */
const BATCH = 500;

/** A delete from the log. */
export interface LoggedDelete {
  readonly host: string;
  readonly port: number;
  /** One character per byte. */
  readonly key: string;
}

/** Result of a replay. */
export interface ReplayResult {
  readonly files: number;
  readonly done: number;
  /** Lines that failed. They stay in the file. */
  readonly left: number;
  /** Lines that are not deletes. They stay in the file. */
  readonly unreadable: number;
}

/** Parses one line. `null` if the line is not a delete. */
export function parseLogLine(line: string): LoggedDelete | null {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return null;
  }
  if (!Array.isArray(entry) || entry[2] !== "C") return null;
  const [magic, , , what] = entry;
  if (magic === "AS1.0" && Array.isArray(what)) {
    const [host, port, command] = what;
    const key = typeof command === "string" ? /^delete (\S+)\r\n$/.exec(command)?.[1] : undefined;
    return typeof host === "string" && typeof port === "number" && key !== undefined ? { host, port, key } : null;
  }
  if (magic === "AS2.0" && typeof what === "object" && what !== null) {
    const { h, k } = what as { h?: unknown; k?: unknown };
    const [, host, port] = typeof h === "string" ? (/^\[?(.*?)\]?:(\d+)$/.exec(h) ?? []) : [];
    if (host === undefined || typeof k !== "string" || /\s/.test(k)) return null;
    return { host, port: Number(port), key: k };
  }
  return null;
}

/** Replays all files below `root`. Calls `progress` after each file. Rejects if the folder cannot be read. */
export async function replayAsyncLogs(
  root: string,
  isDryRun: boolean,
  progress: (result: ReplayResult) => void,
): Promise<ReplayResult> {
  const result = { files: 0, done: 0, left: 0, unreadable: 0 };
  const names = await readdir(root, { recursive: true, withFileTypes: true });
  for (const entry of names.filter((each) => each.isFile()).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    await replayFile(path.join(entry.parentPath, entry.name), isDryRun, result);
    progress(result);
  }
  return result;
}

async function replayFile(
  file: string,
  isDryRun: boolean,
  result: { files: number; done: number; left: number; unreadable: number },
): Promise<void> {
  const lines = (await readFile(file, "latin1")).split("\n").filter((line) => line !== "");
  const parsed = lines.map((line) => ({ line, entry: parseLogLine(line) }));
  result.files++;
  result.unreadable += parsed.filter(({ entry }) => entry === null).length;
  const kept = parsed.filter(({ entry }) => entry === null).map(({ line }) => line);
  const byServer = new Map<string, { line: string; entry: LoggedDelete }[]>();
  for (const { line, entry } of parsed) {
    if (entry === null) continue;
    const server = `${entry.host} ${entry.port}`;
    byServer.set(server, [...(byServer.get(server) ?? []), { line, entry }]);
  }
  for (const deletes of byServer.values()) {
    const done = isDryRun ? 0 : await deleteAll(deletes.map(({ entry }) => entry));
    result.done += done;
    result.left += deletes.length - done;
    kept.push(...deletes.slice(done).map(({ line }) => line));
  }
  if (isDryRun || kept.length === lines.length) return;
  if (kept.length === 0) {
    await rm(file);
    return;
  }
  await writeFile(`${file}.tmp`, `${kept.join("\n")}\n`, "latin1");
  await rename(`${file}.tmp`, file);
}

/**
 * Deletes keys on one server, in order. Resolves with the number of deletes, from the first, that the server confirmed.
 */
function deleteAll(deletes: readonly LoggedDelete[]): Promise<number> {
  const [{ host, port }] = deletes as [LoggedDelete];
  return new Promise((resolve) => {
    let asked = 0;
    let done = 0;
    let rest = "";
    const socket = host.startsWith("unix:")
      ? net.connect({ path: host.slice("unix:".length) })
      : net.connect({ host, port });
    const finish = () => {
      socket.destroy();
      resolve(done);
    };
    const ask = () => {
      const batch = deletes.slice(asked, asked + BATCH);
      asked += batch.length;
      socket.write(batch.map(({ key }) => `delete ${key}\r\n`).join(""), "latin1");
    };
    socket.setTimeout(TIMEOUT_MS, finish);
    socket.on("error", finish);
    socket.on("close", finish);
    socket.on("connect", ask);
    socket.on("data", (chunk) => {
      rest += chunk.toString("latin1");
      for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        // With any other reply, the server has not deleted the item.
        if (line !== "DELETED" && line !== "NOT_FOUND") {
          finish();
          return;
        }
        done++;
      }
      if (done === deletes.length) finish();
      else if (done === asked) ask();
    });
  });
}
