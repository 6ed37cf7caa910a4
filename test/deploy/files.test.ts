/** The files of deploy/: they parse, agree with one another, and their configurations load. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Config } from "../../src/config/config.ts";
import { loadConfig } from "../../src/server/load-config.ts";
import { Platypus } from "../../src/server/platypus.ts";
import { packageVersion } from "../../src/version.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { freePort } from "../support/servers/memcached-process.ts";

const DEPLOY = fileURLToPath(new URL("../../deploy", import.meta.url));
const scratch = mkdtempSync(path.join(tmpdir(), "platypus-deploy-"));
afterAll(() => rm(scratch, { recursive: true }));

const text = (file: string) => readFileSync(path.join(DEPLOY, file), "utf8");
const load = (file: string) => loadConfig({ path: file, env: {} });
const portOf = (address: { type: string } | undefined) => (address as { port?: number } | undefined)?.port;

interface Container {
  readonly args: string[];
  readonly ports: { name: string; containerPort: number }[];
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly lifecycle: { preStop: { exec: { command: string[] } } };
  readonly volumeMounts: { name: string; mountPath: string }[];
}

interface Probe {
  readonly httpGet: { path: string; port: string };
}

describe("the Kubernetes manifests", () => {
  const files = readdirSync(path.join(DEPLOY, "kubernetes"));
  const all = files.map((file) => parse(text(`kubernetes/${file}`), { strict: true }));
  const one = (kind: string, name = "platypus") => {
    return all.find((each) => each.kind === kind && each.metadata.name === name);
  };
  const pod = one("Deployment").spec.template;
  const container: Container = pod.spec.containers[0];

  async function config(): Promise<Config> {
    const { data } = one("ConfigMap");
    const [name] = Object.keys(data);
    writeFileSync(path.join(scratch, name!), data[name!]);
    expect(container.args).toEqual(["--config", path.join(container.volumeMounts[0]!.mountPath, name!)]);
    return load(path.join(scratch, name!));
  }

  it("have one object of each kind, and labels that select the pods", () => {
    expect(all.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort()).toEqual([
      "ConfigMap platypus",
      "Deployment platypus",
      "PodDisruptionBudget platypus",
      "Service memcached",
      "Service platypus",
      "StatefulSet memcached",
    ]);
    const { labels } = pod.metadata;
    expect(one("Deployment").spec.selector.matchLabels).toEqual(labels);
    expect(one("PodDisruptionBudget").spec.selector.matchLabels).toEqual(labels);
    expect(one("Service").spec.selector).toEqual(labels);
    expect(pod.spec.volumes[0].configMap.name).toBe(one("ConfigMap").metadata.name);
  });

  it("probe the configured admin server at existing paths, and expose the listening port", async () => {
    const { server } = await config();
    const ports = new Map(container.ports.map(({ name, containerPort }) => [name, containerPort]));
    expect(container.readinessProbe.httpGet).toEqual({ path: "/readyz", port: "admin" });
    expect(container.livenessProbe.httpGet).toEqual({ path: "/healthz", port: "admin" });
    expect(ports.get("admin")).toBe(portOf(server.admin?.address));
    expect(pod.metadata.annotations["prometheus.io/port"]).toBe(String(ports.get("admin")));
    const [{ targetPort }] = one("Service").spec.ports;
    expect(ports.get(targetPort)).toBe(portOf(server.listen[0]));
  });

  it("let Platypus follow the pods of the StatefulSet by the SRV records of its headless Service", async () => {
    const { pools } = await config();
    const service = one("Service", "memcached");
    const servers = one("StatefulSet", "memcached");
    const [{ name, targetPort }] = service.spec.ports;
    expect(pools[0]!.discovery).toMatchObject({
      type: "srv",
      name: `_${name}._tcp.${service.metadata.name}.default.svc.cluster.local`,
    });
    expect(service.spec.clusterIP).toBe("None");
    expect(servers.spec.serviceName).toBe(service.metadata.name);
    expect(servers.spec.selector.matchLabels).toEqual(service.spec.selector);
    const { terminationGracePeriodSeconds, containers } = servers.spec.template.spec;
    expect(containers[0].ports.map((port: { name: string }) => port.name)).toContain(targetPort);
    const [, seconds] = containers[0].lifecycle.preStop.exec.command;
    expect(Number(seconds) * 1000).toBe(pools[0]!.handoffMs);
    expect(terminationGracePeriodSeconds).toBeGreaterThan(Number(seconds));
  });

  it("allow the time to drain", async () => {
    const { server } = await config();
    const [, seconds] = container.lifecycle.preStop.exec.command;
    expect(pod.spec.terminationGracePeriodSeconds * 1000).toBeGreaterThan(
      Number(seconds) * 1000 + server.drainTimeoutMs,
    );
  });
});

describe("the Docker image", () => {
  const compose = parse(text("docker/compose.yaml"), { strict: true, merge: true });
  const dockerfile = text("docker/Dockerfile");

  it("has a compose.yaml whose configuration loads, and names its servers and ports", async () => {
    const { server, pools } = await load(path.join(DEPLOY, "docker/config/platypus.toml"));
    const names = Object.keys(compose.services).filter((name) => name !== "platypus");
    expect(pools[0]!.servers.map(({ address }) => (address as { host: string }).host)).toEqual(names);
    const inside = compose.services.platypus.ports.map((port: string) => Number(port.split(":").at(-1)));
    expect(inside).toEqual([portOf(server.listen[0]), portOf(server.admin?.address)]);
    expect(/EXPOSE (.*)/.exec(dockerfile)![1]).toBe(inside.join(" "));
    expect(Number.parseInt(compose.services.platypus.stop_grace_period, 10) * 1000).toBeGreaterThan(
      server.drainTimeoutMs,
    );
  });

  it("is built under the name that compose.yaml and the Kubernetes manifests use", () => {
    const [, name] = / -t (\S+) /.exec(dockerfile)!;
    expect(name).toBe(`platypus:${packageVersion}`);
    expect(compose.services.platypus.image).toBe(name);
    expect(text("kubernetes/deployment.yaml")).toContain(`image: ${name}\n`);
    expect(readFileSync(path.join(DEPLOY, "../docs/deployment.md"), "utf8")).toContain(` -t ${name} .`);
  });

  it("copies only files that are not ignored", () => {
    const kept = text("docker/Dockerfile.dockerignore")
      .split("\n")
      .flatMap((line) => (line.startsWith("!") ? [line.slice(1)] : []));
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, names]) => names!.split(" "));
    expect([...kept].sort()).toEqual([...copied].sort());
  });

  it("has a health check that detects whether Platypus is running", async () => {
    const [, json] = /HEALTHCHECK[^[]*(\[.*\])/.exec(dockerfile)!;
    const run = (port: number) => {
      const [, ...args] = JSON.parse(json!.replace("11280", String(port))) as string[];
      return new Promise<number>((resolve) => {
        execFile(process.execPath, args, (error) => resolve(error === null ? 0 : Number(error.code)));
      });
    };
    const config = nativeConfig(`[server]\nadmin = "127.0.0.1:0"\n`);
    const platypus = await Platypus.start(config, { log: new KeptLog().log });
    expect(await run(portOf(platypus.adminAddress!)!)).toBe(0);
    await platypus.close();
    expect(await run(await freePort())).toBe(1);
  });
});

describe("the systemd unit", () => {
  const unit = text("systemd/platypus.service");
  const settings = new Map([...unit.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!] as const));
  const ANALYZE = "systemd-analyze";

  it("accepts notifications from children, permits the JIT compiler, and allows the time to drain", () => {
    expect([settings.get("Type"), settings.get("NotifyAccess")]).toEqual(["notify", "all"]);
    expect(settings.has("MemoryDenyWriteExecute")).toBe(false);
    expect(Number(settings.get("TimeoutStopSec")) * 1000).toBeGreaterThan(nativeConfig("").server.drainTimeoutMs);
    // A second SIGTERM would have the workers stop at once.
    expect(settings.get("KillMode")).toBe("mixed");
  });

  it.skipIf(spawnSync(ANALYZE, ["--version"]).status !== 0)("finds nothing wrong with the units", () => {
    // The program of this machine, so that all else is looked at.
    const copy = path.join(scratch, "platypus.service");
    writeFileSync(copy, unit.replace(/^ExecStart=.*$/m, "ExecStart=/bin/true"));
    const socket = path.join(scratch, "platypus.socket");
    writeFileSync(socket, text("systemd/platypus.socket"));
    const { stdout, stderr } = spawnSync(ANALYZE, ["verify", "--man=no", copy, socket], { encoding: "utf8" });
    const ours = `${stdout}${stderr}`.split("\n").filter((line) => line.includes("platypus."));
    expect(ours).toEqual([]);
  });
});
