/** Each place of a list, asked over the network. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AddressDiscoverer, SrvDiscoverer } from "../../src/discovery/dns.ts";
import { ElastiCacheDiscoverer, readCluster } from "../../src/discovery/elasticache.ts";
import { FileDiscoverer } from "../../src/discovery/file.ts";
import { serverText } from "../../src/discovery/server-list.ts";
import { ClusterEndpoint } from "../support/servers/cluster-endpoint.ts";
import { DnsServer } from "../support/servers/dns-server.ts";

const texts = ({ servers }: { readonly servers: readonly Parameters<typeof serverText>[0][] }) =>
  servers.map(serverText);

describe("DNS discovery", () => {
  let dns: DnsServer;
  beforeEach(async () => {
    dns = await DnsServer.start();
  });
  afterEach(() => dns.stop());

  it("has a server for each SRV record of the lowest priority, by host name, with its port and weight", async () => {
    dns.records.set("_memcache._tcp.cache.test", {
      srv: [
        { name: "pod-10.cache.test", port: 11_211, weight: 3 },
        { name: "POD-2.cache.test.", port: 11_212, weight: 1 },
        { name: "spare.cache.test", port: 11_211, weight: 9, priority: 5 },
      ],
    });
    const found = await new SrvDiscoverer("_memcache._tcp.cache.test", dns.address).look();
    expect(texts(found)).toEqual(["pod-2.cache.test:11212", "pod-10.cache.test:11211 3"]);
  });

  it("gives servers of equal SRV weights the weight 1, so that a change of all weights moves no keys", async () => {
    const record = (weight: number) => ["a", "b"].map((name) => ({ name, port: 1, weight }));
    dns.records.set("s", { srv: record(33) });
    const discoverer = new SrvDiscoverer("s", dns.address);
    expect(texts(await discoverer.look())).toEqual(["a:1", "b:1"]);
    dns.records.set("s", { srv: record(25) });
    expect(texts(await discoverer.look())).toEqual(["a:1", "b:1"]);
  });

  it("has a server for each IPv4 address of a name, sorted", async () => {
    dns.records.set("cache.test", { a: ["10.0.0.10", "10.0.0.9"], aaaa: ["fd00::1"] });
    const found = await new AddressDiscoverer("cache.test", 11_211, dns.address).look();
    expect(texts(found)).toEqual(["10.0.0.9:11211", "10.0.0.10:11211"]);
  });

  it("has a server for each IPv6 address of a name without IPv4 addresses", async () => {
    dns.records.set("cache.test", { aaaa: ["fd00::2", "fd00::1"] });
    const found = await new AddressDiscoverer("cache.test", 11_211, dns.address).look();
    expect(texts(found)).toEqual(["[fd00::1]:11211", "[fd00::2]:11211"]);
  });

  it("fails for a name that does not exist, and for a DNS server that fails", async () => {
    await expect(new AddressDiscoverer("none.test", 1, dns.address).look()).rejects.toThrow("ENOTFOUND");
    await expect(new SrvDiscoverer("none.test", dns.address).look()).rejects.toThrow("ENOTFOUND");
    dns.failing.add("cache.test");
    await expect(new AddressDiscoverer("cache.test", 1, dns.address).look()).rejects.toThrow("ESERVFAIL");
  });

  it("fails if the query for addresses fails that were there before", async () => {
    dns.records.set("cache.test", { a: ["10.0.0.1"], aaaa: ["fd00::1"] });
    const discoverer = new AddressDiscoverer("cache.test", 1, dns.address);
    await discoverer.look();
    dns.failing.add("cache.test");
    await expect(discoverer.look()).rejects.toThrow("ESERVFAIL");
  });
});

describe("ElastiCache discovery", () => {
  let endpoint: ClusterEndpoint;
  let discoverer: ElastiCacheDiscoverer;
  const noTls = null;
  beforeEach(async () => {
    endpoint = await ClusterEndpoint.start();
    endpoint.entries = ["Node2.test|10.0.0.2|11211", "|10.0.0.1|11212"];
    const place = { type: "elasticache", host: "127.0.0.1", port: endpoint.port } as const;
    discoverer = new ElastiCacheDiscoverer({ ...place, text: "", intervalMs: 1, dnsServer: null }, noTls);
  });
  afterEach(() => endpoint.stop());

  it("has a server for each entry, by its host name, else by its address", async () => {
    expect(texts(await discoverer.look([]))).toEqual(["10.0.0.1:11212", "node2.test:11211"]);
    expect(endpoint.commands).toEqual(["config get cluster"]);
  });

  it("asks engines before 1.4.14 by their command", async () => {
    endpoint.isOld = true;
    expect(texts(await discoverer.look([]))).toEqual(["10.0.0.1:11212", "node2.test:11211"]);
    expect(endpoint.commands).toEqual(["config get cluster", "get AmazonElastiCache:cluster"]);
  });

  it("doubts an answer with a lower version than the last one", async () => {
    endpoint.version = 5;
    expect((await discoverer.look([])).isDoubtful).toBe(false);
    endpoint.version = 4;
    expect((await discoverer.look([])).isDoubtful).toBe(true);
    expect((await discoverer.look([])).isDoubtful).toBe(false);
  });

  it("asks servers in use if the endpoint does not answer", async () => {
    const other = await ClusterEndpoint.start();
    other.entries = ["a|1.1.1.1|1"];
    await endpoint.stop();
    const address = { type: "tcp", host: "127.0.0.1", port: other.port, isTls: false } as const;
    expect(texts(await discoverer.look([{ address, weight: 1, name: null }]))).toEqual(["a:1"]);
    await other.stop();
    endpoint = await ClusterEndpoint.start();
  });

  it("fails with a reason if the answer is not a list", async () => {
    for (const [garbage, message] of [
      ["SERVER_ERROR busy\r\n", "unexpected answer"],
      ["CONFIG cluster 0 7\r\nx\na|b|1\r\nEND\r\n", "expected a version"],
      ["CONFIG cluster 0 9\r\n1\na|b|no\n\r\nEND\r\n", "expected host|ip|port"],
    ] as const) {
      endpoint.garbage = garbage;
      await expect(discoverer.look([])).rejects.toThrow(message);
    }
  });

  it("reads an empty cluster as an empty list", () => {
    expect(readCluster("CONFIG cluster 0 4\r\n7\n\n\r\nEND\r\n")).toEqual({ version: 7, servers: [] });
  });
});

describe("file discovery", () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-list-"));
    file = path.join(folder, "servers.txt");
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("has a server per line, in the order of the file, without comments", async () => {
    await writeFile(file, "# ours\nb.test:11211 2\n\n10.0.0.1 # the first\nunix:run/m.sock 1 name\n");
    const found = await new FileDiscoverer(file).look();
    expect(texts(found)).toEqual(["b.test:11211 2", "10.0.0.1:11211", `unix:${folder}/run/m.sock 1 name`]);
  });

  it("fails with the line of what is no server, and for a file that is missing", async () => {
    await writeFile(file, "10.0.0.1\nten zero one\n");
    await expect(new FileDiscoverer(file).look()).rejects.toThrow(`${file}:2: expected a weight`);
    await writeFile(file, "10.0.0.1\n10.0.0.1:11211\n");
    await expect(new FileDiscoverer(file).look()).rejects.toThrow(`${file}:2: "10.0.0.1:11211" is listed twice`);
    await expect(new FileDiscoverer(`${file}.none`).look()).rejects.toThrow("no such file");
  });
});
