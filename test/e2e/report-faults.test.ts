/** A proxy none of whose reports can be made: it serves, counts what it could not report, and stops as ever. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const reports = ["async_log", "kept_config", "otlp", "pid_file", "stats_files", "systemd"];

/** What is counted of each report now. */
async function failuresOf(admin: string): Promise<Map<string, number>> {
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  const found = text.matchAll(/^platypus_report_failures_total\{report="(\w+)"\} (\d+)$/gm);
  return new Map([...found].map(([, name, count]) => [name!, Number(count)]));
}

it("Platypus serves while every file, message and export fails", async (test) => {
  const folder = await mkdtemp(path.join(tmpdir(), "platypus-reports-"));
  test.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const here = await MemcachedProcess.start();
  test.onTestFinished(() => here.stop());
  const gone = await MemcachedProcess.start();
  await gone.stop();
  const config = path.join(folder, "mcrouter.json");
  const pools = {
    here: { servers: [`127.0.0.1:${here.port}`] },
    gone: { servers: [`127.0.0.1:${gone.port}`] },
  };
  const prefixes = { "/here/here/": "PoolRoute|here", "/gone/gone/": "PoolRoute|gone" };
  await writeFile(
    config,
    JSON.stringify({ pools, routes: Object.entries(prefixes).map(([alias, route]) => ({ aliases: [alias], route })) }),
  );
  // Below a file there is no folder, whoever asks.
  const inTheWay = path.join(folder, "file");
  await writeFile(inTheWay, "");
  const below = path.join(inTheWay, "below");
  const admin = `127.0.0.1:${await freePort()}`;
  const platypus = PlatypusProcess.run(
    [
      ...["-p", String(await freePort()), "--listen-addresses=127.0.0.1", "-f", config, "-R", "/here/here/"],
      ...["--log-path", "/dev/full", "--pid-file", "/dev/full"],
      ...["--stats-root", below, "--stats-logging-interval", "100"],
      ...["--config-dump-root", below, "--async-dir", below],
    ],
    {
      PLATYPUS_SERVER_ADMIN: admin,
      PLATYPUS_TELEMETRY_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}`,
      PLATYPUS_TELEMETRY_METRICS_INTERVAL: "1s",
      NOTIFY_SOCKET: path.join(folder, "nobody"),
      PATH: "/nonexistent",
    },
  );
  test.onTestFinished(() => platypus.stop());
  await platypus.printed(/listens on/);
  const client = await TextClient.connect(platypus.port);
  test.onTestFinished(() => client.close());

  expect(await client.ask("set k 0 0 1\r\nv", "\r\n")).toBe("STORED\r\n");
  for (let i = 0; i < 3; i++) expect(await client.ask("delete /gone/gone/k", "\r\n")).toBe("NOT_FOUND\r\n");
  await expect
    .poll(async () => [...(await failuresOf(admin))].filter(([, count]) => count > 0).map(([name]) => name), {
      timeout: 20_000,
    })
    .toEqual(reports);
  expect((await failuresOf(admin)).get("async_log")).toBe(3);
  // The log itself is on a full disk: its lines go to stderr, each kind of failure once in a while.
  for (const line of [
    /the log cannot be written to \/dev\/full \(ENOSPC/,
    /asynclog: a delete was not kept: ENOTDIR/,
    /--config-dump-root: the configuration is not kept: ENOTDIR/,
    /telemetry: not sent: .*ECONNREFUSED/,
    /--pid-file: ENOSPC/,
    /stats files are not written: ENOTDIR/,
    /systemd gets no status messages: systemd-notify: there is no such program/,
  ]) {
    expect(platypus.stderr).toMatch(line);
  }
  expect(platypus.stderr.match(/stats files are not written/g)).toHaveLength(1);
  expect(await client.ask("get k", "END\r\n")).toBe("VALUE k 0 1\r\nv\r\nEND\r\n");
  platypus.child.kill("SIGTERM");
  expect(await platypus.exit()).toBe(0);
});
